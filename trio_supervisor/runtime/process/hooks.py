"""Commands that the options of a program run at points of its life.

They are few programs' and each holds up its own program only: see ``side_command.py``. What they
write goes to the program's log alone: no event, and nothing that a readiness check looks at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.spawn.side_command import CommandNotRun, SideCommands

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.core.process.stop import StopStep
    from trio_supervisor.runtime.spawn.side_command import CommandEnd
    from trio_supervisor.runtime.spawn.starter import Starter


class ProcessHooks:
    """The commands of one process."""

    def __init__(self, starter: Starter) -> None:
        self._config = starter.config
        self._host = starter.host
        self._stdio = starter.stdio
        self._commands = SideCommands(starter.config, starter.group, starter.host)

    async def stop_command(self, pid: int, step: StopStep) -> bool:
        """Run the stop command, for as long as its step takes; return False if it has failed.

        ``pid`` is that of the child, which the command has as MAINPID.
        """
        failure = await self._run("stop_command", step.command, step.wait, {"MAINPID": str(pid)})
        return not failure

    async def _run(
        self, option: str, line: str, within: float, environment: Mapping[str, str]
    ) -> str:
        """Run a command and return why it has failed; empty if it has not. A failure is logged."""
        name = self._config.name
        self._host.log(Severity.DEBUG, f"running {option} of {name}")
        try:
            end = await self._commands.run(
                line, within=within, environment=environment, output=self._stdio.write_to_log
            )
        except CommandNotRun as error:
            failure = f"{option}: {error}"
        else:
            failure = "" if end.succeeded else f"{option}: {_why(end, within)}"
        if failure:
            self._host.log(Severity.WARN, f"{name}: {failure}")
        return failure


def _why(end: CommandEnd, within: float) -> str:
    how = f"not over within {within:g} seconds" if end.exit is None else str(end.exit)
    return f"{how}: {end.last_line}" if end.last_line else how
