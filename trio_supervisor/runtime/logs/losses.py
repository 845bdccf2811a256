"""Accounts for output that could not be written: one line when it begins, one when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config import Severity

if TYPE_CHECKING:
    from collections.abc import Callable


class Losses:
    """Of one target; nothing is reported per failed write (P-257, P-258)."""

    def __init__(self, target: str, report: Callable[[Severity, str], None]) -> None:
        self._target = target
        self._report = report
        self._failing = False
        self._bytes = 0

    def lost(self, count: int, reason: str) -> None:
        """``count`` bytes had to be dropped."""
        self._bytes += count
        if not self._failing:
            self._failing = True  # first: the report may come back to this very target
            self._report(
                Severity.ERROR,
                f"cannot write log {self._target}: {reason}; output is dropped until it works",
            )

    def recovered(self) -> None:
        """A write succeeded."""
        if self._failing:
            self._failing = False
            count, self._bytes = self._bytes, 0
            self._report(
                Severity.INFO, f"log {self._target} works again; {count} bytes were dropped"
            )


def reason(error: OSError) -> str:
    """What went wrong, in words; without the path, which the line names already."""
    return error.strerror or str(error)
