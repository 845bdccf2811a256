"""``tsupervisorctl upgrade``: the daemon replaces its program, and everything goes on."""

from __future__ import annotations

import http.client
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.probe import children as child_pids
from tests.kit.ctl import install, run
from tests.kit.daemon import alive, daemon, eventually
from tests.kit.root import NOBODY, directory_of, needs_root
from tests.kit.upgrading import (
    WRITER,
    StandIn,
    refusal,
    script,
    tsupervisor,
    upgrade,
    upgraded,
    wait_until_decided,
)
from trio_supervisor._version import __version__

if TYPE_CHECKING:
    from tests.kit.daemon import Daemon

UPGRADES = 25
#: Programs of the large test by what they do.
WRITERS, EXITERS, READERS = 24, 10, 5

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


@pytest.mark.behaviour("upgrade.md#an-upgrade-keeps-everything")
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
        lasting = [name for name in running.states() if "exiter" not in name]
        for name in lasting:
            running.wait_for(name, "RUNNING")
        pids = {name: running.pid(name) for name in lasting}
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
    """Nothing grows from the early upgrades to the last ones, but for what comes and goes.

    Programs that have just exited have no descriptors: the largest numbers are compared.
    """
    early, late = used[2:12], used[-8:]
    for what, some in ((0, 8), (1, 4)):
        assert max(each[what] for each in late) <= max(each[what] for each in early) + some, used
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
        assert [code for _, code in told][: len(exited)] == exited
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


@pytest.mark.behaviour("upgrade.md#upgrade_signal")
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


@pytest.mark.behaviour("upgrade.md#the-program-on-disk-is-checked-first")
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


CAT = "[program:x]\ncommand=/bin/cat\n"
#: Gives an upgrade up soon, but only the first one: a busy machine may need longer for the next.
IMPATIENT = """\
import trio_supervisor.cli.upgrade.upgrader as u
when_ready, patience = u.when_ready, [1]
async def impatient(supervisor, servers, seconds):
    await when_ready(supervisor, servers, patience.pop() if patience else seconds)
u.when_ready = impatient
"""


#: What a program does at its check, and what the refusal says.
REFUSED = [
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
]


@pytest.mark.behaviour("upgrade.md#the-program-on-disk-is-checked-first")
def test_a_program_that_cannot_go_on_is_refused(tmp_path: Path) -> None:
    program = StandIn(tmp_path)
    with daemon(tmp_path, CAT, command=program.command) as running:
        running.wait_for("x", "RUNNING")
        pid = running.pid("x")
        for number, (code, words) in enumerate(REFUSED, 1):
            program.does(f"if is_check:\n exec({code!r})")
            assert words in refusal(running)
            assert running.pid("x") == pid
            lines = [line for line in running.log.splitlines() if "upgrade refused" in line]
            assert len(lines) == number
            assert words in lines[-1]
        program.does("")
        upgrade(running)
        assert running.pid("x") == pid


@pytest.mark.behaviour("upgrade.md#the-program-on-disk-is-checked-first")
def test_a_check_that_hangs_is_ended(tmp_path: Path) -> None:
    program = StandIn(tmp_path)
    program.does("import trio_supervisor.cli.upgrade.upgrader as u; u.CHECK_TIMEOUT = 0.5")
    with daemon(tmp_path, CAT, command=program.command) as running:
        running.wait_for("x", "RUNNING")
        program.does("print('so far', flush=True); time.sleep(600)")
        assert "its check has not ended within 0.5 seconds" in refusal(running)
        assert running.state("x") == "RUNNING"
        eventually(lambda: children(running) == [running.pid("x")], "the end of the check")


def children(running: Daemon) -> list[int]:
    return sorted(child_pids(running.process.pid))


@pytest.mark.behaviour("upgrade.md#a-step-that-fails-changes-nothing")
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "if not is_check:\n"
            " def refuse(*_): raise OSError(8, 'Exec format error')\n"
            " os.execve = refuse",
            "the program cannot be replaced: Exec format error",
        ),
        (
            "if not is_check:\n"
            " made, create = [], os.memfd_create\n"
            " def refuse(*_):\n"
            "  made.append(1)\n"
            "  if len(made) == 2: raise OSError(12, 'Cannot allocate memory')\n"
            "  return create('x')\n"
            " os.memfd_create = refuse",
            "the program cannot be replaced: Cannot allocate memory",
        ),
    ],
)
def test_the_old_program_goes_on_if_the_last_step_fails(
    tmp_path: Path, code: str, words: str
) -> None:
    program = StandIn(tmp_path)
    program.does(code)
    text = f"""
[program:w]
command={script(tmp_path, "w", WRITER)} {tmp_path}/last_0
stdout_logfile={tmp_path}/writer_0.log
stdout_logfile_maxbytes=0
[program:x]
command=/bin/cat
stdout_logfile={tmp_path}/x.log
"""
    with daemon(tmp_path, text, command=program.command) as running:
        running.wait_for("w", "RUNNING")
        running.wait_for("x", "RUNNING")
        pids = [running.pid(name) for name in "wx"]
        transport = KeptTransport(str(tmp_path / "s.sock"))
        rpc: Any = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        rpc.supervisor.sendProcessStdin("x", "before ")
        before = running.descriptors
        for _ in range(3 if "execve" in code else 1):
            tsupervisor(running).upgrade()
            wait_until_decided(running)
            assert tsupervisor(running).getUpgrade()["failure"] == words
        eventually(lambda: running.descriptors <= before, "as many descriptors as before")
        rpc.supervisor.sendProcessStdin("x", "after\n")
        assert transport.connections == 1
        transport.close()
        assert [running.pid(name) for name in "wx"] == pids
        assert upgraded(running) == 0
        assert f"CRIT upgrade failed, everything keeps running: {words}" in running.log
        eventually(lambda: (tmp_path / "x.log").read_text() == "before after\n", "the echo")
        running.rpc.stopProcess("w")
        last = int((tmp_path / "last_0").read_text())
        lines = (tmp_path / "writer_0.log").read_text().splitlines()
        assert lines == [f"line {each}" for each in range(1, last + 1)]


