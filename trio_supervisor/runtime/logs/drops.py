"""Output that could not be written: counted, and reported when dropping begins and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

_NEWLINE = ord("\n")


class DropCounter:
    """Bytes dropped for one target. Reports twice for each failure, not for each failed write."""

    __slots__ = ("_bytes", "_report", "_target", "failing")

    def __init__(self, target: str, report: Callable[[Severity, str], None]) -> None:
        self._target = target
        self._report = report
        self.failing = False
        """Whether bytes were dropped since the last write that succeeded."""
        self._bytes = 0

    def lost(self, count: int, reason: str) -> None:
        """Count bytes that were dropped; report if they are the first of this failure."""
        self._bytes += count
        if not self.failing:
            self.failing = True  # first: the report may come back to this very target
            self._report(
                Severity.ERROR,
                f"cannot write log {self._target}: {reason}; output is dropped until it works",
            )

    def recovered(self) -> None:
        """Call it after each write that succeeded: reports the end of a failure."""
        if self.failing:
            self.failing = False
            count, self._bytes = self._bytes, 0
            self._report(
                Severity.INFO, f"log {self._target} works again; {count} bytes were dropped"
            )


class CutLine:
    """Ends a line that was cut by a loss, so that the next output begins a line of its own."""

    __slots__ = ("_torn", "_within_line")

    def __init__(self) -> None:
        self._within_line = False
        self._torn = False

    @property
    def lead(self) -> bytes:
        """Bytes to write in front of the next output: a newline after a cut line."""
        return b"\n" if self._torn else b""

    def written(self, data: bytes | memoryview) -> None:
        """Call it with what the target has taken."""
        if data:
            self._within_line = data[-1] != _NEWLINE
            self._torn = False

    def lost(self) -> None:
        """Call it when the output that follows was dropped."""
        self._torn = self._within_line

    def restart(self) -> None:
        """Call it when the next output begins a file."""
        self._within_line = self._torn = False


def reason(error: OSError) -> str:
    """Return the error in words, without the path."""
    return error.strerror or str(error)
