"""The real daemon where much of what a usual system offers is missing or refused."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.daemon import BASE, COMMAND, PATIENCE, Daemon, eventually, write_config
from tests.kit.root import NOBODY, as_user, needs_root
from tests.kit.strace import failing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PLAIN = "[program:plain]\ncommand=/bin/cat\nstartsecs=0\n"
#: One program for each way to start one.
PROGRAMS = f"""\
{PLAIN}[program:ends]
command=/bin/sh -c "exit 3"
startsecs=0
autorestart=false
[program:steps]
command=/bin/cat
startsecs=0
{"user=" + NOBODY if os.getuid() == 0 else ""}
kill_mode=tree
rlimit_nofile=100
nice=3
no_new_privs=true
[program:tells]
command=/bin/sh -c "systemd-notify --ready; exec cat"
ready=notify
ready_timeout=60s
startsecs=0
"""
EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\njournal=%(here)s/j\n")

#: System calls that the daemon uses beside those without which no Python program with threads and
#: an event loop can run, as ``strace -c`` counts them. A sandbox (gVisor, a seccomp profile) may
#: refuse each of them. ``tgkill`` is missing: with it libc raises signals, trio's included.
CALLS = [
    *("accept4", "bind", "chmod", "clone", "connect", "fadvise64", "fchmod", "fchmodat"),
    *("fchown", "fdatasync", "flock", "fstatfs", "ftruncate", "getpriority", "getrusage"),
    *("getsockopt", "kill", "linkat", "listen", "madvise", "mkdir", "mkdirat", "pidfd_open"),
    *("poll", "ppoll", "prctl", "prlimit64", "pwrite64", "readlinkat", "recvmsg", "rename"),
    *("rmdir", "sendmsg", "setgid", "setgroups", "setpgid", "setpriority", "setsid"),
    *("setsockopt", "setuid", "shutdown", "socket", "socketpair", "statfs", "unlink"),
    *("unlinkat", "waitid"),
]
#: Refused at the start, in one line: a server without these would be no server.
FATAL = {
    *("bind", "fchmodat", "listen", "mkdirat", "poll", "setsockopt", "socket", "socketpair"),
    "unlinkat",
}
#: Programs that cannot run without a call. Their state, or their log, has the reason.
NEEDED = {
    "chmod": {"tells"},
    "mkdir": {"tells"},
    "prctl": {"steps"},
    "prlimit64": {"steps"},
    "recvmsg": {"steps", "tells"},
    "sendmsg": {"tells"},
    "setgid": {"steps"},
    "setgroups": {"steps"},
    "setpgid": {"plain", "ends", "tells"},
    "setpriority": {"steps"},
    "setsid": {"steps"},
    "setuid": {"steps"},
    "shutdown": {"steps"},
    "unlink": {"tells"},
}


def connection(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    client.connect(str(path))
    return client


@contextmanager
def started(
    directory: Path,
    *,
    within: Sequence[str] = (),
    env: dict[str, str] | None = None,
    programs: str = PROGRAMS,
    base: str = EXTENDED,
    user: int | None = None,
    look_in: str = "out",
) -> Iterator[Daemon]:
    """The daemon when it has logged its start, or has ended; without a pidfile as well."""
    write_config(directory, programs, base=base, user=user)
    log = directory / look_in
    with (directory / "out").open("wb") as out:
        process = subprocess.Popen(
            [*within, *COMMAND, "-n", "-c", "c.conf"],
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(
            lambda: (log.exists() and START.search(log.read_text())) or process.poll() is not None,
            "a start, or a refusal",
        )
        yield Daemon(directory, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def output(directory: Path) -> str:
    return (directory / "out").read_text()


#: Lines of the first program.
START = re.compile("spawned|spawnerr")
#: States in which nothing more is to be expected.
FINAL = {"RUNNING", "EXITED", "BACKOFF", "FATAL"}


def infos(running: Daemon, call: str) -> dict[str, dict[str, object]]:
    """What is known of each program when all have reached a final state."""

    def look() -> dict[str, dict[str, object]]:
        answer: Any = running.rpc.getAllProcessInfo()
        found = {str(info["name"]): info for info in answer}
        ready = all(
            (info["statename"] in FINAL and (name, info["statename"]) != ("ends", "RUNNING"))
            or (info["description"] == "not ready yet: notify" and name in NEEDED.get(call, ()))
            for name, info in found.items()
        )
        return found if ready else {}

    return eventually(look, "a final state of each program")


@pytest.mark.behaviour("process.md#exit-codes-of-the-daemon")
@pytest.mark.parametrize("call", CALLS)
def test_a_refused_system_call_costs_what_needs_it(tmp_path: Path, call: str) -> None:
    with started(tmp_path, within=failing(call, "EPERM")) as running:
        if call in FATAL:
            assert running.process.wait(PATIENCE) == 2
            [line] = re.findall("^Error: .*", output(tmp_path), re.MULTILINE)
            assert re.search("EPERM|Operation not permitted", line)
        elif call == "accept4":  # nobody can ask
            with suppress(OSError), closing(connection(tmp_path / "s.sock")):
                running.wait_log("cannot accept an HTTP connection: Operation not permitted")
            assert running.stop() == 0
        else:
            for name, info in infos(running, call).items():
                works = "EXITED" if name == "ends" else "RUNNING"
                if info["statename"] != works and name in NEEDED.get(call, ()):
                    continue
                assert info["statename"] == works, (name, info)
            assert running.stop() == 0, output(tmp_path)
        for word in ("Traceback", "internal error"):
            assert word not in output(tmp_path)


#: Environments in which a daemon may find itself.
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "nothing": {},
    "an unknown locale": {"LANG": "xx_YY.UTF-9", "LC_ALL": "xx_YY.UTF-9", "LANGUAGE": "xx"},
    "an ASCII locale": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "empty values": {"HOME": "", "PATH": "", "USER": "", "TMPDIR": "", "LANG": ""},
    "a large environment": {f"VARIABLE_{number}": "x" * 1000 for number in range(33)},
    "bytes that are no text": {"ODD": os.fsdecode(b"\xff\xfe=\n\x01")},
    "names of other supervisors": {"NOTIFY_SOCKET": "/nonexistent", "LISTEN_FDS": "x"},
}


@pytest.mark.behaviour("process.md#environment-of-a-child")
@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_odd_environments(tmp_path: Path, env: dict[str, str]) -> None:
    with started(tmp_path, env=env) as running:
        found = infos(running, "")
        for name in ("plain", "steps"):
            assert found[name]["statename"] == "RUNNING"
        inherited = Path(f"/proc/{found['plain']['pid']}/environ").read_bytes().split(b"\0")
        for name, value in env.items():
            if name not in ("NOTIFY_SOCKET", "LISTEN_FDS"):
                assert os.fsencode(f"{name}={value}") in inherited
        assert running.stop() == 0
    assert "Traceback" not in output(tmp_path)


@pytest.mark.behaviour("process.md#foreground-and-background")
@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_streams(tmp_path: Path, closed: str) -> None:
    """No file that is opened later takes their numbers: no program's output lands elsewhere."""
    shell = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh"]
    with started(tmp_path, within=shell, look_in="sup.log") as running:
        found = infos(running, "")
        assert found["plain"]["statename"] == "RUNNING"
        running.rpc.sendProcessStdin("plain", "one line\n")
        eventually(lambda: running.rpc.readProcessStdoutLog("plain", 0, 100), "its output")
        assert running.rpc.readProcessStdoutLog("plain", 0, 100) == "one line\n"
        assert running.stop() == 0


