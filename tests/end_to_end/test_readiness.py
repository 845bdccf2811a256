"""Readiness and health with the real daemon and real programs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tests.kit.ctl import install, run
from tests.kit.curl import send
from tests.kit.daemon import BASE, PATIENCE, daemon, eventually, free_port, wait_until_gone
from tests.kit.machine import need_namespaces, path_of
from tests.kit.root import NOBODY, needs_root

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")

#: Answers what is in a file, and writes on USR1 that it was asked to dump its state.
SICK = """\
import http.server, os, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 503 if os.path.exists("ill") else 200
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

def dump(*arguments):
    open("dumped", "w").close()
    os.unlink("ill")

signal.signal(signal.SIGUSR1, dump)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
#: Says its state by the protocol of sd_notify, in a socket that it opens itself.
NOTIFYING = """\
import os, socket, sys, time

def tell(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(os.environ["NOTIFY_SOCKET"])
        s.sendall(text.encode())

names = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
print(*(os.environ.get(name) for name in names), flush=True)
tell("STATUS=loading")
sys.stdin.readline()
tell("READY=1\\nSTATUS=serving")
while True:
    tell("WATCHDOG=1")
    time.sleep(0.2)
"""


def ctl_of(directory: Path) -> list[str]:
    return [install(directory / "bin"), "-c", str(directory / "c.conf")]


def details(address: str, name: str) -> dict[str, object]:
    found: dict[str, object] = send(f"{address}/api/v1/processes/{name}").json()
    return found


@pytest.mark.behaviour(
    "policies.md#running-means-ready-and-alive-for-startsecs",
    "policies.md#ready-by-a-descriptor",
    "policies.md#ready-by-a-message",
    "policies.md#ready-by-a-line-of-output",
    "policies.md#shown-readiness-and-health",
)
def test_programs_that_become_ready(tmp_path: Path) -> None:
    """redis, a program with sd_notify as another user, systemd-notify, fd 3, and a line."""
    port, database = free_port(), free_port()
    redis = path_of("redis-server")
    notify = path_of("systemd-analyze").replace("systemd-analyze", "systemd-notify")
    shared = Path("/tmp") if os.getuid() == 0 else tmp_path
    script = shared / f"notifying-{os.getpid()}.py"
    script.write_text(NOTIFYING)
    script.chmod(0o644)
    user = f"user={NOBODY}\n" if os.getuid() == 0 else ""
    python = "/usr/bin/python3" if user and Path("/usr/bin/python3").exists() else sys.executable
    text = f"""
[inet_http_server]
port=127.0.0.1:{port}
[program:redis]
command={redis} --port {database} --bind 127.0.0.1 --save "" --appendonly no
ready=tcp:{database}
health=exec:{redis.replace("server", "cli")} -p {database} ping
health_interval=300ms
[program:web]
command=/bin/sleep 1000
depends_on=redis:healthy
[program:told]
command={python} {script}
{user}directory=/
ready=notify
health=notify
health_interval=60s
[program:unit]
command=/bin/sh -c "{notify} --ready --status='all is well'; exec sleep 1000"
ready=notify
[program:s6]
command=/bin/sh -c "read x; echo >&3; exec 3>&-; exec sleep 1000"
ready=fd:3
startsecs=0
[program:line]
command=/bin/sh -c "read x; echo server is up >&2; exec sleep 1000"
ready=log:~^server is up$
startsecs=0
[program:late]
command=/bin/sleep 1000
ready=tcp:{free_port()}
ready_timeout=1
startretries=0
"""
    address = f"http://127.0.0.1:{port}"
    try:
        with daemon(tmp_path, text, base=EXTENDED) as running:
            ctl = ctl_of(tmp_path)
            for name in ("redis", "web", "unit"):
                running.wait_for(name, "RUNNING")
            assert details(address, "redis")["health"] == "healthy"
            eventually(lambda: details(address, "unit")["told_status"] == "all is well", "status")

            # Not ready: shown everywhere, and no reason to be restarted.
            running.wait_for("late", "FATAL")
            for name in ("told", "s6", "line"):
                assert running.state(name) == "STARTING"
            eventually(lambda: details(address, "told")["told_status"] == "loading", "status")
            shown = run([*ctl, "status", "told", "s6"]).out
            assert "not ready yet: notify (loading)" in shown
            assert "not ready yet: fd:3" in shown
            why = "not ready within 1 second (tcp:"
            assert why in run([*ctl, "status", "late"]).out
            assert str(details(address, "late")["reason"]).startswith(f"gave up starting it: {why}")
            assert "told: STARTING: not ready yet" in run([*ctl, "healthy"]).out
            assert "not ready yet: fd:3" in run([*ctl, "why", "s6"]).out
            ready = send(f"{address}/readyz")
            assert ready.status == 503
            waiting = {each["full_name"]: each["reason"] for each in ready.json()["waiting"]}
            assert waiting["s6"] == "not ready yet: fd:3"

            # The socket belongs to the user of the program, in a directory that nobody can list.
            said = eventually(lambda: running.rpc.readProcessStdoutLog("told", 0, 0), "its output")
            first, usec, pid = str(said).split()
            assert (usec, pid) == ("60000000", "None")
            info = os.stat(first)
            assert stat.S_IMODE(info.st_mode) == 0o600
            assert stat.S_IMODE(os.stat(os.path.dirname(first)).st_mode) == 0o711

            for name in ("told", "s6", "line"):
                running.rpc.sendProcessStdin(name, "go\n")
            for name in ("told", "s6", "line"):
                running.wait_for(name, "RUNNING")
            eventually(lambda: details(address, "told")["health"] == "healthy", "the watchdog")
            assert details(address, "told")["told_status"] == "serving"
            metrics = send(f"{address}/metrics").body()
            assert 'trio_supervisor_process_healthy{name="redis",group="redis"} 1\n' in metrics
            assert 'trio_supervisor_process_healthy{name="web"' not in metrics
            eventually(lambda: run([*ctl, "healthy", "redis", "told"]).status == 0, "good health")

            run([*ctl, "stop", "told"])
            assert not os.path.exists(first)
    finally:
        script.unlink()


