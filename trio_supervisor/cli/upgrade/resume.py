"""The start of a daemon that goes on with the state of an earlier program.

It is in the process of that program: user, limits, umask and terminal are those of the daemon, and
its signals are blocked until they can be received.
"""

from __future__ import annotations

import gc
import os
import time
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.cli.daemon_run import Service
from trio_supervisor.cli.upgrade.arrival import Arrival
from trio_supervisor.core.errors import SupervisorError
from trio_supervisor.core.handover.codec import NotUnderstood
from trio_supervisor.core.handover.versions import decoded
from trio_supervisor.runtime.load import load_config

if TYPE_CHECKING:
    from trio_supervisor.cli.daemon_options import DaemonOptions
    from trio_supervisor.cli.service_manager import ServiceManager
    from trio_supervisor.core.handover.state import HandedProgram
    from trio_supervisor.runtime.cgroups.subtree import Subtree


def resume(descriptor: str, options: DaemonOptions, program: str) -> int:
    """Run the daemon from a state to its end, and return its exit code. Raises SupervisorError.

    ``descriptor`` is the number of the file with the state.
    """
    gc.disable()  # ``Service`` enables it
    with open(int(descriptor), "rb") as file:
        content = file.read()
    return trio.run(_resume, content, options, program)


async def _resume(content: bytes, options: DaemonOptions, program: str) -> int:
    try:
        handed = decoded(content, trio.current_time(), time.monotonic())
    except NotUnderstood as error:  # the check of the same program has accepted it
        raise SupervisorError(f"cannot go on with the state of the earlier program: {error}") from (
            error
        )
    load = partial(
        load_config,
        options.configuration,
        overrides=options.overrides,
        program=program,
        origin=handed.program.origin,
    )
    service = Service(
        handed.supervisor.config,
        load=load,
        messages=[],
        ready=None,
        manager=_manager(handed.program),
        cgroups=_cgroups(handed.program),
        origin=handed.program.origin,
        is_detached=handed.program.is_detached,
    )
    return await service.run(Arrival(handed))


def _cgroups(handed: HandedProgram) -> Subtree | None:
    if handed.cgroups is None:
        return None
    from trio_supervisor.runtime.cgroups.subtree import Subtree  # few daemons have one

    return Subtree(handed.cgroups.base, handed.cgroups.lock)


def _manager(handed: HandedProgram) -> ServiceManager | None:
    if handed.manager is None:
        return None
    from trio_supervisor.cli.service_manager import ServiceManager  # few daemons have one

    return ServiceManager(handed.manager, os.environ)
