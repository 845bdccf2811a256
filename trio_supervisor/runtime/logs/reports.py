"""Reports of worker threads, handed over to the thread that may write to the activity log."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Severity


class ReportQueue:
    """A queue of reports. They are passed to ``report`` by ``pass_on``.

    Made inside a trio loop, the queue has the loop call ``pass_on`` soon after each report.
    """

    __slots__ = ("_report", "_token", "_waiting")

    def __init__(self, report: Callable[[Severity, str], None]) -> None:
        self._report = report
        self._waiting: list[tuple[Severity, str]] = []
        self._token: trio.lowlevel.TrioToken | None = None
        with suppress(RuntimeError):  # no loop
            self._token = trio.lowlevel.current_trio_token()

    def add(self, severity: Severity, text: str) -> None:
        """Add a report. May be called in any thread."""
        self._waiting.append((severity, text))
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._pass_on_contained, idempotent=True)

    def pass_on(self) -> None:
        """Report all that was added. Call it in the thread of the loop."""
        while self._waiting:
            self._report(*self._waiting.pop(0))

    def _pass_on_contained(self) -> None:
        try:
            self.pass_on()
        except Exception:  # raised by an embedding application's log function
            logging.getLogger("trio_supervisor").exception("a report could not be logged")
