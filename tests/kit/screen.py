"""A program that draws on the whole screen of a terminal, and somebody who looks at it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyte

from tests.kit.ctl import PATIENCE
from tests.kit.terminal import Terminal, set_size, started_on

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


class ScreenTerminal(Terminal):
    """Shows what programs draw that use the whole screen."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        super().__init__(master, process)
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the screen shows this; ``^`` and ``$`` are ends of lines."""
        while (found := re.search(pattern, self.text, re.MULTILINE)) is None:
            if not self._read():
                raise AssertionError(f"{pattern!r} is not shown:\n{self.text}")
        return found

    def wait_until_gone(self, pattern: str) -> None:
        """Wait until the screen does not show this any more."""
        while re.search(pattern, self.text, re.MULTILINE) is not None:
            if not self._read():
                raise AssertionError(f"{pattern!r} is still shown:\n{self.text}")

    def resize(self, columns: int, lines: int) -> None:
        self._screen.resize(lines, columns)
        set_size(self.master, columns, lines)

    def terminate(self) -> None:
        self.process.terminate()

    @property
    def cursor_hidden(self) -> bool:
        return bool(self._screen.cursor.hidden)

    def style(self, text: str) -> pyte.screens.Char:
        """The first character of the first place that shows this."""
        for y, line in enumerate(self._screen.display):
            if text in line:
                return self._screen.buffer[y][line.index(text)]
        raise AssertionError(f"{text!r} is not shown:\n{self.text}")

    def _read(self, timeout: float = PATIENCE) -> bool:
        data = self._receive(timeout)
        self._stream.feed(data)
        return bool(data)


@contextmanager
def screen(command: list[str], *, cwd: Path, **changes: str) -> Iterator[ScreenTerminal]:
    """A program that draws on a screen of 80x24; ``changes`` go into the environment."""
    # The Linux console has no sequences that pyte does not know.
    with started_on(ScreenTerminal, command, cwd, **{"TERM": "linux", **changes}) as person:
        yield person
