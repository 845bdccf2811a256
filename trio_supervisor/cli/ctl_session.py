"""One run of ``tsupervisorctl``: its connection, its output, its input and its exit status.

Knows the daemon and the terminal, but no action.
"""

from __future__ import annotations

import os
import sys

from trio_supervisor.cli.client import UNAUTHORIZED, Client, Fault, HttpError
from trio_supervisor.core.states import FaultCode

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from typing import Any, TextIO

    from trio_supervisor.cli.client import Stream
    from trio_supervisor.cli.client_xml import Param
    from trio_supervisor.cli.ctl_colour import Washer
    from trio_supervisor.cli.ctl_options import Options

#: Exit statuses, the numbers of the LSB (ctl.md 4.2).
GENERIC = 1
INVALID_ARGUMENTS = 2
UNIMPLEMENTED = 3
INSUFFICIENT_PRIVILEGES = 4
NOT_INSTALLED = 5
NOT_RUNNING = 7
#: The daemon took longer than --timeout allows; the number is that of timeout(1).
TIMED_OUT = 124

#: The version of the XML-RPC interface this client was written for.
API_VERSION = "3.0"


class UsageMistake(Exception):
    """An action was given wrong arguments; reported with the action's help where ``with_help``."""

    def __init__(self, text: str, status: int = GENERIC, with_help: bool = True) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.with_help = with_help


def is_timeout(error: BaseException) -> bool:
    """Whether it was --timeout that made a call fail, and not the network."""
    return isinstance(error, TimeoutError) and error.errno is None


def explained(session: Session, error: Exception) -> tuple[str, int]:
    """What to say of a call that failed, and the exit status."""
    url = session.options.serverurl
    if isinstance(error, HttpError) and error.status == UNAUTHORIZED:
        return "Server requires authentication", GENERIC
    if isinstance(error, ConnectionRefusedError):
        return f"{url} refused connection", GENERIC  # D-3
    if isinstance(error, FileNotFoundError):
        return f"{url} no such file", GENERIC  # D-3
    if isinstance(error, Fault) and error.code == FaultCode.SHUTDOWN_STATE:
        return "ERROR: supervisor shutting down", GENERIC  # D-4
    if is_timeout(error):
        return f"error: no answer from {url} within {session.options.timeout:g} s", TIMED_OUT
    return f"error: {error}", GENERIC


class Output:
    """Standard output: every write is flushed (D-26), none fails (D-17, D-18).

    After a failed write everything goes to the null device, so that the action still does all it
    was asked for and the interpreter finds nothing to complain about at its end.
    """

    def __init__(self, stream: TextIO, *, raw: bool = False) -> None:
        self.stream = stream
        self.on_terminal = stream.isatty()
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"  # no-color.org
        self.coloured = self.on_terminal and not plain
        self._washes = self.on_terminal and not raw
        self._washer: Washer | None = None
        self.failure: OSError | None = None
        """Why nothing can be written any more; BrokenPipeError is nobody's mistake."""
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def line(self, text: str) -> None:
        self.text(text + "\n")

    def text(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError as error:
            self._give_up(error)

    def data(self, data: bytes) -> None:
        """Bytes of a log, copied through as they are (D-12), but made harmless on a terminal."""
        if self._washes:
            if self._washer is None:
                from trio_supervisor.cli.ctl_colour import Washer

                self._washer = Washer()
            self.text(self._washer.feed(data))
            return
        try:
            self.stream.buffer.write(data)
            self.stream.buffer.flush()
        except OSError as error:
            self._give_up(error)

    def harmless(self, text: str) -> str:
        """Text that programs have written, for a terminal without what would steer it.

        Anywhere else it stays as it is, and with --raw too (interfaces.md section 5).
        """
        if not self._washes:
            return text
        # Imported here because scripts have no terminal.
        from trio_supervisor.cli.ctl_text import harmless

        return "\n".join(harmless(line) for line in text.split("\n"))

    def painted(self, text: str, state: str) -> str:
        """Text in the colour of a state, where there are colours."""
        if not self.coloured:
            return text
        from trio_supervisor.cli.ctl_colour import painted

        return painted(text, state)

    def _give_up(self, error: OSError) -> None:
        self.failure = self.failure or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)