@needs_root
@pytest.mark.behaviour("process.md#privileges")
def test_a_uid_without_an_entry(tmp_path: Path) -> None:
    """As in containers that run with an arbitrary uid and group 0."""
    tmp_path.chmod(0o755)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        os.chown(place, 54321, 0)
        within = as_user(54321, 0)
        with started(place, within=within, programs=PLAIN, base=BASE, user=54321) as running:
            assert running.process.poll() is None, output(place)
            assert infos(running, "")["plain"]["statename"] == "RUNNING"
            assert running.stop() == 0
        assert "Traceback" not in output(place)


@needs_root
@pytest.mark.behaviour("process.md#no-child-is-lost-after-the-fork")
@pytest.mark.parametrize("place", ["/proc", "/sys"])
def test_without_a_file_system_of_the_kernel(tmp_path: Path, place: str) -> None:
    script = f'mount -t tmpfs none {place} && exec "$@"'
    hidden = ["unshare", "--mount", "/bin/sh", "-c", script, "sh"]
    with started(tmp_path, within=hidden) as running:
        found = infos(running, "")
        assert [found[name]["statename"] for name in ("plain", "steps")] == ["RUNNING"] * 2
        os.kill(int(str(found["plain"]["pid"])), signal.SIGKILL)
        eventually(lambda: "exited: plain" in output(tmp_path), "the end of plain")
        assert running.rpc.stopProcess("steps") is True
        assert running.stop() == 0
    assert "Traceback" not in output(tmp_path)


@pytest.mark.behaviour("process.md#log-targets")
@pytest.mark.parametrize("length", [4000, 4150])
def test_a_long_path(tmp_path: Path, length: int) -> None:
    """The kernel takes no path of more than 4,095 bytes at once; logs are opened step by step."""
    deep = str(tmp_path)
    descriptor = os.open(deep, os.O_DIRECTORY)
    try:
        while len(deep) < length - 200:
            os.mkdir("d" * 100, dir_fd=descriptor)
            inner = os.open("d" * 100, os.O_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor, deep = inner, f"{deep}/{'d' * 100}"
        name = "l" * (length - len(deep) - 1)
        with started(tmp_path, programs=PLAIN + f"stdout_logfile={deep}/{name}\n") as running:
            assert infos(running, "")["plain"]["statename"] == "RUNNING"
            running.rpc.sendProcessStdin("plain", "one line\n")

            def written() -> bytes:
                log = os.open(name, os.O_RDONLY, dir_fd=descriptor)
                with open(log, "rb") as file:
                    return file.read()

            eventually(lambda: written() == b"one line\n", "its output")
            assert running.stop() == 0
    finally:
        os.close(descriptor)
    assert "Traceback" not in output(tmp_path)
