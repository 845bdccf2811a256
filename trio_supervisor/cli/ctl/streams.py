"""Endless answers of the daemon: several at once, in one thread; they come back when it does.

Knows when to connect and where to read; what the bytes mean is the matter of each ``Source``.
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
#: From here on a status tells of trouble that may pass.
SERVER_ERROR = 500
#: Seconds until the next attempt to reach a daemon that is gone: at first, and at most. A restart
#: takes less than a second; a person who fixes a configuration should not hurt the machine.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 3.0

#: Bytes of a refusal that are read; it is a sentence.
LONGEST_REFUSAL = 65536

#: Kinds of trouble: a stream ended before its time; nobody is there to give another.
BROKEN, ABSENT = 1, 2

GONE = (OSError, Disconnected, ProtocolViolation)


class StreamConsumer:
    """One endless answer and what becomes of it; to be subclassed."""

    def __init__(self) -> None:
        self.stream: ResponseStream | None = None
        """Open, or None while there is no connection."""
        self.answered = False
        """The present stream has begun with 200."""
        self.refusal = bytearray()
        """The body of another answer so far."""

    def path(self) -> str:
        """What to ask for, now."""
        raise NotImplementedError

    def opened(self, headers: Mapping[str, str]) -> None:
        """The answer begins; names of headers are in lower case."""

    def feed(self, data: bytes) -> None:
        raise NotImplementedError

    def ended(self) -> None:
        """The answer has ended; it may be asked for again."""

    def refused(self, status: int, body: bytes) -> None:
        """The daemon will not give it; it is not asked for again."""
        raise NotImplementedError


def follow(session: Session, sources: Iterable[StreamConsumer], *, again: bool) -> None:
    """Read all sources until none is left, or nobody reads our output any more.

    With ``again``, what ends is asked for again, also of the next daemon. Raises what connecting
    raises at the first time; later only without ``again``.
    """
    with selectors.DefaultSelector() as selector:
        follower = _Follower(session, selector, again=again)
        try:
            follower.run(list(sources))
        finally:
            follower.close()


def end_line(session: Session) -> None:
    """What follows should not stand behind the ^C; in a pipe there is none."""
    if sys.stdout.isatty():
        session.line("")


class _Follower:
    def __init__(self, session: Session, selector: selectors.BaseSelector, *, again: bool) -> None:
        self._session = session
        self._selector = selector
        self._again = again
        self._waiting: list[StreamConsumer] = []
        """To be asked for (again) at ``_next``."""
        self._next = 0.0
        self._pause = FIRST_PAUSE
        self._trouble = 0
        """The worst that was said since all was well."""

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
        """Raises what is in GONE."""
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
                self._miss(ABSENT, f"the daemon is gone ({words_of(error)}), waiting for it")
                self._rest()
                self._waiting += waiting
                return
            del waiting[0]

    def _miss(self, trouble: int, what: str) -> None:
        """Say it, unless as much was said already."""
        if trouble > self._trouble:
            self._trouble = trouble
            _tell(what)

    def _found(self) -> None:
        self._pause = FIRST_PAUSE
        if self._trouble:
            self._trouble = 0
            _tell("connected again")

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
        self._miss(BROKEN, why)
        self._drop(source)
        if not self._waiting:
            self._rest()
        self._waiting.append(source)

    def _rest(self) -> None:
        """The next attempt is later than the last one was."""
        self._next = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _drop(self, source: StreamConsumer) -> None:
        assert source.stream is not None
        self._selector.unregister(source.stream)
        source.stream.close()
        source.stream = None


def words_of(error: Exception) -> str:
    """What went wrong, without the number that the system has for it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    return str(error) or type(error).__name__


def _tell(text: str) -> None:
    """For people, beside what scripts read."""
    complain(f"tsupervisorctl: {text}\n")