class Input:
    """Standard input by lines, unbuffered beyond the line, so that fg can wait for it with select.

    On a terminal the lines come from ``input``, with readline when the shell has loaded it.
    """

    def __init__(self, output: Output, fd: int = 0) -> None:
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
        sys.stderr.write("Warning: standard input is no terminal, the password may be shown.\n")
        return self.ask(prompt)

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


class Session:
    """What an action works with."""

    def __init__(self, options: Options, stdout: TextIO) -> None:
        self.options = options
        self.output = Output(stdout, raw=options.raw)
        self.input = Input(self.output)
        self.exit_status = 0
        """Each reported failure assigns it, success never resets it (K-4)."""
        self.puzzles: list[tuple[str, Any]] = []
        """What a person may want to know more about: functions of ctl_hints, and their argument."""
        self._client: Client | None = None

    def line(self, text: str) -> None:
        self.output.line(text)

    def fail(self, text: str, status: int = GENERIC) -> None:
        """Report a failure: on standard output, where scripts look for it (K-18)."""
        self.output.line(text)
        self.exit_status = status

    def call(self, method: str, *params: str | int | bool) -> Any:
        """Call ``supervisor.METHOD``. Raises what ``Client.call`` raises."""
        return self.client().call(f"supervisor.{method}", *params)

    @property
    def is_watched(self) -> bool:
        """Whether a person reads standard error. Scripts do not, and compare what they get."""
        return sys.stderr is not None and sys.stderr.isatty()

    def own_call(self, method: str, *params: Param) -> Any:
        """Call ``tsupervisor.METHOD``, which only our daemon has. Raises what ``call`` raises."""
        return self.client().call(f"tsupervisor.{method}", *params)

    def stream(self, path: str) -> Stream:
        return self.client().stream(path)

    def client(self) -> Client:
        if self._client is None:
            self._client = self.another_client(self.options.timeout)
        return self._client

    def another_client(self, timeout: float | None) -> Client:
        """A further connection to the same daemon; the caller closes it."""
        options = self.options
        return Client(options.serverurl, options.username, options.password, timeout, options.tls)

    def disconnect(self) -> None:
        """At the end, and when URL or credentials have changed."""
        if self._client is not None:
            self._client.close()
        self._client = None

    def upcheck(self) -> bool:
        """Whether a daemon of our kind answers; says so if not, and sets the exit status.

        Raises what ``call`` raises for everything that is not one of the four known outcomes.
        """
        url = self.options.serverurl
        try:
            version = self.call("getVersion")
        except ConnectionRefusedError as error:
            self.fail(f"{url} refused connection", INSUFFICIENT_PRIVILEGES)
            self.puzzles.append(("of_failure", error))
        except FileNotFoundError as error:
            self.fail(f"{url} no such file", NOT_RUNNING)
            self.puzzles.append(("of_failure", error))
        except Fault as fault:
            if fault.code != FaultCode.UNKNOWN_METHOD:
                raise
            self.fail(
                "Sorry, the daemon answers but has no supervisor RPC namespace; "
                "its configuration needs a section [rpcinterface:supervisor].",
                UNIMPLEMENTED,
            )
        else:
            if version == API_VERSION:
                return True
            self.fail(
                f"Sorry, this client speaks API version {API_VERSION}, "
                f"but the daemon speaks API version {version}.",
                NOT_INSTALLED,
            )
        return False

    def confirmed(self, question: str) -> bool:
        """Asks in the shell and with -i only; no answer at all is a no and a failure (D-28)."""
        if not self.options.interactive:
            return True
        answer = self.input.ask(f"{question} y/N? ")
        if answer is None:
            self.exit_status = GENERIC
            return False
        return answer[:1] in ("y", "Y")

    def ask_credentials(self) -> bool:
        """Ask who is calling; the answers hold until the end. False at the end of input."""
        username = self.input.ask("Username:")
        password = self.input.ask_secretly("Password:") if username is not None else None
        self.line("")
        if username is None or password is None:
            return False
        self.options.username, self.options.password = username, password
        self.disconnect()
        return True
