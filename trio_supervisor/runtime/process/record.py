"""What is told of a process. Decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.runtime.process.history import History
from trio_supervisor.runtime.process.waiters import Watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import GroupKind, ProcessConfig, Severity


class Record(Watched):
    """The status of a process, which only ``process.py`` changes.

    ``started`` and ``stopped`` are wall-clock seconds, 0.0 means never.
    """

    def __init__(
        self,
        config: ProcessConfig,
        group: str,
        kind: GroupKind,
        log: Callable[[Severity, str], None],
    ) -> None:
        super().__init__(config.name, log)
        self.config = config
        self.group = group
        self.kind = kind
        self.full_name = config.name if config.name == group else f"{group}:{config.name}"
        self.pid = 0
        self.started = 0.0
        self.stopped = 0.0
        self.exit_status = 0
        self.spawn_error = ""
        self.removed = False  # its group is closed: nobody would run it
        self.history = History()
