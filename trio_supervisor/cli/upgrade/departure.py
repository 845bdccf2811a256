"""The state of a daemon that is left, and the attempt to give its place to the next program."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from trio_supervisor._version import __version__
from trio_supervisor.cli.upgrade.arrival import Arrival
from trio_supervisor.cli.upgrade.program import descriptors, execute
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.handover.codec import NotPlain
from trio_supervisor.core.handover.state import HandedCgroups, HandedProgram, HandedState
from trio_supervisor.core.handover.versions import encoded
from trio_supervisor.runtime.handover.departure import settle_logs
from trio_supervisor.runtime.handover.parts import let_go_of_sockets, state_of
from trio_supervisor.web.handover import detach, web_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from trio_supervisor.cli.upgrade.point import UpgradePoint
    from trio_supervisor.core.process.cause import Cause


@dataclass(frozen=True, slots=True)
class Departure:
    """What is handed over. Nothing runs; the descriptors belong to nobody but the state."""

    handed: HandedState
    failure: str
    """Why the place cannot be given; empty if it can."""

    async def execute(
        self, receivers: Iterable[AsyncIterator[int]], handled: Iterable[signal.Signals]
    ) -> Arrival:
        """Give the place to the next program; returns only if that fails.

        ``receivers`` are those of the signals ``handled``.
        """
        failure = self.failure
        if not failure:
            try:
                content = encoded(self.handed, trio.current_time(), time.monotonic())
            except (NotPlain, MemoryError) as error:
                failure = f"the state cannot be written: {error or 'no memory'}"
            else:
                origin, kept = self.handed.program.origin, descriptors(self.handed)
                refusal = await execute(content, kept, receivers, handled, origin)
                failure = f"the program cannot be replaced: {refusal.strerror or refusal}"
        return Arrival(self.handed, failure)


def depart(point: UpgradePoint) -> Departure:
    """Take the state of a daemon whose tasks have ended. Blocks for a moment, for the logs."""
    failure = settle_logs(point.supervisor)
    assert point.cause is not None
    handed = present_state(point, point.cause)
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    handed = replace(handed, program=replace(handed.program, directory=here))
    let_go_of_sockets(point.supervisor)
    detach([listener for _, listener, _ in point.listeners], point.connections)
    return Departure(handed, failure)


def present_state(point: UpgradePoint, cause: Cause) -> HandedState:
    """Return the state of a daemon."""
    cgroups = point.cgroups
    program = HandedProgram(
        version=__version__,
        origin=point.origin,
        is_detached=point.is_detached,
        manager=None if point.manager is None else point.manager.settings,
        cgroups=None if cgroups is None else HandedCgroups(cgroups.base, cgroups.lock),
        upgrades=point.supervisor.upgrades.count + 1,
        cause=cause,
    )
    web = web_of(point.listeners, point.connections)
    return replace(state_of(point.supervisor), program=program, web=web)


def encoded_state(point: UpgradePoint, cause: Cause) -> bytes:
    """Return the present state of a daemon that runs, for the check. Raises NotPlain."""
    return encoded(present_state(point, cause), trio.current_time(), time.monotonic())
