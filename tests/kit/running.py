"""Running groups inside a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.fakes import FakeLauncher

if TYPE_CHECKING:
    from trio_supervisor.runtime.group import Group
    from trio_supervisor.runtime.host import Host


@asynccontextmanager
async def running(group: Group, host: Host) -> AsyncIterator[None]:
    """Run the group's tasks for the length of the block; all its fake children end with it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(group.run)
        await wait_all_tasks_blocked()
        try:
            yield
        finally:
            group.close()
            if isinstance(host.launch, FakeLauncher):
                host.launch.close()
