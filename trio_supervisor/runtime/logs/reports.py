"""What a thread has to say in the activity log, said in the thread of those who use it."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Severity


class Notices:
    """``report`` is called soon where there is a trio loop, and by ``pass_on`` in any case."""

    def __init__(self, report: Callable[[Severity, str], None]) -> None:
        self._report = report
        self._waiting: deque[tuple[Severity, str]] = deque()
        self._token: trio.lowlevel.TrioToken | None = None
        with suppress(RuntimeError):  # no loop
            self._token = trio.lowlevel.current_trio_token()

    def add(self, severity: Severity, text: str) -> None:
        """In any thread."""
        self._waiting.append((severity, text))
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._pass_on_contained, idempotent=True)

    def pass_on(self) -> None:
        while self._waiting:
            self._report(*self._waiting.popleft())

    def _pass_on_contained(self) -> None:
        try:
            self.pass_on()
        except Exception:  # of an application's own log; it must not end the loop
            logging.getLogger("trio_supervisor").exception("a notice could not be reported")
