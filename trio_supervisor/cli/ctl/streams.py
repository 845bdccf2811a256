"""Reads several unending responses of the daemon in one thread, and reconnects to it.

Each ``StreamConsumer`` knows what to request and handles the bytes.
"""

from __future__ import annotations

import selectors
import sys
import time

from trio_supervisor.cli.client.client import (
    UNAUTHORIZED,
    Disconnected,
    HttpError,
    ProtocolViolation,
)
from trio_supervisor.cli.ctl.io import complain

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_supervisor.cli.client.client import ResponseStream
    from trio_supervisor.cli.ctl.session import Session

OK = 200
#: From here on an HTTP status means a problem that may be temporary.
SERVER_ERROR = 500
#: Seconds before reconnecting: the first pause and the longest. A restart of the daemon takes less
#: than a second; a daemon that stays down should not cost much processor time.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 3.0

#: Limit on the bytes of a refusal that are read; it is a sentence.
LONGEST_REFUSAL = 65536

#: Kinds of problems: a stream was interrupted; the daemon cannot be reached.
BROKEN, ABSENT = 1, 2

GONE = (OSError, Disconnected, ProtocolViolation)


class StreamConsumer:
    """A request for an unending response, and the handlers of its parts; to be subclassed."""

    def __init__(self) -> None:
        self.stream: ResponseStream | None = None
        """The response; None while there is no connection."""
        self.answered = False
        """The current response has begun, with status 200."""
        self.refusal = bytearray()
        """The body received so far of a response with another status."""

    def path(self) -> str:
        """Return the path to request, also when reconnecting."""
        raise NotImplementedError

    def opened(self, headers: Mapping[str, str]) -> None:
        """Called when the response begins; names of headers are in lower case."""

    def feed(self, data: bytes) -> None:
        raise NotImplementedError

    def ended(self) -> None:
        """Called when the response has ended; it may be requested again."""

    def refused(self, status: int, body: bytes) -> None:
        """Called for a response with another status; it is not requested again."""
        raise NotImplementedError


def follow(session: Session, sources: Iterable[StreamConsumer], *, again: bool) -> None:
    """Read all streams until all have ended, or the output is closed.

    With ``again``, a stream that ends is requested again, also from a restarted daemon. Raises what
    connecting raises for the first time, and without ``again`` later errors as well.
    """
    with selectors.DefaultSelector() as selector:
        follower = _Follower(session, selector, again=again)
        try:
            follower.run(list(sources))
        finally:
            follower.close()


def end_line(session: Session) -> None:
    """End the line on which the terminal shows ^C; a pipe has none."""
    if sys.stdout.isatty():
        session.line("")


class _Follower:
    def __init__(self, session: Session, selector: selectors.BaseSelector, *, again: bool) -> None:
        self._session = session
        self._selector = selector
        self._again = again
        self._waiting: list[StreamConsumer] = []
        """To be requested (again) at the time ``_next``."""
        self._next = 0.0
        self._pause = FIRST_PAUSE
        self._problem = 0
        """The worst problem reported since all streams were connected."""

    def run(self, sources: list[StreamConsumer]) -> None:
        for source in sources:
            self._connect(source)
        while self._session.output.failure is None:
            if self._waiting and time.monotonic() >= self._next:
                self._try_again()
            if not self._waiting and not self._selector.get_map():
                return
            timeout = max(0.0, self._next - time.monotonic()) if self._waiting else None
            for key, _ in self._selector.select(timeout):
                self._read(key.data)

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            self._drop(key.data)

    def _connect(self, source: StreamConsumer) -> None:
        """Request a stream. Raises the exceptions of GONE."""
        source.answered = False
        source.refusal.clear()
        source.stream = self._session.stream(source.path())
        source.stream.stop_blocking()
        self._selector.register(source.stream, selectors.EVENT_READ, source)

    def _try_again(self) -> None:
        waiting, self._waiting = self._waiting, []
        while waiting:
            try:
                self._connect(waiting[0])
            except GONE as error:
                self._report(ABSENT, f"the daemon is gone ({words_of(error)}), waiting for it")
                self._back_off()
                self._waiting += waiting
                return
            del waiting[0]

    def _report(self, problem: int, what: str) -> None:
        """Report a problem, unless as bad a one was reported already."""
        if problem > self._problem:
            self._problem = problem
            _complain(what)

    def _found(self) -> None:
        self._pause = FIRST_PAUSE
        if self._problem:
            self._problem = 0
            _complain("connected again")

    def _read(self, source: StreamConsumer) -> None:
        stream = source.stream
        assert stream is not None
        try:
            data = stream.read()
        except GONE as error:
            if not self._again:
                raise
            self._wait(source, f"the connection broke ({words_of(error)}), connecting again")
            return
        if stream.status == OK:
            if not source.answered:
                source.answered = True
                self._found()
                source.opened(stream.headers)
            source.feed(data)
            if stream.ended:
                self._end(source)
        elif stream.status:
            source.refusal += data
            if stream.ended or len(source.refusal) > LONGEST_REFUSAL:
                self._refuse(source, stream.status)

    def _end(self, source: StreamConsumer) -> None:
        source.ended()
        if self._again:
            self._wait(source, "the daemon has ended the connection, connecting again")
        else:
            self._drop(source)

    def _refuse(self, source: StreamConsumer, status: int) -> None:
        if status == UNAUTHORIZED:
            raise HttpError(source.path(), status, "Unauthorized")
        if self._again and status >= SERVER_ERROR:
            self._wait(source, f"the daemon is not ready (status code {status}), waiting for it")
            return
        self._found()
        self._drop(source)
        source.refused(status, bytes(source.refusal))

    def _wait(self, source: StreamConsumer, why: str) -> None:
        self._report(BROKEN, why)
        self._drop(source)
        if not self._waiting:
            self._back_off()
        self._waiting.append(source)

    def _back_off(self) -> None:
        """Schedule the next attempt; each pause is longer than the last."""
        self._next = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _drop(self, source: StreamConsumer) -> None:
        assert source.stream is not None
        self._selector.unregister(source.stream)
        source.stream.close()
        source.stream = None


def words_of(error: Exception) -> str:
    """Describe an error, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    return str(error) or type(error).__name__


def _complain(text: str) -> None:
    """Write a message to standard error, apart from the output that scripts read."""
    complain(f"tsupervisorctl: {text}\n")
