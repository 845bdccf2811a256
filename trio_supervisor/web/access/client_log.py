"""Rate-limited logging of client errors.

Text that a client sent is escaped and truncated, so that it cannot forge log lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Severity

#: Most characters of a client's text in the log, after escaping.
SHOWN = 200
#: Lines that may be written at once, and seconds until one more may be. A client that makes a
#: thousand errors a second cannot fill the disk, and occasional errors are always logged.
BURST = 20
PAUSE = 1.0


def quoted(sent: str | bytes) -> str:
    """Escape and truncate text of a client, so that it cannot begin a line or move a cursor."""
    shown = sent[:SHOWN]
    text = shown.decode("latin-1") if isinstance(shown, bytes) else shown
    return ascii(text)[:SHOWN]


class RateLimitedLog:
    """Log lines about the clients of one server."""

    def __init__(self, log: Callable[[Severity, str], None]) -> None:
        self._log = log
        self._left = float(BURST)
        self._last = 0.0
        self._dropped = 0

    def write(self, severity: Severity, text: str) -> None:
        """Write a line; if there were too many, only count it."""
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
