"""All errors of this package. ``str()`` of each is the line that a user sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from trio_supervisor.core.diagnostics import Diagnostic, Place, Severity
from trio_supervisor.core.process.states import FaultCode

if TYPE_CHECKING:
    from trio_supervisor.core.process.exit import Exit


class SupervisorError(Exception):
    """Base class of all errors of this package; never raised itself."""


class InternalError(SupervisorError):
    """A bug in this package: an assumption of the code does not hold."""


class NotTakenOver(InternalError):
    """What a killed daemon has left cannot be taken over, for a bug; the cause is the error."""


class ConfigError(SupervisorError):
    """A configuration cannot be used.

    ``str()`` is the message with its place appended; ``diagnostic`` has the parts.
    """

    def __init__(
        self,
        message: str,
        *,
        section: str | None = None,
        option: str | None = None,
        file: str | None = None,
        line: int | None = None,
        hint: str | None = None,
        unknown_name: str | None = None,
    ) -> None:
        super().__init__(message)
        place = Place(file, line or 0, section, option)
        self.diagnostic = Diagnostic(Severity.ERROR, message, place, hint)
        self.unknown_name = unknown_name
        """The name that the value uses and nothing sets, where that is the error."""

    @property
    def message(self) -> str:
        """The error message without its place."""
        return self.diagnostic.text

    @property
    def section(self) -> str | None:
        """Name of the section; None if it is not about one."""
        return self.diagnostic.place.section

    @property
    def option(self) -> str | None:
        """Name of the option; None if it is not about one."""
        return self.diagnostic.place.option

    @property
    def file(self) -> str | None:
        """Path of the file; None if the error is in no file."""
        return self.diagnostic.place.file

    @property
    def line(self) -> int | None:
        """Line in the file, from 1; None if it is not known."""
        return self.diagnostic.place.line or None

    @property
    def hint(self) -> str | None:
        """Advice how to fix the error; None means that there is none."""
        return self.diagnostic.hint

    def __str__(self) -> str:
        return self.placed if self.hint is None else f"{self.placed}; {self.hint}"

    @property
    def placed(self) -> str:
        """The message and its place without the hint, as remote clients get it."""
        text = self.message
        if self.section is not None:
            text += f" in section {self.section!r}"
        where = []
        if self.option is not None:
            where.append(f"option: {self.option!r}")
        if self.file is not None:
            where.append(f"file: {self.file!r}")
        if self.line is not None:
            where.append(f"line: {self.line}")
        if where:
            text += f" ({', '.join(where)})"
        return text


class ServerError(SupervisorError):
    """The socket of an HTTP server cannot be opened."""


class PluginError(SupervisorError):
    """An rpcinterface plugin cannot be created."""


class StateUnreachable(SupervisorError):
    """A state that a task waits for cannot be reached without a request to start the process.

    ``process`` is its full name, ``reason`` tells in words why, and ``exit`` is how the last child
    ended; None if no child has.
    """

    def __init__(self, what: str, *, process: str, reason: str, exit: Exit | None) -> None:
        super().__init__(f"{process} {what}: {reason}")
        self.process = process
        self.reason = reason
        self.exit = exit


class StreamOverflow(SupervisorError):
    """More waited for the reader of a stream than it has room for, and ``overflow="error"``."""


class ProcessFailed(SupervisorError):
    """A process has ended that should not have, or a job has failed.

    ``process`` is its full name, ``reason`` tells in words why it does not run, ``exit`` is how its
    last child ended (None if the last attempt led to no child), ``tail`` has the last lines that
    this child wrote to stderr, else to stdout. ``code`` is the exit code for a program that ends
    because of it: ``sys.exit(error.code)``; that of the child, 128 and the number of a signal, 127
    or 126 for a command that was not found or cannot be executed, else 1.
    """

    def __init__(
        self, process: str, reason: str, *, exit: Exit | None, tail: str = "", code: int = 1
    ) -> None:
        last = f"; last output:\n{tail}".rstrip() if tail else ""
        super().__init__(f"{process}: {reason}{last}")
        self.process = process
        self.reason = reason
        self.exit = exit
        self.tail = tail
        self.code = code

    def because(self, reason: str) -> ProcessFailed:
        """Return the same failure with another reason in front of its own."""
        return ProcessFailed(
            self.process, f"{reason}; {self.reason}", exit=self.exit, tail=self.tail, code=self.code
        )


class RequestError(SupervisorError):
    """A request that cannot be carried out; ``code`` is its XML-RPC fault number.

    ``str()`` is the name of the fault and ``detail``: ``BAD_NAME: zz``.
    """

    code: ClassVar[FaultCode]

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail or ""
        self._has_detail = detail is not None

    @property
    def number(self) -> int:
        """The fault number that clients see."""
        return int(self.code)

    def __str__(self) -> str:
        # An empty detail is not the same as none: an empty name gives ``BAD_NAME: ``.
        return f"{self.code.name}: {self.detail}" if self._has_detail else self.code.name


class UnknownMethod(RequestError):
    """No such remote method."""

    code = FaultCode.UNKNOWN_METHOD


class IncorrectParameters(RequestError):
    """Wrong number or types of arguments."""

    code = FaultCode.INCORRECT_PARAMETERS


class BadArguments(RequestError):
    """Offset and length of a log read do not go together."""

    code = FaultCode.BAD_ARGUMENTS


class SignatureUnsupported(RequestError):
    """Help or signature of a method that does not exist."""

    code = FaultCode.SIGNATURE_UNSUPPORTED


class ShuttingDown(RequestError):
    """The supervisor is shutting down or restarting."""

    code = FaultCode.SHUTDOWN_STATE


class BadName(RequestError):
    """No process or group has this name; ``detail`` is the name that the client sent."""

    code = FaultCode.BAD_NAME


class BadSignal(RequestError):
    """Not a signal; ``detail`` is the word that the client sent."""

    code = FaultCode.BAD_SIGNAL


class NoFile(RequestError):
    """A command or a log does not exist, or a child's stdin is closed."""

    code = FaultCode.NO_FILE


