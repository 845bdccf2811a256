"""What the log is told of bad clients: short, in one line, and not more than anybody would read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Severity

#: Characters of what a client sent that may stand in the log, escaped (interfaces.md section 5).
SHOWN = 200
#: Lines that may be written at once, and seconds until one more may: a client that misbehaves a
#: thousand times a second cannot fill the disk, one that does now and then is always seen.
BURST = 20
PAUSE = 1.0


def quoted(sent: str | bytes) -> str:
    """What a client sent, so that it can neither begin a line nor move a cursor."""
    shown = sent[:SHOWN]
    text = shown.decode("latin-1") if isinstance(shown, bytes) else shown
    return ascii(text)[:SHOWN]


class RateLimitedLog:
    """The lines about the clients of one server."""

    def __init__(self, log: Callable[[Severity, str], None]) -> None:
        self._log = log
        self._left = float(BURST)
        self._last = 0.0
        self._dropped = 0

    def write(self, severity: Severity, text: str) -> None:
        """Write a line, or count it if there were too many."""
        now = trio.current_time()
        self._left = min(BURST, self._left + (now - self._last) / PAUSE)
        self._last = now
        if self._left < 1:
            self._dropped += 1
            return
        self._left -= 1
        if self._dropped:
            text = f"{text} ({self._dropped} lines about clients were left out before this one)"
            self._dropped = 0
        self._log(severity, text)