@pytest.mark.behaviour(
    "policies.md#restart-for-ill-health",
    "policies.md#dump_signal",
    "policies.md#shown-readiness-and-health",
)
def test_a_program_that_becomes_ill_is_restarted(tmp_path: Path) -> None:
    port, page = free_port(), free_port()
    (tmp_path / "sick.py").write_text(SICK)
    text = f"""
[inet_http_server]
port=127.0.0.1:{page}
[program:sick]
command={sys.executable} sick.py {port}
directory={tmp_path}
ready=http://127.0.0.1:{port}/
health=http://127.0.0.1:{port}/health
health_interval=200ms
health_failures=2
dump_signal=USR1
autorestart=false
startsecs=0
"""
    address = f"http://127.0.0.1:{page}"
    with daemon(tmp_path, text, base=EXTENDED) as running:
        running.wait_for("sick", "RUNNING")
        pid = running.pid("sick")
        eventually(lambda: details(address, "sick")["health"] == "healthy", "good health")
        (tmp_path / "ill").touch()
        eventually(lambda: (tmp_path / "dumped").exists(), "the signal to dump")
        running.wait_for_another_child("sick", pid)
        running.wait_for("sick", "RUNNING")
        eventually(lambda: details(address, "sick")["health"] == "healthy", "good health")
        assert details(address, "sick")["automatic_restarts"] == 1
        assert "sick: is unhealthy (http://127.0.0.1:" in running.log
        assert "status 503, 2 times in a row); it is restarted" in running.log
        why = run([*ctl_of(tmp_path), "why", "sick"]).out
        assert "because of a check" in why
        assert "status 503" in why
        kinds = [entry["to"] for entry in send(f"{address}/api/v1/history?kind=verdict").json()]
        assert kinds == ["healthy", "unhealthy", "healthy"]


