"""SIGCHLD in the daemon, which receives one of the many that come when many children end at once.

Theory of operation
-------------------
Each signal interrupts the thread that runs, or wakes one that sleeps if the event loop already has
one to handle, and that thread then competes for the interpreter lock. When 300 programs are stopped
this took an eighth of the processor time. But the signal only says that some child has ended: most
have a pidfd that says which, and for the others one look at all of them is enough.

So the handler gives the signal its default effect, which for the kernel means not to send it at
all; children become zombies as before. The first ``ended`` returns at once. The next one receives
the signal again after a pause, and then asks the kernel for a zombie, because a child may have
ended in between.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

#: Seconds without the signal after one.
PAUSE = 0.05


class ChildSignals:
    """Tells one task that children have ended. A context manager, within which it may be waited
    for."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._usual = signal.getsignal(signal.SIGCHLD)
        self._received = trio.Event()
        self._is_pausing = False
        """Whether the signal is not received."""

    def __enter__(self) -> ChildSignals:
        self._receive()
        return self

    def __exit__(self, *raised: object) -> None:
        signal.signal(signal.SIGCHLD, self._usual)

    async def ended(self, is_prompt: Callable[[], bool]) -> None:
        """Return when a child has ended since the last return; at most every PAUSE seconds.

        ``is_prompt``: whether there are children whose end nothing else tells of; then there is no
        pause.
        """
        if self._is_pausing:
            if not is_prompt():
                await trio.sleep(PAUSE)
            self._receive()
            try:
                may_have_missed = has_zombie()
            except OSError:  # a sandbox refuses the call
                may_have_missed = True
            if may_have_missed:
                await trio.lowlevel.checkpoint()
                return
        await self._received.wait()

    def _receive(self) -> None:
        self._received = trio.Event()
        self._is_pausing = False
        signal.signal(signal.SIGCHLD, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._is_pausing = True
        self._token.run_sync_soon(self._received.set)


def has_zombie() -> bool:
    """Whether any child waits to be reaped. Raises OSError if that cannot be found out."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # there is none
        return False