class NotExecutable(RequestError):
    """The command exists but cannot be run."""

    code = FaultCode.NOT_EXECUTABLE


class Failed(RequestError):
    """An error without a fault of its own; ``detail`` has the reason."""

    code = FaultCode.FAILED


class AbnormalTermination(RequestError):
    """A start did not lead to RUNNING.

    The attempt ended in another state, the process was STOPPING, or another stop request called
    off the start of a restart.
    """

    code = FaultCode.ABNORMAL_TERMINATION


class SpawnFailed(RequestError):
    """A start attempt failed; further attempts may follow."""

    code = FaultCode.SPAWN_ERROR


class WaitsInVain(SpawnFailed):
    """A start waits for a dependency that will not come up by itself; ``reason`` says for which.

    The process goes on waiting.
    """

    def __init__(self, detail: str, reason: str) -> None:
        super().__init__(detail)
        self.reason = reason


class AlreadyStarted(RequestError):
    """The process is STARTING, RUNNING or BACKOFF."""

    code = FaultCode.ALREADY_STARTED


class NotRunning(RequestError):
    """The process has no child to stop, signal or write to."""

    code = FaultCode.NOT_RUNNING


class AlreadyAdded(RequestError):
    """The group is active already."""

    code = FaultCode.ALREADY_ADDED


class StillRunning(RequestError):
    """The group has processes that are not stopped."""

    code = FaultCode.STILL_RUNNING


class CantReread(RequestError):
    """The configuration cannot be read again; ``detail`` is the ConfigError's text."""

    code = FaultCode.CANT_REREAD


class PluginFault(RequestError):
    """A fault raised by a plugin, with its own number and text."""

    code = FaultCode.FAILED

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self._number = number

    @property
    def number(self) -> int:
        return self._number

    def __str__(self) -> str:
        return self.detail
