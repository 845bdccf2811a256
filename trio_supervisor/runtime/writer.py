"""A thread that writes to a target which may block: a pipe, a terminal, a FIFO.

The descriptor is often shared with others (our own stdout), so it cannot be made non-blocking; a
thread is what keeps a reader that sleeps from stopping the event loop (P-256, Q-36, Q-37).
"""

from __future__ import annotations

import os
import threading
from collections import deque

import trio

#: Bytes that may wait for the target; callers hold back or drop beyond it (P-256, P-293).
BACKLOG_LIMIT = 1024 * 1024


class Writer(threading.Thread):
    """Owns ``fd`` and closes it in the end. Ends by itself when the target is broken."""

    def __init__(self, fd: int) -> None:
        super().__init__(name=f"log writer {fd}", daemon=True)  # a stuck target must not hold exit
        self.backlog = 0
        self.broken = False
        self._fd = fd
        self._queue: deque[bytes] = deque()
        self._work = threading.Condition()
        self._closing = False
        self._waiting: list[tuple[trio.lowlevel.TrioToken, trio.Event]] = []
        self.start()

    def put(self, data: bytes) -> None:
        """Queue bytes; what is put after the target broke is dropped (P-294)."""
        with self._work:
            if not self.broken:
                self._queue.append(data)
                self.backlog += len(data)
                self._work.notify()

    async def room(self) -> None:
        """Return when less than half of the backlog limit waits."""
        while self.backlog > BACKLOG_LIMIT // 2:
            event = trio.Event()
            with self._work:
                self._waiting.append((trio.lowlevel.current_trio_token(), event))
            await event.wait()

    def close(self) -> None:
        """Write what is queued, then close; does not wait for that."""
        with self._work:
            self._closing = True
            self._work.notify()

    def run(self) -> None:
        while True:
            with self._work:
                while not self._queue and not self._closing:
                    self._work.wait()
                if not self._queue:
                    break
                data = self._queue.popleft()
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._fd, view) :]
            except OSError:
                with self._work:
                    self.broken = True
                    self._queue.clear()
            with self._work:
                self.backlog = 0 if self.broken else self.backlog - len(data)
                if self.backlog <= BACKLOG_LIMIT // 2:
                    self._wake()
            if self.broken:
                break
        os.close(self._fd)

    def _wake(self) -> None:
        for token, event in self._waiting:
            try:
                token.run_sync_soon(event.set)
            except trio.RunFinishedError:
                continue
        self._waiting = []
