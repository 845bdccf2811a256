"""A supervisor inside another trio program, for the length of a block.

It leaves that program alone: signal handlers, working directory, umask, environment and logging
configuration stay as they are, and no server is opened.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Config, RpcInterface, Severity
from trio_supervisor.core.errors import BadName, InternalError
from trio_supervisor.runtime.embedding.application_log import NAME, contained, log_output, log_to
from trio_supervisor.runtime.guards import innermost
from trio_supervisor.runtime.load import load_config
from trio_supervisor.runtime.process.emergency_stop import end_survivors
from trio_supervisor.runtime.requester import PYTHON
from trio_supervisor.runtime.spawn.guard import Guard, GuardedLauncher
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
from trio_supervisor.runtime.supervisor import Supervisor
from trio_supervisor.runtime.system.threads import in_thread_if_possible

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.runtime.spawn.launcher import Launcher

#: Makes the namespace ``supervisor`` exist, in case the program serves HTTP.
MAIN_INTERFACE = RpcInterface("supervisor", "supervisor.rpcinterface:make_main_rpcinterface")


def _loader(path: str | os.PathLike[str]) -> Callable[[], Config]:
    """Return a function that loads the same file again, from any working directory."""
    return partial(load_config, os.path.abspath(path))


@asynccontextmanager
async def open_supervisor(
    config: Config | str | os.PathLike[str] | None = None,
    *,
    log: Callable[[Severity, str], None] | None = None,
    logger: logging.Logger | None = None,
    output_logger: logging.Logger | None = None,
    stop_within: float | None = None,
    on_shutdown: Callable[[], object] | None = None,
    kill_groups: bool = False,
    die_with_parent: bool = False,
) -> AsyncIterator[Supervisor]:
    """Run a supervisor inside this trio program for as long as the block lasts.

    ``config`` is a configuration, the path of a file, or nothing: programs and tasks are then
    added by the block. Leaving it, also by an exception or by cancellation, stops every process in
    order, each within its own stopwaitsecs; what is left after ``stop_within`` seconds is killed.
    A second Ctrl-C kills what is left at once, if this block is in trio's main task.

    The activity log goes to ``logger``, by default that of the name ``trio_supervisor``: its
    records have ``program``, ``pid`` and ``state``, each None where there is none, and the
    exception of a task as ``exc_info``. Or it goes to the function ``log``. ``output_logger`` gets
    the lines that the programs write, with ``program`` and ``channel``.

    If an essential process has ended for good, or a client (``serve_http``) or a signal
    (``Supervisor.stop_on``) has requested a shutdown or restart, everything is stopped and the
    block is cancelled. With ``on_shutdown`` this is called instead for such a request; it must not
    raise. A shutdown that the program itself requests leaves the block alone.

    ``kill_groups``: when a child has ended, what it leaves in its process group is killed.
    ``die_with_parent``: if this program is killed itself, another process kills the groups of all
    children. Processes that have left the group of their child are not reached by either.

    An exception of the block comes out as it is; one of ``log`` goes to logging, with the line that
    it lost. Raises ProcessFailed for an essential process when everything has stopped (from the
    exception of a task), ConfigError,
    or InternalError if the supervisor itself has failed.
    """
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError("open_supervisor must be used inside trio.run(...)")
    if stop_within is not None and not (isinstance(stop_within, (int, float)) and stop_within >= 0):
        raise ValueError(f"stop_within must be seconds, 0 or more, or None, not {stop_within!r}")
    if log is not None and logger is not None:
        raise TypeError("give log or logger, not both")
    log = contained(log_to(logger or logging.getLogger(NAME)) if log is None else log)
    reload: Callable[[], Config] | None = None
    if config is None:
        loaded = Config(rpcinterfaces=(MAIN_INTERFACE,))
    elif isinstance(config, Config):
        loaded = config
    else:
        reload = _loader(config)
        loaded = await trio.to_thread.run_sync(reload)
        for message in loaded.messages:
            log(message.severity, str(message))
    if loaded.daemon.cgroup != "off":
        log(Severity.WARN, "cgroup has no effect in an embedding program: it stays in its own")
    async with _launcher(log, kill_groups, die_with_parent) as launch:
        supervisor = Supervisor(
            loaded, log=log, environment=dict(os.environ), reload=reload, launch=launch
        )
        async with _supervised(supervisor, stop_within, on_shutdown, output_logger):
            yield supervisor


@asynccontextmanager
async def _supervised(
    supervisor: Supervisor,
    stop_within: float | None,
    on_shutdown: Callable[[], object] | None,
    output_logger: logging.Logger | None,
) -> AsyncIterator[None]:
    """Run the supervisor for the length of the block, and stop everything at its end."""
    block = trio.CancelScope()

    def leave(cause: Cause) -> None:
        if supervisor.failure is None and on_shutdown is not None and cause != PYTHON:
            on_shutdown()
        elif cause != PYTHON:
            block.cancel()

    supervisor.on_leave = leave
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            if output_logger is not None:
                nursery.start_soon(_log_output, supervisor, output_logger)
            try:
                with trio.CancelScope(shield=True):  # else nobody would stop what was begun
                    await nursery.start(_run, supervisor, stop_within)
                with block:
                    yield
            finally:
                # A cancelled supervisor would let go of its children: stop them in order instead.
                with trio.CancelScope(shield=True):
                    try:
                        await supervisor.shutdown(stop_within)
                    except BaseException:  # a second Ctrl-C, or an error of ours
                        await supervisor.shutdown(within=0)
                        raise
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        [failure] = group.exceptions
    if supervisor.failure is not None:
        if failure is None:
            failure = supervisor.failure
            with contextlib.suppress(BadName):  # removed since
                failure.__cause__ = supervisor.process(supervisor.failure.process).exception
        else:
            failure.add_note(f"meanwhile an essential process ended: {supervisor.failure}")
    if failure is not None:
        try:
            raise failure  # here, so that the group is not shown as its context
        finally:
            del failure


@asynccontextmanager
async def _launcher(
    log: Callable[[Severity, str], None], kill_groups: bool, die_with_parent: bool
) -> AsyncIterator[Launcher | None]:
    """The launcher of a supervisor; None: the usual one."""
    if not (kill_groups or die_with_parent):
        yield None
        return
    guard = await trio.to_thread.run_sync(Guard) if die_with_parent else None
    launcher = ProcessLauncher(log=log)
    try:
        yield GuardedLauncher(launcher, guard, groups=kill_groups)
    finally:
        launcher.close()
        if guard is not None:
            with trio.CancelScope(shield=True):
                await in_thread_if_possible(guard.close)


async def _log_output(supervisor: Supervisor, logger: logging.Logger) -> None:
    with trio.CancelScope(shield=True), supervisor.output() as lines:  # ends with the supervisor
        await log_output(lines, logger)


async def _run(
    supervisor: Supervisor, stop_within: float | None, *, task_status: trio.TaskStatus[None]
) -> None:
    try:
        with trio.CancelScope(shield=True):
            await supervisor.run(task_status=task_status)
    except BaseException as error:  # also KeyboardInterrupt, which comes anywhere
        with trio.CancelScope(shield=True):
            within = math.inf if stop_within is None else stop_within
            await in_thread_if_possible(end_survivors, supervisor.processes(), within)
        cause = innermost(error)
        if not isinstance(cause, Exception):
            raise cause from cause.__cause__
        text = f"the supervisor has failed: {type(cause).__name__}: {cause}"
        raise InternalError(text) from cause
