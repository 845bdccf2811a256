"""Accounts for output that could not be written: one line when it begins, one when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

_NEWLINE = ord("\n")


class Losses:
    """Of one target; nothing is reported per failed write (P-257, P-258)."""

    def __init__(self, target: str, report: Callable[[Severity, str], None]) -> None:
        self._target = target
        self._report = report
        self.failing = False
        """Something was lost since the last write that succeeded."""
        self._bytes = 0

    def lost(self, count: int, reason: str) -> None:
        """``count`` bytes had to be dropped."""
        self._bytes += count
        if not self.failing:
            self.failing = True  # first: the report may come back to this very target
            self._report(
                Severity.ERROR,
                f"cannot write log {self._target}: {reason}; output is dropped until it works",
            )

    def recovered(self) -> None:
        """A write succeeded."""
        if self.failing:
            self.failing = False
            count, self._bytes = self._bytes, 0
            self._report(
                Severity.INFO, f"log {self._target} works again; {count} bytes were dropped"
            )


class Seam:
    """Where a log goes on after a loss: not in the middle of the line that was cut."""

    def __init__(self) -> None:
        self._within_line = False
        self._torn = False

    @property
    def lead(self) -> bytes:
        """To be written in front of what comes next."""
        return b"\n" if self._torn else b""

    def written(self, data: bytes | memoryview) -> None:
        """The target has taken this."""
        if data:
            self._within_line = data[-1] != _NEWLINE
            self._torn = False

    def lost(self) -> None:
        """What should have followed is lost."""
        self._torn = self._within_line

    def restart(self) -> None:
        """What comes next is the first of a file."""
        self._within_line = self._torn = False


def reason(error: OSError) -> str:
    """What went wrong, in words; without the path, which the line names already."""
    return error.strerror or str(error)
