"""Restarts a program that uses more than ``memory_max``, where no cgroup keeps it below that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.config.stopping import KillMode
from trio_supervisor.core.journal.entry import What
from trio_supervisor.core.numbers import mebibytes
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.log_lines import ProcessLine
from trio_supervisor.core.process.memory_watch import MOST_LOOKS, looks_above, next_look
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.runtime.spawn.starter import Starter

OPTION = "memory_max"


class Restarted(Protocol):
    """The driver of the process, as it is used here."""

    def restart(self, cause: Cause) -> None:
        """Stop the child and start another one, whatever ``autorestart`` says."""


async def watch_memory(starter: Starter, record: ProcessRecord, driver: Restarted) -> NoReturn:
    """Look at the memory of the present child until cancelled.

    It is restarted only out of RUNNING: a child that starts or stops has its own times.
    """
    config, host = starter.config, starter.host
    limit, looks, name = config.limits.memory_max, 0, full_name(config.name, starter.group)
    assert limit is not None
    memory, pid = host.own_memory(), record.pid
    # What survives the child does not count: a restart would not help.
    node = starter.node if config.stopping.kill_mode is KillMode.CGROUP else None
    with memory.watching(pid, None if node is None else node.members):
        while True:
            await trio.sleep_until(next_look(trio.current_time()))
            used = await memory.of(pid)
            looks = looks_above(looks, used, limit)
            is_free = record.state is State.RUNNING and record.restart_cause is None
            if used is None or looks < MOST_LOOKS or not is_free:
                continue
            cause = Cause(CauseKind.LIMIT)
            facts = {"used": used, "limit": limit}
            number = host.journal.record(name, What.LIMIT, cause, new=OPTION, evidence=facts)
            text = (
                f"{config.name}: uses {mebibytes(used)}, more than its {OPTION}, "
                f"{mebibytes(limit)}; it is restarted"
            )
            host.log(Severity.WARN, ProcessLine(text, name, pid, record.state))
            driver.restart(cause.of(number))
