"""What the options of a program do around the life of its child: commands, and ``kill_mode``.

They are few programs' and each holds up its own program only: see ``side_command.py``. What the
commands write goes to the program's log alone: no event, and nothing that a readiness check looks
at.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.config.stopping import KillMode
from trio_supervisor.core.process.cause import CauseKind
from trio_supervisor.core.process.service_result import end_variables, service_result
from trio_supervisor.core.process.states import State
from trio_supervisor.core.process.stop import StopSequence
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.spawn.side_command import CommandNotRun, SideCommands
from trio_supervisor.runtime.system.threads import in_thread_if_possible

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from trio_supervisor.core.process.exit import Exit
    from trio_supervisor.core.process.member import Member
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.core.process.stop import StopStep
    from trio_supervisor.runtime.spawn.side_command import CommandEnd
    from trio_supervisor.runtime.spawn.starter import Starter
    from trio_supervisor.runtime.spawn.sweep import Sweep

    AfterEnd = Callable[..., Awaitable[set[Member]]]


class ProcessHooks:
    """The commands of one process, and the end of what it leaves behind."""

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._config = starter.config
        self._group = starter.group
        self._host = starter.host
        self._stdio = starter.stdio
        self._sweep: Sweep | None = None
        """Ends all but the main process; begun before the end of that, if it must be killed."""
        self._commands = SideCommands(starter.config, starter.group, starter.host)
        # Of its own, so that a stop never waits for a refresh that was killed and does not end.
        self._refreshes = SideCommands(starter.config, starter.group, starter.host)
        self._refresh_turn = trio.Lock()

    @property
    def is_running(self) -> bool:
        """Whether a command runs."""
        return self._commands.is_running

    async def pre_start(self) -> None:
        """Run the command before a start, with the log open. Raises SpawnError if it has failed."""
        line, within = self._config.stopping.pre_start, self._config.stopping.hook_timeout
        if line is None:
            return
        await self._stdio.open()
        try:
            failure = await self._run("pre_start", line, within, {})
        finally:
            self._stdio.close()
        if failure:
            raise SpawnError(failure)

    def after_end(
        self, pid: int, ended: Exit, record: ProcessRecord, *, lacked_memory: bool
    ) -> AfterEnd:
        """Prepare what is to be done after an end: end what is left behind, run ``post_stop``.

        ``pid`` is that of the child, ``ended`` its end, and ``record`` has the state before it is
        recorded. ``lacked_memory``: the kernel has killed it for that.
        """
        stopped, stop, why = record.state is State.STOPPING, StopSequence.of(self._config), None
        late = record.probes is not None and record.probes.failure != ""
        if stopped:
            why = record.restart_cause
        result = service_result(
            ended,
            expected=ended.expected(self._config.exitcodes),
            stopped=stopped,
            timed_out=late or (stopped and stop.is_last(record.stop_step)),
            unhealthy=why is not None and why.kind is CauseKind.PROBE,
            out_of_memory=lacked_memory or (why is not None and why.kind is CauseKind.LIMIT),
        )
        patience: float = self._config.stopwaitsecs
        if stopped:
            patience = 0.0
            if not stop.is_last(record.stop_step):
                patience = record.deadline - trio.current_time()
        environment = {"MAINPID": str(pid), **end_variables(ended, result)}
        return partial(self._after_end, pid, patience, record, environment)

    async def _after_end(
        self,
        pid: int,
        patience: float,
        record: ProcessRecord,
        environment: Mapping[str, str],
        *,
        reopen: bool = False,
    ) -> set[Member]:
        """Return what is left all the same. ``reopen``: the log has been closed."""
        left: set[Member] = set()
        if (sweep := self._sweep_of(pid, record)) is not None:
            self._sweep = None
            sweep.main_lives = False
            await sweep.run(patience, lambda: record.stop_by)
            left |= sweep.refused
        if (node := self._starter.node) is not None:
            await in_thread_if_possible(node.remove)
            left |= {*await in_thread_if_possible(node.members)}
        await self._post_stop(record, environment, reopen=reopen)
        return left

    async def _post_stop(
        self, record: ProcessRecord, environment: Mapping[str, str], *, reopen: bool
    ) -> None:
        line = self._config.stopping.post_stop
        if line is None:
            return
        left = record.stop_by - trio.current_time()  # a stop of everything may have begun meanwhile
        within = max(0.0, min(self._config.stopping.hook_timeout, left))
        try:
            if reopen:
                with suppress(SpawnError):  # a log is no reason to leave out the command
                    await self._stdio.open()
            await self._run("post_stop", line, within, environment)
        finally:
            if reopen:
                self._stdio.close()

    def begin_sweep(self, nursery: trio.Nursery, pid: int, record: ProcessRecord) -> None:
        """End all but the main process, which has this pid and is sent SIGKILL, in a task.

        Only ``kill_mode`` asks for that. What is left at the end of the main process is ended then.
        """
        if self._sweep is None and (sweep := self._sweep_of(pid, record)) is not None:
            self._sweep = sweep
            nursery.start_soon(sweep.run, 0.0, lambda: record.stop_by)

    def _sweep_of(self, pid: int, record: ProcessRecord) -> Sweep | None:
        """Return the one that has begun, or a new one; None if ``kill_mode`` asks for none."""
        if self._sweep is not None or self._config.stopping.kill_mode is KillMode.PROCESS:
            return self._sweep
        from trio_supervisor.runtime.spawn.sweep import Sweep  # few programs need it
        from trio_supervisor.runtime.spawn.tree import ProcessTree

        name = full_name(self._config.name, self._group)
        finder = self._starter.node or ProcessTree(name, pid, record.adoption)
        return Sweep(name, pid, finder, self._host.log)

    def begin_stop(
        self, nursery: trio.Nursery, pid: int, step: StopStep, failed: Callable[[], object]
    ) -> None:
        """Run the stop command, for as long as its step takes, in a task of this nursery.

        ``pid`` is that of the child, which the command has as MAINPID; ``failed`` is called if the
        command fails.
        """
        nursery.start_soon(self._stop_command, pid, step, failed)

    async def _stop_command(self, pid: int, step: StopStep, failed: Callable[[], object]) -> None:
        if await self._run("stop_command", step.command, step.wait, {"MAINPID": str(pid)}):
            failed()

    async def refresh(
        self, nursery: trio.Nursery, pid: int, stopped: Callable[[], Awaitable[object]]
    ) -> str:
        """Run ``refresh_command`` and return why it has failed; empty if it has not.

        It runs in a task of this nursery, which ends with the child ``pid``, so it goes on when the
        caller is cancelled. It is killed when ``stopped`` returns. Requests take turns: a later one
        may be about a newer change.
        """
        line, within = self._config.stopping.refresh_command, self._config.stopping.hook_timeout
        over, failure = trio.Event(), "refresh_command: the program has stopped meanwhile"

        async def run() -> None:
            nonlocal failure
            try:
                async with trio.open_nursery() as both:
                    both.start_soon(cancel_when_stopped, both.cancel_scope)
                    async with self._refresh_turn:
                        assert line is not None
                        environment = {"MAINPID": str(pid)}
                        failure = await self._run(
                            "refresh_command", line, within, environment, self._refreshes
                        )
                    both.cancel_scope.cancel()
            finally:
                over.set()

        async def cancel_when_stopped(scope: trio.CancelScope) -> None:
            await stopped()
            scope.cancel()

        nursery.start_soon(run)
        await over.wait()
        return failure

    async def _run(
        self,
        option: str,
        line: str,
        within: float,
        environment: Mapping[str, str],
        commands: SideCommands | None = None,
    ) -> str:
        """Run a command and return why it has failed; empty if it has not. A failure is logged."""
        name = self._config.name
        commands = self._commands if commands is None else commands
        self._host.log(Severity.DEBUG, f"running {option} of {name}")
        try:
            end = await commands.run(
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
