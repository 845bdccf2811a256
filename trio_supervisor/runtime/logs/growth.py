"""Wakes the followers of log files when this daemon has written to the file.

Theory of operation
-------------------
A regular file cannot be waited for. But the daemon writes most of the logs that are followed, so
the sinks tell of each write when it has been made (``LogWrites.written``, in the disk worker's
thread), and followers wait for that instead of looking again and again.

Other programs may write the same file, and truncate or replace it. A follower therefore also looks
without being woken:

* every ``LOOK`` seconds if the daemon has no sink open for the path: then only others write it;
* every ``LOOK_AT_OURS`` seconds if it has one, because others seldom write there as well. If such a
  look finds something, others do, and for a while it is looked at as often as their files are.

A follower looks about every ``LOOK`` seconds at most, however often the log is written. Looks that
are due by time, or put off, happen at the same time for all followers, so that one thread does them
all.
"""

from __future__ import annotations

import threading

import trio

#: Seconds between two looks at a log that others write, and the least between any two. A power of
#: two, so that the time left to the next look is exact.
LOOK = 0.125
#: Seconds between two looks, without being woken, at a log that this daemon writes.
LOOK_AT_OURS = 2.0
#: Seconds for which a log counts as written by others after they were seen to write it.
OTHERS_SEEN = 60.0


class LogWrites:
    """The log files that this daemon has open, and the tasks that wait for them to grow.

    ``opened``, ``closed`` and ``written`` may be called in any thread. All followers are tasks of
    one event loop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writers: dict[str, int] = {}
        self._followers: dict[str, tuple[Growth, ...]] = {}
        """The tuples are replaced, never changed, so ``written`` needs no lock."""
        self._announced: set[str] = set()
        """Files whose followers the loop is about to wake; until then more writes cost nothing."""

    def opened(self, path: str) -> None:
        """Count one more sink that writes this file."""
        with self._lock:
            self._writers[path] = self._writers.get(path, 0) + 1
        self.written(path)

    def closed(self, path: str) -> None:
        """Count one sink less that writes this file."""
        with self._lock:
            self._writers[path] -= 1
            if not self._writers[path]:
                del self._writers[path]
        self.written(path)

    def written(self, path: str) -> None:
        """Wake the followers of a file that was written, cleared or reopened."""
        followers = self._followers.get(path)
        if followers and path not in self._announced:
            self._announced.add(path)
            try:
                followers[0].token.run_sync_soon(self._wake, path)
            except trio.RunFinishedError:
                self._announced.discard(path)

    def writes(self, path: str) -> bool:
        """Return whether some sink is open for this path."""
        return path in self._writers

    def count(self, path: str) -> int:
        """Return how many sinks are open for this path."""
        return self._writers.get(path, 0)

    def follow(self, path: str) -> Growth:
        """Return what a follower of this file waits for. It is to be closed."""
        growth = Growth(self, path)
        with self._lock:
            self._followers[path] = (*self._followers.get(path, ()), growth)
        return growth

    def _wake(self, path: str) -> None:
        self._announced.discard(path)  # before the looks, so that none misses a later write
        for growth in self._followers.get(path, ()):
            growth.wake()

    def forget(self, growth: Growth) -> None:
        """Wake this follower no more."""
        with self._lock:
            left = tuple(one for one in self._followers.get(growth.path, ()) if one is not growth)
            if left:
                self._followers[growth.path] = left
            else:
                self._followers.pop(growth.path, None)


class Growth:
    """What one follower waits for: that its file has grown, or may have.

    Call ``wait`` after a look that found nothing, and ``found`` after one that found something.
    """

    def __init__(self, writes: LogWrites, path: str) -> None:
        self.path = path
        self._writes = writes
        self.token = trio.lowlevel.current_trio_token()
        self._woken = trio.Event()
        self._unannounced = False
        """Whether the last wait ended by time."""
        self._looked = -LOOK
        self._others_until = 0.0

    def wake(self) -> None:
        """Let ``wait`` return."""
        self._woken.set()

    async def wait(self, *, at_most: float = float("inf")) -> None:
        """Wait until it is time to look again, or for some seconds."""
        now = trio.current_time()
        limit = now + at_most
        deadline = min(limit, self._next_look(now))
        if now < self._looked + LOOK:  # a busy log: without a task switch for each write
            await trio.sleep_until(min(limit, _next_multiple(LOOK, now)))
        with trio.move_on_at(deadline):
            await self._woken.wait()
        self._unannounced = not self._woken.is_set()
        self._woken = trio.Event()  # before the look, so that a write during it is not missed
        self._looked = trio.current_time()

    def found(self) -> None:
        """Tell that the look found something."""
        if self._unannounced and not self._woken.is_set():
            self._others_until = trio.current_time() + OTHERS_SEEN

    def close(self) -> None:
        self._writes.forget(self)

    def _next_look(self, now: float) -> float:
        """When to look without being woken: the next multiple of the period, for all alike."""
        ours = self._writes.writes(self.path) and now >= self._others_until
        return _next_multiple(LOOK_AT_OURS if ours else LOOK, now)


def _next_multiple(period: float, now: float) -> float:
    return now - now % period + period
