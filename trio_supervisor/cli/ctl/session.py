"""The state of one run of ``tsupervisorctl``: connections, input, output and exit status."""

from __future__ import annotations

import sys
from _thread import get_ident

from trio_supervisor.cli.client.client import UNAUTHORIZED, Client, Fault, HttpError, ServerAddress
from trio_supervisor.cli.ctl.io import StandardInput, StandardOutput

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TextIO

    from trio_supervisor.cli.client.client import ResponseStream
    from trio_supervisor.cli.client.xml import Param
    from trio_supervisor.cli.ctl.options import ClientOptions

    class HintSource(Protocol):
        """Explains failures, in lines; see ``hints.py``, which imports this module."""

        def of_failure(self, error: Exception) -> list[str]: ...
        def of_start(self, name: str) -> list[str]: ...
        def of_command(self, name: str) -> list[str]: ...
        def of_name(self, written: str) -> list[str]: ...
        def of_line(self, line: str) -> list[str]: ...

    Hint = Callable[[HintSource], list[str]]

#: Exit statuses, with the numbers that the LSB gives init scripts.
GENERIC = 1
INVALID_ARGUMENTS = 2
UNIMPLEMENTED = 3
INSUFFICIENT_PRIVILEGES = 4
NOT_INSTALLED = 5
NOT_RUNNING = 7
#: The daemon did not answer within --timeout; the same number as of timeout(1).
TIMED_OUT = 124

#: The version of the XML-RPC interface this client was written for.
API_VERSION = "3.0"


class UsageMistake(Exception):
    """An action has wrong arguments. Reported with the help of the action if ``with_help``."""

    def __init__(self, text: str, status: int = GENERIC, with_help: bool = True) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.with_help = with_help


def is_timeout(error: BaseException) -> bool:
    """Whether a call failed because of --timeout, not because of the network."""
    return isinstance(error, TimeoutError) and error.errno is None


def explained(session: Session, error: Exception) -> tuple[str, int]:
    """Return the text and the exit status for a call that failed."""
    url = session.options.serverurl
    if isinstance(error, HttpError) and error.status == UNAUTHORIZED:
        return "Server requires authentication", GENERIC
    if isinstance(error, ConnectionRefusedError):
        return f"{url} refused connection", GENERIC
    if isinstance(error, FileNotFoundError):
        return f"{url} no such file", GENERIC
    if isinstance(error, Fault):
        # Imported here because only failures need it.
        from trio_supervisor.core.process.states import FaultCode

        if error.code == FaultCode.SHUTDOWN_STATE:
            return "ERROR: supervisor shutting down", GENERIC
    if is_timeout(error):
        return f"error: no answer from {url} within {session.options.timeout:g} s", TIMED_OUT
    return f"error: {error}", GENERIC


