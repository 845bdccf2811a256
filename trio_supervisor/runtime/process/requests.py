"""Requests to one process that are awaited: what begins them, and when they are carried out.

How a process starts and stops is the matter of ``process.py``.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from typing import TYPE_CHECKING

from trio_supervisor.core.errors import AbnormalTermination, NotRunning
from trio_supervisor.core.process.states import RUNNING_STATES
from trio_supervisor.runtime.process.record import Record
from trio_supervisor.runtime.process.start_attempt import StartAttempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import GroupKind, ProcessConfig, Severity


class Requests(Record):
    """A process as those see it who want it to start or to stop."""

    def __init__(
        self,
        config: ProcessConfig,
        group: str,
        kind: GroupKind,
        log: Callable[[Severity, str], None],
    ) -> None:
        super().__init__(config, group, kind, log)
        self.stops = 0
        """Requests to stop it that were no first half of a restart."""
        self._attempt = StartAttempt()

    @abstractmethod
    def request_start(self) -> StartAttempt:
        """Begin a start attempt. Raises RequestError."""

    @abstractmethod
    def request_stop(self, *, to_restart: bool = False) -> None:
        """Begin a stop, or join one that is under way. Raises NotRunning or Failed.

        ``to_restart``: the first half of a restart, whose second half is called off by any other
        stop.
        """

    @property
    @abstractmethod
    def stopping(self) -> bool:
        """Whether a stop was requested that is not carried out yet."""

    @abstractmethod
    async def end_recorded(self) -> None:
        """Return when the end of a child that is dead is recorded; at once if it lives."""

    async def outcome(self, attempt: StartAttempt, *, wait: bool = True) -> None:
        """Return when the attempt has led to RUNNING; without ``wait``, when it has a child.

        Raises SpawnFailed (the attempt failed; retries go on) or AbnormalTermination.
        """
        await self._until(lambda: attempt.decided or (attempt.spawned and not wait))
        attempt.check(self.full_name)

    async def spawned(self) -> None:
        """Return when the present start attempt has a child or has failed."""
        attempt = self._attempt
        await self._until(lambda: attempt.spawned or attempt.decided)

    async def start(self, *, wait: bool = True) -> None:
        """Start it and, with ``wait``, return when it is RUNNING. Raises RequestError."""
        await self.end_recorded()
        await self.outcome(self.request_start(), wait=wait)

    async def stop(self, *, wait: bool = True) -> None:
        """Stop it and, with ``wait``, return when it has. Raises NotRunning or Failed.

        A stop that is under way is joined.
        """
        self.request_stop()
        if wait:
            await self.ended()

    async def restart(
        self, *, wait: bool = True, check: Callable[[], object] = lambda: None
    ) -> None:
        """Stop it if it runs, start it and, with ``wait``, return when it is RUNNING.

        A stop or start of somebody else that is under way is joined. ``check`` is called before
        the start; what it raises leaves the process stopped. Raises RequestError; it is
        AbnormalTermination if a stop was requested meanwhile.
        """
        stops = self.stops
        with contextlib.suppress(NotRunning):
            self.request_stop(to_restart=True)
        while self.stopping:
            await self.ended()
        check()
        if self.stops != stops:
            raise AbnormalTermination(self.full_name)
        await self.end_recorded()
        runs = self.state in RUNNING_STATES
        await self.outcome(self._attempt if runs else self.request_start(), wait=wait)
