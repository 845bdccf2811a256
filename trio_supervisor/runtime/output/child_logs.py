"""The logs of a child that are in files: whoever makes the child opens them before it.

One job of one thread does both, and no event loop waits in between. Three parties are involved: the
thread opens the logs, the task that has the child made may give up before they are open, and
the event loop writes to them afterwards.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from trio_supervisor.runtime.output.channel import begin_channels
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.spawn.steps import errno_name
from trio_supervisor.runtime.system.opening import explanation

if TYPE_CHECKING:
    from trio_supervisor.runtime.logs.log_opening import LogOpening
    from trio_supervisor.runtime.logs.sinks import Sinks
    from trio_supervisor.runtime.output.channel import OutputChannel


class ChildLogs:
    """The logs of the next child of a process."""

    __slots__ = ("_began", "_channels", "_given_up", "_is_open", "_label", "_opening", "_sinks")

    #: For all: it is held for a moment, and a lock for each would be memory.
    _lock = threading.Lock()

    def __init__(
        self,
        label: str,
        channels: tuple[OutputChannel, ...],
        opening: LogOpening,
        sinks: Sinks,
    ) -> None:
        self._label = label
        self._channels = channels
        self._opening = opening
        self._sinks = sinks
        self._began: float | None = None
        self._is_open = False
        """Whether they are open, and not taken yet."""
        self._given_up = False

    def open(self) -> None:
        """Open all, in a thread. Raises SpawnError; none is open then."""
        self._began = time.monotonic()
        try:
            if not self._given_up:
                self._opening.run()
        except OSError as error:
            raise unopened(self._label, error) from error
        with self._lock:
            self._is_open = not self._given_up
        if self._given_up:
            self._opening.close()
            raise self.unanswered()

    @property
    def are_files(self) -> bool:
        """Whether those that are open are regular files, which can be taken at any time.

        Others must be taken before there is a child, because that may fail.
        """
        return self._opening.are_files

    def left(self, seconds: float) -> float:
        """Return how much is left of so many seconds for opening them."""
        if self._began is None:
            return seconds
        return max(0.0, self._began + seconds - time.monotonic())

    def give_up(self) -> bool:
        """Open them no more, and close what is open; False if they are open already."""
        with self._lock:
            self._given_up = not self._is_open
            return self._given_up

    def unanswered(self) -> SpawnError:
        """Return what to raise if opening them takes too long."""
        return unopened(self._label, self._opening.unanswered())

    def take(self) -> None:
        """Write to them from now on, if they are open; in the event loop. Raises SpawnError."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            begin_channels(self._channels, self._sinks.opened(self._opening))
        except OSError as error:
            for channel in self._channels:
                channel.finish()
            raise unopened(self._label, error) from error


def unopened(label: str, error: OSError) -> SpawnError:
    """Return what to raise if a log of a process cannot be opened."""
    text = f"unknown error making dispatchers for '{label}': {errno_name(error)}"
    if (why := explanation(error)) is not None:
        text = f"{text}: {error.filename}: {why}"
    return SpawnError(text, file=str(error.filename or ""))