class Session:
    """Context of the actions: calls, output, input and the exit status."""

    def __init__(self, options: ClientOptions, stdout: TextIO) -> None:
        self.options = options
        self.output = StandardOutput(stdout, raw=options.raw)
        self.input = StandardInput(self.output)
        self.exit_status = 0
        """Set by each reported failure, never reset by a success: the last failure counts."""
        self.hints: list[Hint] = []
        """Explanations of the failures so far. They are asked for only if a person reads standard
        error, because they take time and modules that scripts need not load."""
        self._thread = get_ident()
        self._clients: dict[int, Client] = {}
        """By thread: plugins call from several, and calls on one connection cannot overlap."""

    @property
    def is_in_thread(self) -> bool:
        """Whether the caller runs in a thread that a plugin has started."""
        return get_ident() != self._thread

    def line(self, text: str) -> None:
        self.output.line(text)

    def fail(self, text: str, status: int = GENERIC) -> None:
        """Report a failure on standard output, because scripts read nothing else."""
        self.output.line(text)
        self.exit_status = status

    def hint_at_failure(self, error: Exception) -> None:
        """Remember to explain why a call failed."""
        self.hints.append(lambda hints: hints.of_failure(error))

    def call(self, method: str, *params: str | int | bool) -> Any:
        """Call ``supervisor.METHOD``. Raises what ``Client.call`` raises."""
        return self.client().call(f"supervisor.{method}", *params)

    @property
    def is_watched(self) -> bool:
        """Whether standard error is a terminal, so that hints and progress are shown.

        False in threads of plugins, which would draw over one another.
        """
        return sys.stderr is not None and sys.stderr.isatty() and not self.is_in_thread

    def own_call(self, method: str, *params: Param) -> Any:
        """Call ``tsupervisor.METHOD``, which only our daemon has. Raises what ``call`` does."""
        return self.client().call(f"tsupervisor.{method}", *params)

    def stream(self, path: str) -> ResponseStream:
        return self.client().stream(path)

    def client(self) -> Client:
        """The connection of the calling thread."""
        client = self._clients.get(get_ident())
        if client is None:
            client = self._clients[get_ident()] = self.another_client(self.options.timeout)
            client.while_waiting = self._tell_of_killed
        return client

    def _tell_of_killed(self) -> None:
        """Say why there is no answer, if the daemon was killed and a keeper has its socket."""
        from trio_supervisor.cli.killed_daemon import killed_daemon

        client = self.client()
        client.while_waiting = None
        address = ServerAddress(self.options.serverurl)
        pid = killed_daemon(address)
        if pid is not None and sys.stderr is not None:
            which = f"the daemon (pid {pid})" if pid else "the daemon"
            told = f"{which} was killed, its programs go on (survive = adopt); "
            where = address.path or self.options.serverurl
            print(f"{where}: {told}waiting until it is started again", file=sys.stderr)
        elif not (address.path or client.has_answered) and self.is_watched:
            client.while_waiting = self._tell_of_silence

    def _tell_of_silence(self) -> None:
        """Say what may be the case with a daemon that nobody here can look at."""
        client = self.client()
        client.while_waiting = None
        print(
            f"{self.options.serverurl}: connected, and no answer yet: the daemon is stopped or "
            "busy, or was killed and answers when it is started again (survive = adopt)",
            file=sys.stderr,
        )

    def another_client(self, timeout: float | None) -> Client:
        """A further connection to the same daemon; the caller closes it."""
        options = self.options
        return Client(options.serverurl, options.username, options.password, timeout, options.tls)

    def disconnect(self) -> None:
        """Close all connections: at the end, and when the URL or the credentials have changed."""
        while self._clients:
            self._clients.popitem()[1].close()

    def disconnect_thread(self) -> None:
        """Close the connection of the calling thread, if it has one."""
        client = self._clients.pop(get_ident(), None)
        if client is not None:
            client.close()

    def upcheck(self) -> bool:
        """Check the daemon's API version; report a failure and return False if it does not fit.

        A refused connection, a missing socket and a missing namespace are reported as well. Other
        errors of ``call`` are raised.
        """
        url = self.options.serverurl
        try:
            version = self.call("getVersion")
        except ConnectionRefusedError as error:
            self.fail(f"{url} refused connection", INSUFFICIENT_PRIVILEGES)
            self.hint_at_failure(error)
        except FileNotFoundError as error:
            self.fail(f"{url} no such file", NOT_RUNNING)
            self.hint_at_failure(error)
        except Fault as fault:
            # Imported here because only failures need it.
            from trio_supervisor.core.process.states import FaultCode

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
        """Ask for confirmation, in the shell and with -i only.

        The end of input counts as no, and as a failure.
        """
        if not self.options.interactive:
            return True
        answer = self.input.ask(f"{question} y/N? ")
        if answer is None:
            self.exit_status = GENERIC
            return False
        return answer[:1] in ("y", "Y")

    def ask_credentials(self) -> bool:
        """Ask for user name and password, used from now on. False at the end of input."""
        username = self.input.ask("Username:")
        password = self.input.ask_secretly("Password:") if username is not None else None
        self.line("")
        if username is None or password is None:
            return False
        self.options.username, self.options.password = username, password
        self.disconnect()
        return True
