"""Running groups inside a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.fakes import FakeLauncher

if TYPE_CHECKING:
    from trio_supervisor.runtime.groups.group import Group
    from trio_supervisor.runtime.host import Host


@asynccontextmanager
async def running(group: Group, host: Host, *more: Group) -> AsyncIterator[None]:
    """Run the tasks of the groups for the length of the block; all fake children end with it."""
    async with trio.open_nursery() as nursery:
        for each in (group, *more):
            nursery.start_soon(each.run)
        nursery.start_soon(host.poller.run)
        nursery.start_soon(host.deadlines.run)
        await wait_all_tasks_blocked()
        try:
            yield
        finally:
            for each in (group, *more):
                each.close()
            nursery.cancel_scope.cancel()
            if isinstance(host.launch, FakeLauncher):
                host.launch.close()
