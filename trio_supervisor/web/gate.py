"""Holds up the requests of clients for a moment, while the daemon is handed to another program."""

from __future__ import annotations

import trio


class RequestGate:
    """No request is begun while the gate is held; clients notice nothing but the delay."""

    def __init__(self) -> None:
        self._opened: trio.Event | None = None
        self.is_leaving = False
        """Whether the servers end and another program goes on with the connections."""

    @property
    def is_held(self) -> bool:
        return self._opened is not None

    def hold(self) -> None:
        """Let no request begin."""
        if self._opened is None:
            self._opened = trio.Event()

    def release(self) -> None:
        """Let them begin again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.set()

    async def passed(self) -> None:
        """Return when a request may begin."""
        while self._opened is not None:
            await self._opened.wait()
