"""``tsupervisorctl upgrade``: the daemon replaces its program, and everything goes on."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import sys
import threading
import time
import xmlrpc.client
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.daemon import alive, daemon, eventually
from tests.kit.upgrading import refusal, tsupervisor, upgrade, upgraded

if TYPE_CHECKING:
    from tests.kit.daemon import Daemon

UPGRADES = 25
#: Programs of the large test by what they do.
WRITERS, EXITERS, READERS = 24, 10, 5

#: Writes numbered lines in two halves, and notes the last one at its end.
WRITER = """\
import os, sys, time, signal
def end(*_):
    global over
    over = True
over, n = False, 0
signal.signal(signal.SIGTERM, end)
while not over:
    n += 1
    os.write(1, b"line ")
    os.write(1, b"%d\\n" % n)
    time.sleep(0.002)
open(sys.argv[1], "w").write(str(n))
"""
#: Notes its pid and the status with which it is about to exit.
EXITER = """\
import os, sys, time
time.sleep(1.1 + (os.getpid() % 7) / 5)
code = os.getpid() % 200
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()} {code}\\n")
print(f"out {os.getpid()}", flush=True)
os._exit(code)
"""
#: Writes what it reads to a file.
READER = """\
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
while data := os.read(0, 65536):
    os.write(file, data)
"""
#: Notes the numbers of the events that it gets.
LISTENER = """\
import sys
while True:
    print("READY", flush=True)
    head = dict(word.split(":") for word in sys.stdin.readline().split())
    sys.stdin.read(int(head["len"]))
    with open(sys.argv[1], "a") as file:
        file.write(f"{head['serial']} {head['poolserial']}\\n")
    sys.stdout.write("RESULT 2\\nOK")
    sys.stdout.flush()
"""


def script(directory: Path, name: str, text: str) -> str:
    path = directory / f"{name}.py"
    path.write_text(text)
    return f"{sys.executable} -S -E {path}"


class Client(threading.Thread):
    """Asks all the time, on one connection; each answer must come."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__()
        self._daemon = daemon
        self._over = threading.Event()
        self.sent: dict[str, list[str]] = defaultdict(list)
        self.answers = 0
        self.longest = 0.0
        """Seconds that an answer has taken."""
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._talk()
        except BaseException as error:  # shown by ``end``
            self.error = error

    def end(self) -> None:
        self._over.set()
        self.join()
        if self.error is not None:
            raise self.error

    def _talk(self) -> None:
        transport = KeptTransport(str(self._daemon.directory / "s.sock"))
        rpc: Any = xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor
        number = 0
        while not self._over.is_set():
            number += 1
            began = time.monotonic()
            name = f"reader_{number % READERS}"
            assert rpc.sendProcessStdin(f"reader:{name}", f"{number}\n") is True
            self.sent[name].append(str(number))
            self.longest = max(self.longest, time.monotonic() - began)
            assert rpc.getState()["statename"] == "RUNNING"
            self.answers += 2
            time.sleep(0.005)
        transport.close()
        assert transport.connections == 1


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class KeptTransport(xmlrpc.client.Transport):
    """One connection for all calls. Nothing is sent twice."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self.connections = 0
        self._kept: _UnixConnection | None = None

    def request(self, *arguments: Any, **options: Any) -> Any:
        return self.single_request(*arguments, **options)

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        if self._kept is None:
            self._kept = _UnixConnection(self._path)
            self.connections += 1
        return self._kept

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()


def test_many_upgrades_in_a_row_lose_nothing(tmp_path: Path) -> None:
    """40 programs write, exit and are asked for; every byte and every status is accounted for."""
    writer, exiter = script(tmp_path, "w", WRITER), script(tmp_path, "e", EXITER)
    reader, listener = script(tmp_path, "r", READER), script(tmp_path, "l", LISTENER)
    text = f"""
