"""Context variable with the cause of the requests that the current task makes.

The HTTP servers set it for each connection, and again for each request once the user is known. The
daemon's signal handler and the methods of plugins set it too. The default is a call from Python by
the embedding program. The tasks of a group's processes must not inherit the cause of the request
that added the group, so ``Group.run`` resets it.
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
    """Return the cause of the current task's requests."""
    return _cause.get()


def set_requester(cause: Cause) -> None:
    """Set the cause of all further requests of the current task."""
    if _cause.get() is not cause:  # tasks that have not set it share the values of their contexts
        _cause.set(cause)


@contextmanager
def requested_by(cause: Cause) -> Iterator[None]:
    """Set the cause of the requests within the block."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)
