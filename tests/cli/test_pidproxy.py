"""``tpidproxy``: signals to the pid in a file, and the exit status of the command."""

from __future__ import annotations

import os
import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import finish, install, read_until, run
from tests.kit.daemon import eventually
from tests.kit.strace import failing

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[[list[str]], subprocess.Popen[bytes]]

#: Writes its pidfile, then the name of each signal; TERM ends it (or it waits to be killed).
TARGET = """\
import os, signal, sys
def note(number, frame):
    os.write(1, (signal.Signals(number).name + "\\n").encode())
    if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT) and sys.argv[2] == "ends":
        raise SystemExit(5)
for name in ("HUP", "USR1", "USR2", "TERM", "INT", "QUIT"):
    signal.signal(getattr(signal, "SIG" + name), note)
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""


@pytest.fixture
def pidproxy(tmp_path: Path) -> str:
    return install(tmp_path / "bin", "tpidproxy", script="tpidproxy")


def target(pidfile: Path, behaviour: str) -> list[str]:
    return [sys.executable, "-c", TARGET, str(pidfile), behaviour]


@pytest.mark.behaviour("process.md#tpidproxy")
@pytest.mark.parametrize("words", [[], ["pidfile"]])
def test_too_few_arguments(pidproxy: str, words: list[str]) -> None:
    ran = run([pidproxy, *words])
    assert ran.status == 1
    assert ran.out.startswith("usage: ")
    assert ran.err == ""


@pytest.mark.behaviour("process.md#tpidproxy")
@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 9", 9), ("kill -KILL $$", 137)]
)
def test_ends_with_the_status_of_the_command(pidproxy: str, script: str, status: int) -> None:
    assert run([pidproxy, "/nonexistent", "/bin/sh", "-c", script]) == (status, "", "")


@pytest.mark.behaviour("process.md#tpidproxy")
def test_command_that_cannot_start(pidproxy: str, tmp_path: Path) -> None:
    ran = run([pidproxy, "/nonexistent", "/no/such"])
    assert ran == (127, "Can't start /no/such: No such file or directory\n", "")
    # No PATH search: sh is looked for in the working directory.
    assert run([pidproxy, "/nonexistent", "sh"], cwd=tmp_path).status == 127


@pytest.mark.behaviour("process.md#tpidproxy")
def test_signals_reach_the_pid_of_the_file(start: Start, pidproxy: str, tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    process = start([pidproxy, str(pidfile), *target(pidfile, "ends")])
    seen = read_until(process, lambda text: "ready" in text)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        process.send_signal(number)
        seen += read_until(process, re.compile(number.name).search)
    process.send_signal(signal.SIGTERM)
    ran = finish(process, seen)
    assert ran == (0, "ready\nSIGHUP\nSIGUSR1\nSIGUSR2\nSIGTERM\n", "")


@pytest.mark.behaviour("process.md#tpidproxy")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stays_until_the_target_is_gone(
    start: Start, pidproxy: str, tmp_path: Path, number: signal.Signals
) -> None:
    pidfile = tmp_path / "pid"
    process = start([pidproxy, str(pidfile), *target(pidfile, "stays")])
    seen = read_until(process, lambda text: "ready" in text)
    process.send_signal(number)
    seen += read_until(process, lambda text: number.name in text)
    process.send_signal(signal.SIGHUP)  # still passed on while waiting
    seen += read_until(process, lambda text: "SIGHUP" in text)
    assert process.poll() is None
    os.kill(int(pidfile.read_text()), signal.SIGKILL)
    assert finish(process, seen) == (0, f"ready\n{number.name}\nSIGHUP\n", "")


@pytest.mark.parametrize(
    ("call", "error"),
    [("pidfd_open", "ENOSYS"), ("pidfd_open", "EPERM"), ("pidfd_send_signal", "EPERM")],
)
def test_kernels_and_sandboxes_without_pidfds(
    start: Start, pidproxy: str, tmp_path: Path, call: str, error: str
) -> None:
    pidfile = tmp_path / "pid"
    process = start([*failing(call, error), pidproxy, str(pidfile), *target(pidfile, "stays")])
    seen = read_until(process, lambda text: "ready" in text)
    process.send_signal(signal.SIGTERM)
    seen += read_until(process, lambda text: "SIGTERM" in text)
    process.send_signal(signal.SIGHUP)
    seen += read_until(process, lambda text: "SIGHUP" in text)
    assert process.poll() is None
    os.kill(int(pidfile.read_text()), signal.SIGKILL)
    assert finish(process, seen) == (0, "ready\nSIGTERM\nSIGHUP\n", "")


def test_target_that_is_not_the_command(start: Start, pidproxy: str, tmp_path: Path) -> None:
    """The usual case: a launcher, and a daemon of its own that wrote the pidfile."""
    pidfile = tmp_path / "pid"
    daemon = start(target(pidfile, "ends"))
    read_until(daemon, lambda text: "ready" in text)
    process = start([pidproxy, str(pidfile), "/bin/sh", "-c", "echo up; read line"])
    read_until(process, lambda text: "up" in text)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert finish(daemon).status == 5
    finish(process)  # closes its input, which ends the launcher


@pytest.mark.behaviour("process.md#tpidproxy")
@pytest.mark.parametrize("content", [None, "", "word", "0", "-1"])
def test_unreadable_pidfile(
    start: Start, pidproxy: str, tmp_path: Path, content: str | None
) -> None:
    pidfile = tmp_path / "pid"
    if content is not None:
        pidfile.write_text(content)
    process = start([pidproxy, str(pidfile), "/bin/sh", "-c", "echo up; read line; exit 3"])
    seen = read_until(process, lambda text: "up" in text)
    process.send_signal(signal.SIGTERM)
    seen += read_until(process, lambda text: "\n" in text)
    assert seen == f"up\nCan't read child pidfile {pidfile}!\n"
    assert finish(process).status == 3  # it has stayed for the command


@pytest.mark.behaviour("process.md#tpidproxy")
def test_a_dead_pid_is_reported(start: Start, pidproxy: str, tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    dead = start(["/bin/true"])
    finish(dead)
    pidfile.write_text(f"{dead.pid}\n")
    process = start([pidproxy, str(pidfile), "/bin/sh", "-c", "echo up; read line"])
    seen = read_until(process, lambda text: "up" in text)
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 1
    seen = finish(process, seen).out
    assert seen == f"up\nCan't signal pid {dead.pid} of {pidfile}: No such process\n"


def test_no_descriptor_is_left_after_many_signals(
    start: Start, pidproxy: str, tmp_path: Path
) -> None:
    pidfile = tmp_path / "pid"
    process = start([pidproxy, str(pidfile), *target(pidfile, "ends")])
    seen = read_until(process, lambda text: "ready" in text)
    before = len(os.listdir(f"/proc/{process.pid}/fd"))
    for _ in range(5):
        process.send_signal(signal.SIGUSR1)
        seen += read_until(process, lambda text: "SIGUSR1" in text)
    eventually(lambda: len(os.listdir(f"/proc/{process.pid}/fd")) == before, "descriptors closed")
    process.send_signal(signal.SIGTERM)
    assert finish(process, seen).status == 0