def hanging_things(directory: Path, port: int, full: int) -> str:
    return f"""
[program:connection]
command=/bin/sleep 1000
ready=tcp:{full}
[program:refreshed]
command=/bin/sleep 1000
startsecs=0
refresh_command=/bin/sh -c 'echo $$ >{directory}/refresh; exec sleep 1003'
hook_timeout=1h
[program:command]
command=/bin/sleep 1000
ready=exec:/bin/sh -c 'echo $$ >{directory}/pid; exec sleep 1001'
[program:server]
command=/bin/sleep 1000
ready=http://127.0.0.1:{port}/
[program:check]
command=/bin/sleep 1000
startsecs=0
health=exec:/bin/sh -c 'echo $$ >{directory}/check; exec sleep 1002'
health_timeout=1h
[program:message]
command=/bin/sleep 1000
ready=notify
[program:descriptor]
command=/bin/sleep 1000
ready=fd:5
[program:line]
command=/bin/sleep 1000
ready=log:up
"""


@pytest.mark.behaviour("policies.md#a-stop-while-it-is-not-ready", "policies.md#verdicts")
def test_a_stop_during_each_kind_of_wait(tmp_path: Path) -> None:
    """Nothing that hangs delays a stop, nor leaves a process behind."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        socket.create_connection(full.getsockname()),  # a further one gets no answer
    ):
        text = hanging_things(tmp_path, silent.getsockname()[1], full.getsockname()[1])
        with daemon(tmp_path, text, base=EXTENDED) as running:

            def pid_in(name: str) -> int:
                path = tmp_path / name
                return int(path.read_text() or 0) if path.exists() else 0

            pids = [eventually(partial(pid_in, name), name) for name in ("pid", "check")]
            running.wait_for("check", "RUNNING")
            names = ("command", "connection", "server", "message", "descriptor", "line")
            for name in names:
                eventually(partial(running.pid, name), f"the child of {name}")
                assert running.state(name) == "STARTING"
            info = partial(running.rpc.getProcessInfo, "connection")
            eventually(lambda: "no answer within 3" in str(info()), "the first try")
            running.wait_for("refreshed", "RUNNING")
            ctl = [*ctl_of(tmp_path), "refresh", "refreshed"]
            with subprocess.Popen(ctl, stdout=subprocess.PIPE, text=True) as asking:
                pids.append(eventually(partial(pid_in, "refresh"), "refresh_command"))
                for name in (*names, "check", "refreshed"):
                    assert running.rpc.stopProcess(name) is True
                    assert running.state(name) == "STOPPED"
                assert "refreshed: refresh_command: " in asking.communicate(timeout=PATIENCE)[0]
            for pid in pids:
                wait_until_gone(pid)
            # The same at the end of the daemon.
            for name in names:
                assert running.rpc.startProcess(name, False) is True
            pid = eventually(lambda: pid_in("pid"), "pid")
            assert running.stop() == 0
        wait_until_gone(pid)


#: The C library asks once and waits half a minute, five times.
RESOLVER = "nameserver {}\noptions timeout:30 attempts:5\n"
NAMES = """
[program:other]
command=/bin/sleep 1000
startsecs=0
[program:port]
command=/bin/sleep 1000
ready=tcp:db.example:1
ready_timeout=0
[program:page]
command=/bin/sleep 1000
startsecs=0
health=http://db.example/
health_timeout=1h
"""


@needs_root
@pytest.mark.behaviour("policies.md#names-that-are-not-resolved")
def test_a_stop_while_a_name_is_looked_up(tmp_path: Path) -> None:
    """The name server never answers: no stop waits for it, no other program, and no shutdown."""
    need_namespaces("--mount")
    # Name servers have port 53, so each process that runs this test needs an address of its own.
    address = str(IPv4Address("127.128.0.0") + os.getpid() % 2**22)
    (tmp_path / "resolv.conf").write_text(RESOLVER.format(address))
    (tmp_path / "nsswitch.conf").write_text("hosts: dns\n")
    bind = f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf"
    if Path("/etc/nsswitch.conf").exists():
        bind += f" && mount --bind {tmp_path}/nsswitch.conf /etc/nsswitch.conf"
    within = ["unshare", "--mount", "sh", "-c", f'{bind} && exec "$@"', "sh"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        server.settimeout(PATIENCE)
        with daemon(tmp_path, NAMES, base=EXTENDED, within=within) as running:
            asked = {server.recv(4096)}
            while len(asked) < 4:  # A and AAAA of each program
                asked.add(server.recv(4096))
            running.wait_for("page", "RUNNING")
            assert running.state("port") == "STARTING"
            for name in ("port", "other", "page"):
                assert running.rpc.stopProcess(name) is True
                assert running.state(name) == "STOPPED"
            assert running.rpc.startProcess("other") is True
            # The next try waits for the thread of the last one; the end of the daemon for none.
            for name in ("port", "page"):
                assert running.rpc.startProcess(name, False) is True
                eventually(partial(running.pid, name), f"the child of {name}")
            assert running.stop() == 0


#: Writes as fast as it can until it is told to be ready.
FLOOD = """\
import os, sys
block = sys.argv[1].encode().decode("unicode_escape").encode() * 8192
while not os.path.exists("enough"):
    os.write(1, block)
