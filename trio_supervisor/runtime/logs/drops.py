"""Count output that could not be written, and report when dropping begins and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

_NEWLINE = ord("\n")


class DropCounter:
    """Counts the dropped bytes of one target.

    Two reports for each failure, at its beginning and its end, not one for each failed write.
    """

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
            self.failing = True  # first: the report may be written to this same target
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

    def closed(self) -> None:
        """Call it when the target is closed: reports what was dropped if it has not recovered."""
        if self.failing:
            self.failing = False
            count, self._bytes = self._bytes, 0
            self._report(
                Severity.ERROR, f"log {self._target} is closed; {count} bytes were dropped"
            )


class CutLine:
    """Tracks whether dropped output has cut a line; the next output then starts on a new line."""

    __slots__ = ("_is_cut", "_within_line")

    def __init__(self) -> None:
        self._within_line = False
        self._is_cut = False

    @property
    def prefix(self) -> bytes:
        """Bytes to write before the next output: a newline after a cut line, else empty."""
        return b"\n" if self._is_cut else b""

    def written(self, data: bytes | memoryview) -> None:
        """Call it with the bytes that the target has accepted."""
        if data:
            self._within_line = data[-1] != _NEWLINE
            self._is_cut = False

    def lost(self) -> None:
        """Call it when output was dropped."""
        self._is_cut = self._within_line

    def restart(self) -> None:
        """Call it when the file is empty or new."""
        self._within_line = self._is_cut = False


def reason(error: OSError) -> str:
    """Return the error in words, without the path."""
    return error.strerror or str(error)