[program:writer]
command={writer} {tmp_path}/last_%(process_num)d
process_name=writer_%(process_num)d
numprocs={WRITERS}
stdout_logfile={tmp_path}/writer_%(process_num)d.log
stdout_logfile_maxbytes=0
[program:exiter]
command={exiter} {tmp_path}/exits_%(process_num)d
process_name=exiter_%(process_num)d
numprocs={EXITERS}
autorestart=true
stdout_logfile={tmp_path}/exiter_%(process_num)d.log
stdout_logfile_maxbytes=0
[program:reader]
command={reader} {tmp_path}/read_%(process_num)d
process_name=reader_%(process_num)d
numprocs={READERS}
[eventlistener:listener]
command={listener} {tmp_path}/events
events=PROCESS_STATE
buffer_size=1000
"""
    with daemon(tmp_path, text) as running:
        pid = running.process.pid
        eventually(lambda: set(running.states().values()) == {"RUNNING"}, "all RUNNING")
        pids = {name: running.pid(name) for name in running.states() if "exiter" not in name}
        client = Client(running)
        client.start()
        used = []
        for _ in range(UPGRADES):
            upgrade(running)
            used.append(resources(running))
        client.end()
        assert running.process.pid == pid == running.rpc.getPID()
        assert running.process.poll() is None
        assert {name: running.pid(name) for name in pids} == pids
        running.rpc.stopProcessGroup("exiter")
        running.rpc.stopProcessGroup("writer")
        running.rpc.stopProcessGroup("reader")
        eventually(lambda: running.rpc.getState(), "an answer")
        log = running.log
    assert client.answers > UPGRADES
    check_lines(tmp_path)
    check_statuses(tmp_path, log)
    check_stdin(tmp_path, client)
    check_events(tmp_path)
    check_resources(used)


def resources(running: Daemon) -> tuple[int, int, int]:
    """Descriptors, threads, and resident memory in KiB."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    threads, memory = (
        int(found[1])
        for name in ("Threads", "VmRSS")
        if (found := re.search(rf"{name}:\s*(\d+)", status))
    )
    return running.descriptors, threads, memory


def check_resources(used: list[tuple[int, int, int]]) -> None:
    """Nothing grows from the early upgrades to the last ones, but for what comes and goes."""
    early, late = used[2:7], used[-5:]
    for what, some in ((0, 4), (1, 2)):
        assert min(each[what] for each in late) <= min(each[what] for each in early) + some, used
    assert min(each[2] for each in late) < 1.1 * max(each[2] for each in early), used


def check_lines(directory: Path) -> None:
    for number in range(WRITERS):
        last = int((directory / f"last_{number}").read_text())
        lines = (directory / f"writer_{number}.log").read_text().splitlines()
        assert lines == [f"line {each}" for each in range(1, last + 1)]


def check_statuses(directory: Path, log: str) -> None:
    """Each exit was recorded with its status, and the last words before it are in the log."""
    for number in range(EXITERS):
        name = f"exiter_{number}"
        told = [line.split() for line in (directory / f"exits_{number}").read_text().splitlines()]
        spawned = re.findall(rf"spawned: '{name}' with pid (\d+)", log)
        exited = re.findall(rf"exited: {name} \(exit status (\d+);", log)
        assert [pid for pid, _ in told] == spawned[: len(told)]
        assert [code for _, code in told] == exited[: len(told)]
        assert len(told) >= len(exited) >= len(told) - 1  # it may have been stopped meanwhile
        words = (directory / f"exiter_{number}.log").read_text().split()
        assert words[1::2] == [pid for pid, _ in told][: len(words[1::2])]
        assert len(words) // 2 >= len(exited)


def check_stdin(directory: Path, client: Client) -> None:
    for number in range(READERS):
        read = (directory / f"read_{number}").read_text().split()
        assert read == client.sent[f"reader_{number}"]


def check_events(directory: Path) -> None:
    """Each event was delivered once, in order, and none was lost."""
    numbers = [line.split() for line in (directory / "events").read_text().splitlines()]
    poolserials = [int(poolserial) for _, poolserial in numbers]
    assert poolserials == list(range(len(poolserials)))
    assert len(poolserials) > WRITERS + READERS


def test_the_signal_upgrades_only_where_the_option_says_so(tmp_path: Path) -> None:
    options = "extended=true\nupgrade_signal=true\n"
    base = BASE_WITH.format(options=options)
    with daemon(tmp_path, "[program:x]\ncommand=/bin/cat\n", base=base) as running:
        running.wait_for("x", "RUNNING")
        pid = running.pid("x")
        running.signal(signal.SIGUSR1)
        eventually(lambda: upgraded(running) == 1, "the upgrade")
        assert running.pid("x") == pid
        assert "received SIGUSR1 indicating upgrade request" in running.log
    with daemon(tmp_path, "") as running:
        running.signal(signal.SIGUSR1)
        assert running.process.wait(30) == -signal.SIGUSR1


BASE_WITH = """\
[supervisord]
logfile=%(here)s/sup.log
pidfile=%(here)s/sup.pid
childlogdir=%(here)s
{options}
user={{user}}
[unix_http_server]
file=%(here)s/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""


def test_a_broken_configuration_is_a_refusal(tmp_path: Path) -> None:
    with daemon(tmp_path, "[program:x]\ncommand=/bin/cat\n") as running:
        running.wait_for("x", "RUNNING")
        pid = running.pid("x")
        config = tmp_path / "c.conf"
        config.write_text(config.read_text() + "autostart=perhaps\n")
        words = refusal(running)
        assert "the check of the program has failed" in words
        assert "autostart" in words
        assert running.pid("x") == pid
        assert tsupervisor(running).getUpgrade()["failure"] != ""
        assert "upgrade refused, everything keeps running: the check" in running.log
        config.write_text(config.read_text().replace("autostart=perhaps\n", ""))
        upgrade(running)
        assert tsupervisor(running).getUpgrade()["failure"] == ""


#: A program that runs as this daemon does, unless a file beside it says something else.
STAND_IN = """\
import os, sys, time
mode = open({mode!r}).read()
if "--upgrade-check" in sys.argv and mode:
    exec(mode)