os.write(1, b"\\nlistening on port 80\\n")
sys.stdin.read()
"""


@pytest.mark.behaviour("policies.md#ready-by-a-line-of-output")
@pytest.mark.parametrize("condition", ["^listening on port [0-9]+$", "(listening|serving) on"])
@pytest.mark.parametrize("line", ["\\\\n", "a line of a program\\\\n", "no end of a line"])
def test_a_flood_of_lines_holds_up_nobody_else(tmp_path: Path, condition: str, line: str) -> None:
    (tmp_path / "flood.py").write_text(FLOOD)
    programs = (
        f'[program:flood]\ncommand={sys.executable} -S flood.py "{line}"\ndirectory={tmp_path}\n'
        f"ready=log:~{condition}\nready_timeout=0\nstdout_logfile=NONE\n"
        "[program:other]\ncommand=/bin/cat\nautostart=false\nstartsecs=0\n"
    )
    with daemon(tmp_path, programs, base=EXTENDED) as running:
        for _ in range(20):
            assert running.rpc.startProcess("other") is True
            assert running.rpc.stopProcess("other") is True
        assert running.state("flood") == "STARTING"
        (tmp_path / "enough").touch()
        running.wait_for("flood", "RUNNING")


@pytest.mark.behaviour("policies.md#ready-by-a-message")
def test_the_next_daemon_removes_the_sockets_of_a_killed_one(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The program of the killed daemon lives on, but nobody reads what it sends."""
    programs = f"[program:x]\ncommand={sys.executable} -S {tmp_path}/x.py\nready=notify\n"
    (tmp_path / "x.py").write_text(NOTIFYING)
    runtime = Path(tempfile.mkdtemp(dir="/tmp"))  # sockets have short names
    request.addfinalizer(lambda: shutil.rmtree(runtime))
    within = ("/usr/bin/env", f"RUNTIME_DIRECTORY={runtime}")
    with daemon(tmp_path, programs, base=EXTENDED, within=within) as running:
        running.wait_for("x", "STARTING")
        eventually(lambda: running.pid("x"), "the program")
        left, pid = list(runtime.iterdir()), running.pid("x")
        running.process.kill()
        running.process.wait()
    os.kill(pid, signal.SIGKILL)
    assert len(left) == 1
    (tmp_path / "sup.pid").unlink()
    with daemon(tmp_path, programs, base=EXTENDED, within=within) as running:
        eventually(lambda: running.pid("x"), "the program")
        eventually(lambda: not left[0].exists(), "the removal")
        assert len(list(runtime.iterdir())) == 1
    assert list(runtime.iterdir()) == []
