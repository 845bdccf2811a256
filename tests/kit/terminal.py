"""A program on a terminal of its own, with somebody typing."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from tests.kit.ctl import PATIENCE, environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CTRL_C = "\x03"
CTRL_U = "\x15"
CTRL_D = "\x04"
TAB = "\t"
BELL = "\a"
UP = "\x10"  # Ctrl-P, which needs no knowledge of the terminal's escape sequences

#: Seconds after which a person presses a key again.
IMPATIENCE = 1.0

#: Opening the terminal makes it the controlling one of the new session, so that Ctrl-C works.
ON_TERMINAL = 'exec "$@" <"$0" >"$0" 2>"$0"'


class Terminal:
    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self.master = master
        self.process = process
        self._unseen = ""

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def expect(self, text: str) -> str:
        """Wait for this text; returns it with what has come since the last one found."""
        return self.expect_pattern(re.escape(text))

    def expect_pattern(self, pattern: str) -> str:
        while (found := re.search(pattern, self._unseen)) is None:
            if not self._read():
                raise AssertionError(f"{pattern!r} did not come, only {self._unseen!r}")
        seen, self._unseen = self._unseen[: found.end()], self._unseen[found.end() :]
        return seen

    def interrupt(self) -> None:
        """Press Ctrl-C, again until there is a reaction.

        Readline does not notice one that is pressed in the moment before it starts to wait.
        """
        while True:
            self.type(CTRL_C)
            if self._read(IMPATIENCE) and "\n" in self._unseen:
                return

    @property
    def attributes(self) -> list[object]:
        """How the terminal treats what is typed and shown (termios(3))."""
        return termios.tcgetattr(self.master)

    def _receive(self, timeout: float = PATIENCE) -> bytes:
        """What the program has written meanwhile; nothing at its end, or when time is up."""
        ready, _, _ = select.select([self.master], [], [], timeout)
        try:
            return os.read(self.master, 65536) if ready else b""
        except OSError:  # how a terminal tells that nobody has it open any more
            return b""

    def _read(self, timeout: float = PATIENCE) -> bool:
        data = self._receive(timeout)
        self._unseen += data.decode().replace("\r\n", "\n").replace(BELL, "")
        return bool(data)

    def end(self) -> tuple[int, str]:
        """Exit status and the output not yet expected."""
        while self._read():
            pass
        return self.process.wait(PATIENCE), self._unseen


T = TypeVar("T", bound=Terminal)


def set_size(fd: int, columns: int, lines: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def terminal(command: list[str], *, cwd: Path) -> Iterator[Terminal]:
    """A program that writes lines."""
    with started_on(Terminal, command, cwd, TERM="dumb", INPUTRC="/dev/null") as person:
        yield person


@contextmanager
def started_on(make: type[T], command: list[str], cwd: Path, **changes: str) -> Iterator[T]:
    """``changes`` go into the environment."""
    master, slave = os.openpty()
    set_size(master, 80, 24)
    process = subprocess.Popen(
        ["/bin/sh", "-c", ON_TERMINAL, os.ttyname(slave), *command],
        stdin=slave,
        cwd=cwd,
        env=environment(**changes),
        start_new_session=True,
    )
    os.close(slave)  # the program has it; the master must see when nobody has
    try:
        yield make(master, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)
