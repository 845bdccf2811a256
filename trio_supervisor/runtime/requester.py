"""Who is asking: a context variable that the faces set and every request reads.

A connection sets it once when it is accepted, and for each request when the user is known; the
signals of the daemon and the methods of plugins set it too. What nothing else has set is a call of
the embedding program. Tasks of processes must not inherit whoever happened to add their group:
``Group.run`` sets it back.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from trio_supervisor.core.process.cause import Cause, CauseKind

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A call from Python, by the program that embeds the supervisor or by one of its tasks.
PYTHON = Cause(CauseKind.REQUEST, "python")
#: A signal to the daemon.
SIGNAL = Cause(CauseKind.REQUEST, "signal")

_cause: ContextVar[Cause] = ContextVar("cause", default=PYTHON)


def cause_of_request() -> Cause:
    """Return the cause of what the present task asks for."""
    return _cause.get()


def set_requester(cause: Cause) -> None:
    """Let all further requests of the present task have this cause."""
    _cause.set(cause)


@contextmanager
def requested_by(cause: Cause) -> Iterator[None]:
    """Let the requests within the block have this cause."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)
