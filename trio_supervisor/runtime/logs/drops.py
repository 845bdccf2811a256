"""Count output that could not be written, and report when dropping begins and ends."""

from __future__ import annotations

import enum
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


class LastLine(enum.Enum):
    """How the output ends that a target has: after a cut line, the next starts on a new line."""

    WHOLE = "whole"
    """There is no output, or it ends with a newline."""
    OPEN = "open"
    CUT = "cut"
    """Output that would have continued it was dropped."""

    @property
    def prefix(self) -> bytes:
        """Bytes to write before the next output: a newline after a cut line, else empty."""
        return b"\n" if self is _CUT else b""

    def written(self, data: bytes | memoryview) -> LastLine:
        """Return the state after these bytes, which the target has accepted."""
        if not data:
            return self
        return WHOLE if data[-1] == _NEWLINE else _OPEN

    def lost(self) -> LastLine:
        """Return the state after output that was dropped."""
        return WHOLE if self is WHOLE else _CUT


#: The state of a target that is empty or new.
WHOLE = LastLine.WHOLE
_OPEN, _CUT = LastLine.OPEN, LastLine.CUT  # for each line: as attributes of the enum they are slow


def reason(error: OSError) -> str:
    """Return the error in words, without the path."""
    return error.strerror or str(error)
