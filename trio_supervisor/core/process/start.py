"""Relation of a start to other processes: which ones it may start, and its wait for them.

Only starts of processes with ``depends_on`` have a ``Wait``.
"""

from __future__ import annotations

import enum
from dataclasses import field

from trio_supervisor.core.dataclass import dataclass

#: Name of the group and name of the process.
Key = tuple[str, str]


class Starts(enum.Enum):
    """Which dependencies that are down a start may start with it."""

    NONE = "none"
    """An automatic restart or a retry."""
    UNSTOPPED = "unstopped"
    """The boot, and requests for groups or for all: not what a person has stopped."""
    ALL = "all"
    """A request for this process."""
    IGNORED = "ignored"
    """A request that neither starts dependencies nor waits for them."""


@dataclass(slots=True)
class Wait:
    """The wait of one start attempt for the dependencies of its process."""

    key: Key
    starts: Starts
    text: str = ""
    """For people: ``waiting for db (running)``; empty before the first look and after the wait."""
    hopeless: bool = False
    """Whether it will not end unless somebody does something about a dependency."""
    root: str = ""
    """Where hopeless, the dependency at the end of the chain and why: ``disk, which is FATAL``."""
    over: bool = False
    """Whether a child is, or was, made."""
    seen: set[Key] = field(default_factory=set)
    """Dependencies that were up at the first look, or were started; none is started twice."""


def new_wait(key: Key, starts: Starts, before: Wait | None, *, retried: bool) -> Wait:
    """The wait of a new attempt. ``before`` is that of the attempt before, None if there was none.

    A request that ignores dependencies counts for the automatic retries of its start too.
    """
    if retried and starts is Starts.NONE and before is not None:
        starts = Starts.IGNORED if before.starts is Starts.IGNORED else Starts.NONE
    return Wait(key, starts)