from trio_supervisor.cli.daemon import main
main()
"""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ImportError('no module')", "ImportError: no module"),
        ("os._exit(3)", "exit status 3"),
        ("os.kill(os.getpid(), 9)", "terminated by SIGKILL"),
        ("print('nonsense'); sys.exit(0)", "exit status 0"),
        (
            "import trio_supervisor.core.handover.versions as v; v.FORMAT = 0; v.OLDEST_READ = 0",
            "which needs a program of format 1; this one has 0",
        ),
        (
            "import trio_supervisor.core.handover.versions as v; v.FORMAT = 2; v.OLDEST_READ = 2",
            "older than the oldest that is understood, which is 2",
        ),
        (
            "import trio_supervisor.core.handover.codec as c; f = c.Codec.fields\n"
            "c.Codec.fields = lambda s, k: {n: t for n, t in f(s, k).items() if n != 'spawns'}",
            "the field 'spawns' of ProcessRecord is unknown",
        ),
    ],
)
def test_a_program_that_cannot_go_on_is_refused(tmp_path: Path, code: str, words: str) -> None:
    mode = tmp_path / "mode"
    mode.write_text("")
    program = tmp_path / "stand_in.py"
    program.write_text(STAND_IN.format(mode=str(mode)))
    command = [sys.executable, str(program)]
    with daemon(tmp_path, "[program:x]\ncommand=/bin/cat\n", command=command) as running:
        running.wait_for("x", "RUNNING")
        pid = running.pid("x")
        mode.write_text(code)
        assert words in refusal(running)
        assert running.pid("x") == pid
        mode.write_text("")
        upgrade(running)
        assert running.pid("x") == pid


def test_an_exit_in_the_gap_and_a_signal_in_the_gap_are_not_lost(tmp_path: Path) -> None:
    """The next program is held up before it has loaded anything."""
    mode, gate = tmp_path / "mode", tmp_path / "gate"
    mode.write_text("")
    os.mkfifo(gate)
    program = tmp_path / "stand_in.py"
    program.write_text(
        STAND_IN.format(mode=str(mode)).replace(
            "mode = open",
            "if 'TSUPERVISORD_HANDOVER' in os.environ:\n"
            f"    open({str(gate)!r}).read()\nmode = open",
        )
    )
    text = "[program:x]\ncommand=/bin/cat\nautorestart=false\n[program:y]\ncommand=/bin/cat\n"
    command = [sys.executable, str(program)]
    with daemon(tmp_path, text, command=command) as running:
        running.wait_for("x", "RUNNING")
        running.wait_for("y", "RUNNING")
        x, y = running.pid("x"), running.pid("y")
        tsupervisor(running).upgrade()
        writer = os.open(gate, os.O_WRONLY)  # returns when the next program has opened it
        os.kill(x, signal.SIGKILL)
        eventually(lambda: not alive(x), "the end of x")
        running.signal(signal.SIGHUP)
        os.close(writer)
        running.wait_log("exited: x (terminated by SIGKILL; not expected)")
        running.wait_log("received SIGHUP indicating restart request")
        eventually(lambda: not alive(y), "the restart")
        running.wait_log("supervisord upgraded from version")


def ask_in_vain(running: Daemon) -> None:
    with pytest.raises((OSError, xmlrpc.client.Error, http.client.HTTPException)):
        tsupervisor(running).upgrade()


def test_a_stop_during_an_upgrade_wins(tmp_path: Path) -> None:
    mode = tmp_path / "mode"
    mode.write_text("")
    program = tmp_path / "stand_in.py"
    program.write_text(STAND_IN.format(mode=str(mode)))
    command = [sys.executable, str(program)]
    with daemon(tmp_path, "[program:x]\ncommand=/bin/cat\n", command=command) as running:
        running.wait_for("x", "RUNNING")
        mode.write_text("time.sleep(300)")
        asked = threading.Thread(target=ask_in_vain, args=[running])
        asked.start()
        eventually(lambda: tsupervisor(running).getUpgrade()["under_way"], "the upgrade")
        assert "an upgrade is under way already" in refusal(running)
        assert running.stop() == 0
        asked.join()
