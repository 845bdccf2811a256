"""Standard output and input of the client: flushed, safe for a terminal, without exceptions."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from typing import TextIO

    from trio_supervisor.cli.ctl.text import AnsiFilter


def harmless(text: str) -> str:
    """Escape control characters in a text for a terminal; colours are kept."""
    # Imported here because scripts have no terminal.
    from trio_supervisor.cli.ctl import text as ctl_text

    return "\n".join(ctl_text.harmless(line) for line in text.split("\n"))


def complain(text: str) -> None:
    """Write to standard error, if it is open; control characters are escaped on a terminal."""
    stream = sys.stderr
    if stream is not None:
        stream.write(harmless(text) if stream.isatty() else text)
        stream.flush()


class StandardOutput:
    """Standard output: every write is flushed, so that readers of a pipe see it, and none raises.

    After a failed write the output goes to the null device: the action is still carried out, and
    the interpreter reports no error at exit. Characters that the encoding lacks are escaped.
    """

    def __init__(self, stream: TextIO, *, raw: bool = False) -> None:
        self.stream = stream
        self.on_terminal = stream.isatty()
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"  # no-color.org
        self.coloured = self.on_terminal and not plain
        self._filters = self.on_terminal and not raw
        self._ansi_filter: AnsiFilter | None = None
        self.failure: OSError | None = None
        """Why writing has failed; None if it has not. A BrokenPipeError is not reported."""
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None if there is none, or its width is unknown."""
        if not self.on_terminal:
            return None
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or None
        except (OSError, ValueError):  # not a real terminal, or closed
            return None

    def line(self, text: str) -> None:
        """Write a line. On a terminal control characters are escaped, unless --raw is given."""
        self.text((harmless(text) if self._filters else text) + "\n")

    def text(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError as error:
            self._give_up(error)

    def data(self, data: bytes) -> None:
        """Write bytes of a log unchanged; on a terminal control characters are escaped."""
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
        """Return the text in the colour of a state, if colours are in use."""
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
    """Standard input by lines. It buffers nothing in hiding, so that ``fg`` can use select.

    On a terminal lines are read by ``input``, with readline if the shell has loaded it.
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
        """Read a line, without its newline; None at the end of input."""
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
        """Read a line without echo; None at the end of input."""
        if os.isatty(self.fd):
            # Imported here because hardly any run asks for a password.
            import getpass

            try:
                return getpass.getpass(prompt)
            except EOFError:
                return None
        # Like getpass: the prompt goes to standard error, because standard output is for answers.
        warning = "Warning: standard input is no terminal, the password may be shown."
        complain(f"{warning}\n{prompt}")
        answer = self._line()
        complain("\n")
        return answer

    def fill(self) -> None:
        """Read once; blocks until there is input."""
        try:
            data = os.read(self.fd, 4096)
        except OSError:  # closed before we started
            data = b""
        self._pending += data
        self._ended = not data

    @property
    def ended(self) -> bool:
        """True at the end of input, when no buffered line is left."""
        return self._ended and not self._pending

    def buffered_line(self) -> str | None:
        """Return the next buffered line, at the end of input also an unfinished one; else None."""
        line, newline, rest = self._pending.partition(b"\n")
        if not newline and (not self._ended or not line):
            return None
        self._pending = rest
        return line.decode("utf-8", "replace")
