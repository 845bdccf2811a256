"""The terminal in full-screen mode, by curses: paints styled lines and reads keys.

The terminal is restored in any case.
"""

from __future__ import annotations

import curses
import locale
import os
import sys
from contextlib import contextmanager, suppress

from trio_supervisor.cli.ctl.text import plain

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Milliseconds to wait for the rest of a key's escape sequence. The default of curses, a second,
#: would delay every press of Esc.
ESCAPE_DELAY = 25

#: Attributes for terminals without colours: the styles must still be distinguishable.
PLAIN_STYLES = {
    "bold": curses.A_BOLD,
    "dim": curses.A_DIM,
    "head": curses.A_REVERSE,
    "sorted": curses.A_REVERSE | curses.A_BOLD | curses.A_UNDERLINE,
    "cursor": curses.A_REVERSE,
    "bad": curses.A_BOLD,
}
COLOURS = {"good": curses.COLOR_GREEN, "busy": curses.COLOR_YELLOW, "bad": curses.COLOR_RED}


class ScreenError(Exception):
    """The terminal cannot be used; the text says why."""


class Screen:
    """A context manager that takes over the terminal. Raises ScreenError."""

    def __enter__(self) -> Screen:
        with suppress(locale.Error):  # unknown locale: go on with the C locale
            locale.setlocale(locale.LC_CTYPE, "")
        terminal = os.environ.get("TERM", "")
        try:
            curses.setupterm(terminal, sys.stdout.fileno())
        except curses.error:
            raise ScreenError(f"unknown terminal type '{terminal}' (TERM)") from None
        if curses.tigetstr("cup") is None:
            raise ScreenError(f"a terminal of type '{terminal}' (TERM) has no screen to draw on")
        self._window = curses.initscr()
        try:
            self._prepare()
        except BaseException:
            curses.endwin()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        curses.endwin()

    def _prepare(self) -> None:
        curses.noecho()
        curses.cbreak()
        curses.set_escdelay(ESCAPE_DELAY)
        self._window.keypad(True)
        self._window.nodelay(True)
        with suppress(curses.error):  # not every terminal can hide it
            curses.curs_set(0)
        self._styles = dict(PLAIN_STYLES)
        if not os.environ.get("NO_COLOR") and _start_colours():
            for pair, (style, colour) in enumerate(COLOURS.items(), 1):
                curses.init_pair(pair, colour, -1)
                self._styles[style] = curses.color_pair(pair)

    @property
    def size(self) -> tuple[int, int]:
        """The current number of columns and lines."""
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
        if self._window.getmaxyx() != (lines, columns):
            curses.resizeterm(lines, columns)
        return columns, lines

    def paint(self, lines: Iterable[Iterable[tuple[str, str]]]) -> None:
        """Replace the contents of the screen by these lines."""
        self._window.erase()
        for y, line in enumerate(lines):
            with suppress(curses.error):  # the last cell, or outside after a resize
                self._window.move(y, 0)
                for text, styles in line:
                    self._window.addstr(self._drawable(text), self._attributes(styles))
        self._window.refresh()

    def pressed(self) -> Iterator[str]:
        """Yield the keys pressed so far: characters, and the names that curses gives other keys."""
        while True:
            try:
                key = self._window.get_wch()
            except curses.error:
                return
            if isinstance(key, int):
                name = curses.keyname(key).decode()
                yield "\n" if name == "KEY_ENTER" else name
            else:
                yield key

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave full-screen mode for the length of the block."""
        curses.endwin()
        try:
            yield
        finally:
            self._window.clear()
            self._window.refresh()

    def _attributes(self, styles: str) -> int:
        attributes = 0
        for style in styles.split():
            attributes |= self._styles.get(style, 0)
        return attributes

    def _drawable(self, text: str) -> str:
        encoding = self._window.encoding
        return plain(text).encode(encoding, "replace").decode(encoding, "replace")


def _start_colours() -> bool:
    try:
        curses.start_color()
        curses.use_default_colors()
    except curses.error:
        return False
    return curses.has_colors()