@pytest.mark.behaviour("upgrade.md#the-program-on-disk-is-checked-first")
def test_without_memory_for_the_state_nothing_is_tried(tmp_path: Path) -> None:
    program = StandIn(tmp_path)
    program.does(
        "if not is_check:\n"
        " def refuse(*_): raise OSError(12, 'Cannot allocate memory')\n"
        " os.memfd_create = refuse"
    )
    with daemon(tmp_path, CAT, command=program.command) as running:
        running.wait_for("x", "RUNNING")
        words = "the upgrade is refused: the state cannot be written: Cannot allocate memory"
        assert words in refusal(running)


@pytest.mark.behaviour("upgrade.md#requests-are-answered-before")
def test_a_request_that_waits_is_answered_before(tmp_path: Path) -> None:
    slow = "[program:slow]\ncommand=/bin/cat\nstartsecs=4\nautostart=false\n"
    with daemon(tmp_path, CAT + slow) as running:
        running.wait_for("x", "RUNNING")
        answers: list[object] = []
        asked = threading.Thread(target=lambda: answers.append(start(running, "slow")))
        asked.start()
        running.wait_for("slow", "STARTING")
        upgrade(running)
        asked.join()
        assert answers == [True]
        assert running.state("slow") == "RUNNING"


def start(running: Daemon, name: str) -> object:
    transport = KeptTransport(str(running.directory / "s.sock"))
    rpc: Any = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
    try:
        return rpc.supervisor.startProcess(name)
    finally:
        transport.close()


