"""Standard output and input of the client: flushed, harmless on a terminal, never failing.

Knows streams and terminals, but neither the daemon nor any action.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from typing import TextIO

    from trio_supervisor.cli.ctl.text import AnsiFilter


def harmless(text: str) -> str:
    """Text for a terminal without what would steer it, but for colours."""
    # Imported here because scripts have no terminal.
    from trio_supervisor.cli.ctl import text as ctl_text

    return "\n".join(ctl_text.harmless(line) for line in text.split("\n"))


def complain(text: str) -> None:
    """Write to standard error, if it is open; harmless if that is a terminal."""
    stream = sys.stderr
    if stream is not None:
        stream.write(harmless(text) if stream.isatty() else text)
        stream.flush()


class StandardOutput:
    """Standard output: every write is flushed (D-26), none fails (D-17, D-18).

    After a failed write everything goes to the null device, so that the action still does all it
    was asked for and the interpreter finds nothing to complain about at its end.
    """

    def __init__(self, stream: TextIO, *, raw: bool = False) -> None:
        self.stream = stream
        self.on_terminal = stream.isatty()
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"  # no-color.org
        self.coloured = self.on_terminal and not plain
        self._filters = self.on_terminal and not raw
        self._ansi_filter: AnsiFilter | None = None
        self.failure: OSError | None = None
        """Why nothing can be written any more; BrokenPipeError is nobody's mistake."""
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where there is none, or where it does not know."""
        if not self.on_terminal:
            return None
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or None
        except (OSError, ValueError):  # not a real terminal, or closed
            return None

    def line(self, text: str) -> None:
        """Write a line; whatever a daemon or a program has put into it does not steer a terminal.

        Anywhere else it stays as it is, and with --raw too (interfaces.md section 5).
        """
        self.text((harmless(text) if self._filters else text) + "\n")

    def text(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError as error:
            self._give_up(error)

    def data(self, data: bytes) -> None:
        """Bytes of a log, copied through as they are (D-12), but made harmless on a terminal."""
        if self._filters:
            if self._ansi_filter is None:
                from trio_supervisor.cli.ctl.text import AnsiFilter

                self._ansi_filter = AnsiFilter()
            self.text(self._ansi_filter.feed(data))
            return
        try:
            self.stream.buffer.write(data)
            self.stream.buffer.flush()
        except OSError as error:
            self._give_up(error)

    def painted(self, text: str, state: str) -> str:
        """Text in the colour of a state, where there are colours."""
        if not self.coloured:
            return text
        from trio_supervisor.cli.ctl.text import painted

        return painted(text, state)

    def _give_up(self, error: OSError) -> None:
        self.failure = self.failure or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)


class StandardInput:
    """Standard input by lines, unbuffered beyond the line, so that fg can wait for it with select.

    On a terminal the lines come from ``input``, with readline when the shell has loaded it.
    """

    def __init__(self, output: StandardOutput, fd: int = 0) -> None:
        self.fd = fd
        self._output = output
        self._pending = b""
        self._ended = False

    @property
    def on_terminal(self) -> bool:
        return os.isatty(self.fd) and sys.stdout.isatty()

    def ask(self, prompt: str) -> str | None:
        """A line without its end; None at the end of input."""
        if self.on_terminal:
            try:
                return input(prompt)
            except EOFError:
                return None
        self._output.text(prompt)
        return self._line()

    def _line(self) -> str | None:
        while not self._ended and b"\n" not in self._pending:
            self.fill()
        return self.buffered_line()

    def ask_secretly(self, prompt: str) -> str | None:
        """A line that is not shown while typed; None at the end of input."""
        if os.isatty(self.fd):
            # Imported here because hardly any run asks for a password.
            import getpass

            try:
                return getpass.getpass(prompt)
            except EOFError:
                return None
        # Like getpass: standard output, for the answers, gets neither the prompt nor a line of it.
        warning = "Warning: standard input is no terminal, the password may be shown."
        complain(f"{warning}\n{prompt}")
        answer = self._line()
        complain("\n")
        return answer

    def fill(self) -> None:
        """Read once; blocks until there is something."""
        try:
            data = os.read(self.fd, 4096)
        except OSError:  # closed before we started
            data = b""
        self._pending += data
        self._ended = not data

    @property
    def ended(self) -> bool:
        """Nothing is left and nothing will come."""
        return self._ended and not self._pending

    def buffered_line(self) -> str | None:
        """The next line that has already come; at the end of input also an unfinished one."""
        line, newline, rest = self._pending.partition(b"\n")
        if not newline and (not self._ended or not line):
            return None
        self._pending = rest
        return line.decode("utf-8", "replace")
