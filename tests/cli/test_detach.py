"""Becoming a background process: what the one who started us has to do with it afterwards."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.kit.daemon import eventually
from trio_supervisor.cli.detach import detach
from trio_supervisor.core.errors import SupervisorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Detaches, is ready when it is let, and says so; ``argv``: its directory and code to run first.
PROGRAM = """\
import os, sys
from pathlib import Path
from trio_supervisor.cli.detach import detach
directory = Path(sys.argv[1])
exec(sys.argv[2])
ready = detach()
(directory / "pid").write_text(f"{os.getpid()}\\n")
(directory / "go").read_text()
ready()
(directory / "done").write_text("ready\\n")
(directory / "go").read_text()  # stay
"""
#: A hang-up that comes before the child has left the terminal.
EARLY_HANG_UP = """\
import signal
leave = os.setsid
def setsid():
    os.kill(os.getpid(), signal.SIGHUP)
    leave()
os.setsid = setsid
"""


class Starter:
    """The starting process, and what becomes of the one that it leaves behind."""

    def __init__(self, directory: Path, first: str = "", **options: object) -> None:
        self.directory = directory
        os.mkfifo(directory / "go")
        command = [sys.executable, "-c", PROGRAM, str(directory), first]
        self.process = subprocess.Popen(command, **options)  # type: ignore[call-overload]  # each test has other options

    def detached(self) -> int:
        path = self.directory / "pid"
        eventually(lambda: path.exists() and path.read_text().endswith("\n"), "the child")
        return int(path.read_text())

    def let_go(self) -> None:
        """Let the detached process become ready, and see that it does."""
        (self.directory / "go").write_text("")
        done = self.directory / "done"
        eventually(lambda: done.exists() and done.read_text() == "ready\n", "readiness")

    def close(self) -> None:
        os.kill(self.detached(), signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def starters() -> Iterator[list[Starter]]:
    made: list[Starter] = []
    yield made
    for starter in made:
        starter.close()


@pytest.mark.behaviour("process.md#foreground-and-background")
@pytest.mark.parametrize("first", ["", EARLY_HANG_UP])
def test_the_starter_ends_when_the_child_is_ready(
    tmp_path: Path, starters: list[Starter], first: str
) -> None:
    starter = Starter(tmp_path, first)
    starters.append(starter)
    starter.detached()
    assert starter.process.poll() is None
    starter.let_go()
    assert starter.process.wait() == 0


@pytest.mark.behaviour("process.md#foreground-and-background")
def test_a_starter_that_is_killed_leaves_the_child_alone(
    tmp_path: Path, starters: list[Starter]
) -> None:
    starter = Starter(tmp_path)
    starters.append(starter)
    starter.detached()
    starter.process.kill()
    starter.process.wait()
    starter.let_go()


@pytest.mark.behaviour("process.md#foreground-and-background")
def test_a_terminal_that_hangs_up_leaves_the_child_alone(
    tmp_path: Path, starters: list[Starter]
) -> None:
    master, slave = os.openpty()
    on_terminal = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    streams = {"stdin": slave, "stdout": slave, "stderr": slave}
    starter = Starter(tmp_path, on_terminal, start_new_session=True, **streams)
    starters.append(starter)
    os.close(slave)
    starter.detached()
    os.close(master)
    assert starter.process.wait() == -signal.SIGHUP
    starter.let_go()


@pytest.mark.behaviour("process.md#foreground-and-background")
def test_what_else_the_caller_has_open_is_closed(tmp_path: Path, starters: list[Starter]) -> None:
    """It may wait for the end of file, as ``$(...)`` of a shell does."""
    read, write = os.pipe()
    starter = Starter(tmp_path, pass_fds=[write])
    starters.append(starter)
    os.close(write)
    starter.detached()
    starter.let_go()
    assert starter.process.wait() == 0
    assert os.read(read, 1) == b""
    os.close(read)


def test_a_process_that_cannot_be_forked_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> NoReturn:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    before = signal.getsignal(signal.SIGHUP)
    monkeypatch.setattr(os, "fork", fail)
    try:
        with pytest.raises(SupervisorError, match=r"^cannot become a background process: Res"):
            detach()
    finally:
        signal.signal(signal.SIGHUP, before)
