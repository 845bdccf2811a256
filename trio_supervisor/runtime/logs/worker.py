"""Does the work of all log files in one thread, and gets another while a disk holds that one up.

A regular file cannot be waited for: a write to a disk that hangs (network, frozen, dying) does not
return, and nobody can tell before. So none is made on the event loop (P-256). One thread for all,
because a thread for each log of a thousand programs would be two thousand.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[], None]

#: Seconds one piece of work may take before the others are given to another thread. Usual are
#: 0.0001; a disk that is merely busy seldom takes longer.
HELD_UP = 0.02
#: Seconds after which a thread that was relieved and has not come back has met a disk that hangs.
HANGS = 0.05


class DiskWorker:
    """``submit`` and ``relieve`` may be called in any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ready: deque[Work] = deque()
        self._shift = 0
        """Number of the thread at work; one that was relieved sees another number."""
        self._working = False
        self._watched = False
        self._since = 0.0
        self._relieved = 0
        """Threads that were relieved and have not come back yet."""
        self._relief = 0.0
        """When the last of them was."""

    def submit(self, work: Work) -> None:
        """Have this done soon, after what was submitted before. It must not raise."""
        with self._changed:
            self._ready.append(work)
            inline = False
            if not self._working:
                self._working = True
                inline = not self._begin_shift()
            elif not self._watched:
                self._watched = _start(self._watch)
        if inline:  # out of process slots: better slow than never
            self._serve(self._shift)

    def relieve(self, after: float = HELD_UP) -> bool:
        """Go on in another thread if the present one is held up for so many seconds; whether
        something is still waiting."""
        with self._changed:
            if self._ready and time.monotonic() - self._since >= after:
                self._relieved += self._begin_shift()
                self._relief = time.monotonic()
            return bool(self._ready)

    @property
    def hangs(self) -> bool:
        """Whether some disk is known to hang."""
        return self._relieved > 0 and time.monotonic() - self._relief >= HANGS

    def settle(self, seconds: float) -> None:
        """Wait until all is done, or until one piece of work has taken so long."""
        with self._changed:
            while self._working and (left := self._since + seconds - time.monotonic()) > 0:
                self._changed.wait(left)

    def _begin_shift(self) -> bool:
        """Whether there is a thread for it."""
        started = _start(partial(self._serve, self._shift + 1))
        self._shift += started
        self._since = time.monotonic()
        return started

    def _serve(self, shift: int) -> None:
        while True:
            with self._changed:
                if shift != self._shift:
                    self._relieved -= 1
                    return
                if not self._ready:
                    self._working = False
                    self._changed.notify_all()
                    return
                work = self._ready.popleft()
                self._since = time.monotonic()
            work()

    def _watch(self) -> None:
        """There is more to do while the thread is at work: make sure that it gets on."""
        waiting = True
        while waiting:
            time.sleep(HELD_UP)
            waiting = self.relieve()
        with self._changed:
            self._watched = False


def _start(function: Work) -> bool:
    """Run it in a thread of trio's cache, which are daemon threads; False if there is none."""
    try:
        trio.lowlevel.start_thread_soon(function, lambda outcome: outcome.unwrap())
    except RuntimeError:
        return False
    return True
