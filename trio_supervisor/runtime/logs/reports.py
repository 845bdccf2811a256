"""Reports of worker threads, handed over to the thread that may write to the activity log."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Severity

    Report = Callable[[Severity, str], None]


class ReportQueue:
    """A queue of reports, each with the function that gets it. ``pass_on`` calls these functions.

    Once ``attach`` was called in a trio loop, the loop calls ``pass_on`` soon after each report.
    """

    __slots__ = ("_token", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[tuple[Report, Severity, str]] = []
        self._token: trio.lowlevel.TrioToken | None = None
        self.attach()

    def attach(self) -> None:
        """Have the loop in which this is called, if it is in one, pass on the reports."""
        with suppress(RuntimeError):  # no loop
            self._token = trio.lowlevel.current_trio_token()

    def add(self, report: Report, severity: Severity, text: str) -> None:
        """Add a report. May be called in any thread."""
        self._waiting.append((report, severity, text))
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._pass_on_contained, idempotent=True)

    def pass_on(self) -> None:
        """Report all that was added. Call it in the thread of the loop."""
        while self._waiting:
            report, severity, text = self._waiting.pop(0)
            report(severity, text)

    def _pass_on_contained(self) -> None:
        while self._waiting:
            try:
                self.pass_on()
            except Exception:  # raised by an embedding application's log function
                logging.getLogger("trio_supervisor").exception("a report could not be logged")