@pytest.mark.behaviour("upgrade.md#requests-are-answered-before")
def test_half_a_request_is_waited_for_and_what_never_ends_is_a_refusal(tmp_path: Path) -> None:
    program = StandIn(tmp_path)
    program.does(IMPATIENT)
    with daemon(tmp_path, CAT, command=program.command) as running:
        running.wait_for("x", "RUNNING")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s.sock"))
            client.sendall(b"GET /ok.html HTTP/1.1\r\nHo")
            tsupervisor(running).upgrade()
            wait_until_decided(running)
            assert tsupervisor(running).getUpgrade()["failure"] == "a request is not answered yet"
            client.sendall(b"st: x\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
            upgrade(running)  # now it is an idle connection, which goes on
            client.sendall(b"GET /ok.html HTTP/1.1\r\nHost: x\r\n\r\n")
            rest = b""
            while b"HTTP/1.1 200 OK" not in rest:
                rest += client.recv(1000)


@pytest.mark.behaviour("upgrade.md#a-step-that-fails-changes-nothing")
def test_a_log_whose_reader_sleeps_is_a_refusal(tmp_path: Path) -> None:
    program = StandIn(tmp_path)
    program.does(IMPATIENT)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    text = f"""
[program:x]
command=/bin/sh -c 'yes 12345678 | head -c 400000; exec cat'
stdout_logfile={fifo}
stdout_logfile_maxbytes=0
"""
    try:
        with daemon(tmp_path, text, command=program.command) as running:
            running.wait_for("x", "RUNNING")
            tsupervisor(running).upgrade()
            wait_until_decided(running)
            assert str(fifo) in tsupervisor(running).getUpgrade()["failure"]
            got = b""
            while len(got) < 400000:
                try:
                    got += os.read(reader, 65536)
                except BlockingIOError:
                    time.sleep(0.001)
            upgrade(running)
            assert got == (b"12345678\n" * 50000)[:400000]
    finally:
        os.close(reader)


@pytest.mark.behaviour("upgrade.md#signals-in-the-gap")
def test_an_exit_in_the_gap_and_a_signal_in_the_gap_are_not_lost(tmp_path: Path) -> None:
    """The next program is held up before it has loaded anything."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    program = StandIn(tmp_path)
    program.does(f"if is_next: open({str(gate)!r}).read()")
    text = "[program:x]\ncommand=/bin/cat\nautorestart=false\n[program:y]\ncommand=/bin/cat\n"
    with daemon(tmp_path, text, command=program.command) as running:
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


@pytest.mark.behaviour("upgrade.md#the-command-upgrade")
def test_the_command_tells_how_it_went(tmp_path: Path) -> None:
    program = StandIn(tmp_path)
    ctl = install(tmp_path / "bin")
    with daemon(tmp_path, CAT, command=program.command) as running:
        running.wait_for("x", "RUNNING")
        command = [ctl, "-c", str(tmp_path / "c.conf"), "upgrade"]
        told = f"Upgraded from version {__version__} to {__version__}\n"
        assert run(command, cwd=tmp_path) == (0, told, "")
        program.does("sys.exit('no way')")
        words = "ERROR: the upgrade is refused: the check of the program has failed: no way\n"
        assert run(command, cwd=tmp_path) == (1, words, "")
        assert upgraded(running) == 1
        history = run([ctl, "-c", str(tmp_path / "c.conf"), "history", "--kind", "upgrade"])
        assert f"the supervisor was upgraded from {__version__} to {__version__}" in history.out


@pytest.mark.behaviour("upgrade.md#the-command-upgrade")
def test_the_command_tells_that_the_last_step_has_failed(tmp_path: Path) -> None:
    program = StandIn(tmp_path)
    program.does("def refuse(*_): raise OSError(8, 'Exec format error')\nos.execve = refuse")
    ctl = install(tmp_path / "bin")
    with daemon(tmp_path, CAT, command=program.command) as running:
        running.wait_for("x", "RUNNING")
        words = (
            "ERROR: the upgrade has failed, everything keeps running: the program cannot be "
            "replaced: Exec format error\n"
        )
        command = [ctl, "-c", str(tmp_path / "c.conf"), "upgrade"]
        assert run(command, cwd=tmp_path) == (1, words, "")


@pytest.mark.behaviour("upgrade.md#an-upgrade-keeps-everything")
def test_a_service_manager_is_told_and_the_journal_on_disk_goes_on(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(30)
        options = "extended=true\njournal=%(here)s/journal\n"
        base = BASE_WITH.format(options=options)
        within = ["env", f"NOTIFY_SOCKET={tmp_path}/n"]
        with daemon(tmp_path, CAT, base=base, within=within) as running:
            running.wait_for("x", "RUNNING")
            upgrade(running)
            said: list[str] = []
            while said.count("READY") < 2:
                said.append(manager.recv(4096).decode().partition("=")[0])
            states = [word for word in said if word in ("READY", "RELOADING", "STOPPING")]
            assert states == ["READY", "RELOADING", "READY"]
            entries = tsupervisor(running).getHistory([], 0.0, "", 100)
            numbers = [entry["number"] for entry in entries]
            assert numbers == sorted(set(numbers))
            assert [e["to"] for e in entries if e["what"] == "daemon"] == [
                "RUNNING",
                "UPGRADED",
            ]
            running.rpc.stopProcess("x")
            chain = tsupervisor(running).why("x")["chain"]
            assert [entry["to"] for entry in chain][:2] == ["STOPPED", "STOPPING"]
        assert "entries are not in the file" not in running.log


@needs_root
@pytest.mark.behaviour("upgrade.md#the-program-on-disk-is-checked-first")
def test_a_daemon_that_has_become_another_user_goes_on_or_says_why() -> None:
    """It must be able to run the interpreter; the configuration need not be readable any more."""
    with directory_of(NOBODY) as directory, daemon(directory, CAT, user=NOBODY) as running:
        running.wait_for("x", "RUNNING")
        pid = running.pid("x")
        (directory / "c.conf").chmod(0o600)
        if can_run_the_daemon(NOBODY):
            upgrade(running)
        else:
            assert refusal(running) != ""
            assert re.search("upgrade refused, .*(cannot be run|cannot be loaded)", running.log)
        assert running.pid("x") == pid
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        assert f"Uid:\t{pwd.getpwnam(NOBODY).pw_uid}\t" in status


def can_run_the_daemon(user: str) -> bool:
    command = [sys.executable, "-c", "import trio_supervisor.cli.daemon"]
    try:
        return subprocess.run(command, user=user, check=False, capture_output=True).returncode == 0
    except PermissionError:
        return False


@pytest.mark.behaviour("upgrade.md#what-wins-over-an-upgrade")
def test_a_stop_during_an_upgrade_wins(tmp_path: Path) -> None:
    program = StandIn(tmp_path)
    with daemon(tmp_path, CAT, command=program.command) as running:
        running.wait_for("x", "RUNNING")
        program.does("time.sleep(300)")
        asked = threading.Thread(target=ask_in_vain, args=[running])
        asked.start()
        eventually(lambda: tsupervisor(running).getUpgrade()["under_way"], "the upgrade")
        assert "an upgrade is under way already" in refusal(running)
        assert running.stop() == 0
        asked.join()
