"""The disk worker: does everything that may wait for the disk of a log, in one thread.

The journal and the launcher have workers of their own: the exec of a program waits for a disk, too.

Theory of operation
-------------------
A write to a regular file cannot be made non-blocking, and a disk that hangs (a network file system,
a frozen or dying device) does not say so before. So the event loop never reads, writes, opens or
renames a log file. It submits *jobs*, and a thread does them. One thread serves all logs, because
one for each log of a thousand programs would be two thousand threads. Jobs take about 0.1 ms.

If one disk hangs, the thread hangs with it, and all other logs would wait. So a thread that has
spent more than ``stuck_after`` on one job is *replaced*: the next thread goes on with the other
jobs. Nothing can end the old thread. It finishes its job some day, notices that its generation is
over, and ends. ::

                    submit                     queue empty
        +--------+ --------> +----------------+ ---------> +--------+
        |  idle  |           | active         |            |  idle  |
        +--------+           | (generation n) |            +--------+
                             +----------------+
                                  |  job takes longer than ``stuck_after``, and others wait
                                  v
                  stuck (generation n)      active (generation n+1) ...
                                  |
                                  v  the job returns after all
                                ends

* Who notices: a *watchdog* thread, which runs only while jobs wait behind another, and callers that
  wait for a job themselves (``wait``).
* Order: jobs of one file must not overtake each other, also not when a thread is replaced. The
  worker does not know files. Each ``FileSink`` has a queue of its own and submits its next job when
  the last one is done. So at most one job of a file is with the worker, and a disk that hangs holds
  at most one thread for each of its open logs.
* Turns: because a file submits one job at a time, the files take turns, however much one writes.
* Locking: there is one lock, ``lock``, for the state of the worker, of all sinks and of all calls.
  It is held for a few instructions, never during a job. So threads and the event loop take it
  without waiting for a disk, and there is no order of locks to get wrong.
* Pipes: the log of a flood is written from its pipe (``FileSink.write_from``). ``when_readable``
  has a job done when a pipe can be read; the thread waits for all such pipes together when it has
  no other job (``ready_pipes.py``), and looks at them from time to time while it has.
* Waiting: ``wait`` blocks the calling thread and is only for a few milliseconds. Tasks wait for
  events of trio, which the thread sets through the loop (``wake``).
* The threads are daemon threads of trio's cache. A disk that hangs does not hold up the exit.
* Without a thread (process limit reached) ``submit`` does the job itself: late is better than lost.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

from trio_supervisor.runtime.system.threads import NoThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.logs.ready_pipes import ReadyPipes

    Job = Callable[[], None]

#: Seconds one job may take before the jobs behind it are given to another thread. Usual are 0.0001;
#: a disk that is merely busy seldom takes longer.
STUCK_AFTER = 0.02
#: Seconds after which a replaced thread that has not come back has met a disk that hangs.
HANGS_AFTER = 0.05
#: Seconds between two looks at pipes while there are always jobs.
LOOK_AT_PIPES = 0.001


class Submitter(Protocol):
    """The owner of a queue of its own, which submits one job of it at a time."""

    backlog: int
    """Bytes in its queue."""

    @property
    def path(self) -> str:
        """The file that they are for."""


class DiskWorker:
    """Does jobs one after another. All methods may be called in any thread."""

    def __init__(self, stuck_after: float = STUCK_AFTER) -> None:
        """``stuck_after``: seconds one job may take before another thread does those behind it."""
        self._stuck_after = stuck_after
        self.lock = threading.Lock()
        """Guards the state of this worker and of everything that submits jobs to it."""
        self._changed = threading.Condition(self.lock)
        self._ready: deque[Job] = deque()
        self._generation = 0
        """Generation of the active thread. A replaced thread has an older one."""
        self._active = False
        self._batches = 0
        """Blocks of ``batch`` that the event loop is in."""
        self._postponed = False
        """Whether the thread is to be started at the end of the batch."""
        self._watched = False
        self._began = 0.0
        """When the present job began; monotonic."""
        self._waiters = 0
        """Threads in ``wait``."""
        self._stuck = 0
        """Threads that were replaced and have not come back yet."""
        self._replaced_at = 0.0
        self._done_at = 0.0
        """When a job was last done; monotonic."""
        self._pipes: ReadyPipes | None = None
        """Pipes that the thread waits for; None while there are none."""
        self._waits = False
        """Whether the active thread waits for pipes. It is to be woken for a job, and not stuck."""
        self._polled = 0.0
        """When pipes were last looked at; monotonic."""
        self.submitters: set[Submitter] = set()
        """Those with something in their queues. Guarded by the lock."""

    def submit(self, job: Job, *, urgent: bool = True) -> None:
        """Have a job done soon, after those that were submitted before. It must not raise.

        For one that is not urgent, no thread is started before the event loop has run the tasks
        that are ready: many programs often end at once.
        """
        with self.lock:
            self._ready.append(job)
            begins = not self._active
            if begins:
                self._active = self._postponed = True
            else:
                self._see_to_it()
            # One that is not urgent waits for the loop, which the first such job has told.
            begins = not self._batches and self._postponed and (begins or urgent)
        if begins and (urgent or not self._begin_later()):
            self._begin()

    def when_readable(self, fd: int, job: Job) -> None:
        """Do a job once, in the thread, when a pipe can be read.

        Raises OSError without descriptors or threads; then nothing is waited for.
        """
        from trio_supervisor.runtime.logs.ready_pipes import ReadyPipes  # with the first flood

        with self.lock:
            if self._pipes is None:
                self._pipes = ReadyPipes()
            self._pipes.arm(fd, job)
            begins = not self._active
            if begins:
                self._active = self._postponed = True
            self._see_to_it()
        if begins:
            self._begin()
            if not self._active:
                self.forget(fd)
                raise NoThread

    def forget(self, fd: int) -> None:
        """Wait for a pipe no more. To be called before it is closed."""
        with self.lock:
            if self._pipes is not None:
                self._pipes.forget(fd)
                if self._waits:
                    self._pipes.wake()
                elif not self._active:
                    self._close_pipes()

    def batch(self) -> DiskWorker:
        """Return a context that starts no thread before its end, unless it waits for a job.

        A thread that is woken for the first of many jobs competes for the interpreter lock with the
        event loop that submits the others. Only for the event loop, and without a checkpoint in
        the block.
        """
        return self

    def __enter__(self) -> None:
        self._batches += 1

    def __exit__(self, *raised: object) -> None:
        self._batches -= 1
        # Whoever has found the batch open has set ``_postponed`` before.
        if self._postponed and not self._batches:
            self._begin()

    def wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Block until ``done`` returns True, at most for some seconds; return whether it did.

        ``done`` is called with the lock held, after each ``notify``.
        """
        self._begin()
        with self._changed:
            if done():
                return True
            self._waiters += 1
            in_time = self._changed.wait_for(done, seconds)
            self._waiters -= 1
            if not in_time:
                self._replace_if_stuck(seconds)
            return in_time

    def notify(self) -> None:
        """Have ``wait`` look again. Call it with the lock held."""
        if self._waiters:  # most jobs are not waited for
            self._changed.notify_all()

    @property
    def hangs(self) -> bool:
        """Whether some disk is known to hang."""
        return self._stuck > 0 and time.monotonic() - self._replaced_at >= HANGS_AFTER

    @property
    def is_busy(self) -> bool:
        """Whether jobs are under way or wait."""
        return self._active or self._stuck > 0

    def settle(self, seconds: float) -> None:
        """Block until all jobs are done, or until one of them has taken so many seconds.

        A thread that was replaced counts too: its disk may be slow rather than hang. Many logs on a
        disk that hangs take no longer than one: it is also over when no job was done for so long.
        """
        self._begin()
        entered = time.monotonic()
        with self._changed:
            while self._active or self._stuck:
                since = self._began if self._active else self._replaced_at
                since = min(since, max(entered, self._done_at))
                if (left := since + seconds - time.monotonic()) <= 0:
                    return
                self._changed.wait(left)

    def left(self) -> list[tuple[str, int]]:
        """Return each path with the bytes for it that are not written, each only once."""
        with self.lock:
            left, self.submitters = self.submitters, set()
            return sorted((owner.path, owner.backlog) for owner in left if owner.backlog)

    def _begin_later(self) -> bool:
        """Have the loop start the thread after the tasks that are ready; False without a loop."""
        try:
            token = trio.lowlevel.current_trio_token()
        except RuntimeError:
            return False
        token.run_sync_soon(self._begin, idempotent=True)
        return True

    def _begin(self) -> None:
        """Start the thread if there are jobs for which that was postponed."""
        with self.lock:
            begins, self._postponed = self._postponed, False
            inline = begins and not self._start_generation()
            if len(self._ready) > 1 and not self._watched:
                self._watched = _start(self._watch)
        if inline:
            self._serve(self._generation, inline=True)

    def _start_generation(self) -> bool:
        """Start the next thread; return False if there is none to be had. Needs the lock."""
        started = _start(partial(self._serve, self._generation + 1))
        self._generation += started
        self._began = time.monotonic()
        return started

    def _see_to_it(self) -> None:
        """Have a new job noticed by a thread that waits or is stuck. Needs the lock."""
        if self._waits and self._ready and self._pipes is not None:
            self._pipes.wake()
        if not self._watched:
            self._watched = _start(self._watch)

    def _replace_if_stuck(self, after: float) -> None:
        """Go on in another thread if the present job has taken so many seconds. Needs the lock."""
        armed = self._pipes is not None and self._pipes.are_armed
        if self._waits or self._postponed or not (self._ready or armed):
            return
        if time.monotonic() - self._began >= after:
            self._stuck += self._start_generation()
            self._replaced_at = time.monotonic()

    def _serve(self, generation: int, *, inline: bool = False) -> None:
        """Do jobs until there are none, or until this thread was replaced.

        ``inline``: in the thread of the caller, which waits for no pipe.
        """
        while True:
            with self.lock:
                if generation != self._generation:
                    self._stuck -= 1
                    if not self._active:
                        self._close_pipes()
                    self._changed.notify_all()
                    return
                self._began = time.monotonic()
                armed = self._pipes is not None and self._pipes.are_armed and not inline
                if armed and (not self._ready or self._began - self._polled >= LOOK_AT_PIPES):
                    self._polled = self._began
                    self._waits = not self._ready
                    job: Job = partial(self._poll, generation, wait=self._waits)
                elif self._ready:
                    job = self._ready.popleft()
                else:
                    self._active = False
                    self._close_pipes()
                    self._changed.notify_all()
                    return
            job()
            self._done_at = time.monotonic()

    def _poll(self, generation: int, *, wait: bool) -> None:
        """Do what is to be done for pipes that can be read."""
        pipes = self._pipes
        assert pipes is not None
        ready = pipes.poll(wait=wait)
        with self.lock:
            if generation == self._generation:  # the call is not meant for a replaced thread
                self._waits = False
                pipes.woken(ready)
            jobs = pipes.take(ready)
        for job in jobs:
            job()

    def _close_pipes(self) -> None:
        """Release what waiting takes, if no pipe and no thread needs it. Needs the lock."""
        if self._pipes is not None and not (self._pipes.are_registered or self._stuck):
            self._pipes.close()
            self._pipes = None

    def _watch(self) -> None:
        """Run as the watchdog, until no job waits behind another."""
        while True:
            time.sleep(self._stuck_after)
            with self.lock:
                self._replace_if_stuck(self._stuck_after)
                if not (self._ready or (self._pipes is not None and self._pipes.are_registered)):
                    self._watched = False
                    return


def wake(token: trio.lowlevel.TrioToken, event: trio.Event) -> None:
    """Set an event of the loop from another thread. Nothing happens if the loop has ended."""
    try:
        token.run_sync_soon(event.set)
    except trio.RunFinishedError:
        return


def _start(function: Job) -> bool:
    """Run it in a thread of trio's cache, which are daemon threads; False if there is none."""
    try:
        trio.lowlevel.start_thread_soon(function, lambda outcome: outcome.unwrap())
    except RuntimeError:
        return False
    return True
