"""survive = adopt: the start of a daemon that goes on with the programs of one that was killed.

Beside that it is an ordinary start: the configuration is read, and the log says what it always
says. The programs go on as they were configured when they were started; then the new configuration
is followed as by an update. Event listeners are started again, because what they were about to
answer is not known.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import trio

from trio_supervisor.cli.server_sockets import address_of
from trio_supervisor.cli.upgrade.arrival import Arrival
from trio_supervisor.core.adoption import FirstStep
from trio_supervisor.core.config.model import GroupKind, Severity
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import (
    CantReread,
    NotTakenOver,
    RequestError,
    ServerError,
    SupervisorError,
)
from trio_supervisor.core.events import SupervisorStateChangeRunning
from trio_supervisor.core.handover.state import (
    HandedJournal,
    HandedServer,
    HandedState,
    HandedWeb,
)
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.reasons import reason
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.adoption.keeper import (
    KeeperBusy,
    KeeperFailed,
    KeeperHung,
    connect,
    keeper_path,
    start,
)
from trio_supervisor.runtime.adoption.left import (
    Left,
    left_of,
    server_note,
)
from trio_supervisor.runtime.adoption.recorder import StateRecorder
from trio_supervisor.runtime.guards import traceback_of
from trio_supervisor.runtime.handover.parts import take_over
from trio_supervisor.runtime.requester import requested_by
from trio_supervisor.runtime.spawn.owned import find_owned, hidden_beside
from trio_supervisor.runtime.system.threads import in_thread_if_possible
from trio_supervisor.web.handover import file_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from trio_supervisor.core.config.model import Config, Server
    from trio_supervisor.runtime.adoption.keeper import Keeper
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
    from trio_supervisor.runtime.supervisor import Supervisor

ADOPTION = Cause(CauseKind.ADOPTION)
#: The end of a child that nobody can tell any more.
_UNKNOWN = Exit(None, unknown="it ended while no supervisor ran")


@dataclass(frozen=True, slots=True)
class Takeover(Arrival):
    """Goes on with what a daemon has left that was killed."""

    left: Left = field(default_factory=Left)

    is_start: ClassVar[bool] = True

    def give(self, supervisor: Supervisor, launcher: ProcessLauncher) -> None:
        """Give the state to a new supervisor, which does not run yet. Raises NotTakenOver."""
        arrived = partial(self._arrived, supervisor)
        try:
            take_over(supervisor, self.handed, launcher.registry, arrived)
        except Exception as error:
            raise NotTakenOver(str(error)) from error

    def _arrived(self, supervisor: Supervisor) -> None:
        supervisor.publish(SupervisorStateChangeRunning())
        adopted = [process for process in supervisor.processes() if process.driver.has_inherited]
        dead = self.left.daemon
        pid = 0 if dead is None else dead.pid
        number = supervisor.journal.adopted(supervisor.config.path, pid, len(adopted))
        cause = ADOPTION.of(number)
        lost = [p for p in supervisor.processes() if self.left.steps.get(p.key) is FirstStep.LOST]
        supervisor.log(Severity.WARN, _told(pid, adopted, lost))
        for problem in self.left.problems:
            supervisor.log(Severity.WARN, problem)
        for process in supervisor.processes():
            step = self.left.steps.get(process.key, FirstStep.NONE)
            try:
                _record_first(process, step, cause)
            except Exception as error:  # it is taken over all the same
                what = f"internal error in taking over {process.full_name}, which goes on"
                supervisor.log(Severity.CRITICAL, f"{what}:\n{traceback_of(error)}")
        # Now: they may end at any moment.
        again = [process for process in supervisor.processes() if _is_shut_down(process)]
        supervisor.start_task(partial(_follow, supervisor, cause, again), "adoption")


async def adopt(config: Config) -> tuple[Keeper | None, Takeover | None]:
    """Return the keeper of an earlier daemon, and what it has left.

    Both may be None: there is no keeper, nothing was left. Raises ServerError or NotTakenOver.
    """
    keeper, left = None, Left()
    try:
        keeper = await in_thread_if_possible(connect, config.daemon.pidfile)
        left = left_of(await in_thread_if_possible(keeper.take))
        if keeper.trouble:
            left.problems.append(keeper.trouble)
    except KeeperBusy as error:
        raise ServerError(
            f"Another daemon (pid {error.pid}) has the keeper {keeper_path(config.daemon.pidfile)}"
            ". Stop that one, or give this one another pidfile"
        ) from None
    except KeeperFailed as error:  # there is none, as at a first start
        if keeper is not None:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EMFILE:
                keeper.close()
                raise ServerError(
                    "Too few descriptors to take over the programs of the earlier daemon, which "
                    "go on meanwhile. Raise minfds, and the limit of whoever starts the daemon"
                ) from error
            left.problems.append(f"what the keeper has cannot be taken over: {error}")
        elif isinstance(error, KeeperHung):
            left.problems.append(str(error))
    try:
        return await _taken_over(config, keeper, left)
    except SupervisorError:
        raise
    except Exception as error:
        left.close()  # these, and the keeper, would keep the addresses
        await in_thread_if_possible(_end, keeper)
        raise NotTakenOver(str(error)) from error


async def _taken_over(
    config: Config, keeper: Keeper | None, left: Left
) -> tuple[Keeper | None, Takeover | None]:
    """Return the keeper if it is of use any more, and what has been left; None: nothing was."""
    found = await in_thread_if_possible(find_owned, config.path or "")
    has_state = left.daemon is not None
    if not has_state and not found:
        left.close()
        await in_thread_if_possible(_end, keeper)
        return None, None
    if not has_state:
        left.problems.append(
            f"no {'keeper was' if keeper is None else 'state was'} left: output of the programs "
            "may be lost, and nothing is known of those that have ended"
        )
        left.problems += [
            f"pid {pid} may be a program of the earlier daemon, and may not be looked at: it is "
            "left alone"
            for pid in await in_thread_if_possible(hidden_beside, found.values())
        ]
    groups = left.groups(config, found, ADOPTION)
    if not has_state:  # their pipes are open here
        await in_thread_if_possible(_end, keeper)
        keeper = None
    records = (process.record for group in groups for process in group.processes)
    names = {group.name for group in config.groups}
    own = tuple(group for group in left.written.supervisor.own if group.name not in names)
    handed = HandedState(
        supervisor=replace(
            left.written.supervisor,
            config=replace(config, groups=(*config.groups, *own)),
            own=own,
            told=config.messages,
            started=0.0,
            began_at=0.0,
        ),
        groups=groups,
        journal=HandedJournal(number=max((record.entry for record in records), default=0)),
        web=HandedWeb(servers=tuple(_servers(config, left))),
    )
    unused = [f"server\0{section}" for section in left.servers]
    left.close()
    if keeper is not None and unused:  # else their addresses would stay in use
        with suppress(KeeperFailed):  # which the recorder notices
            await in_thread_if_possible(keeper.drop_and_wait, unused)
    return keeper, Takeover(handed, left=left)


async def keep(
    supervisor: Supervisor,
    keeper: Keeper | None,
    servers: Iterable[tuple[Server, socket.socket]],
) -> StateRecorder | None:
    """Return what keeps all that the next daemon needs; None, and a line in the log, if it cannot.

    ``keeper``: None means that one is to be found or started.
    """
    if os.getpid() == 1:
        text = "survive = adopt has no effect: the daemon is process 1, whose end ends all others"
        supervisor.log(Severity.WARN, text)
        return None
    pidfile = supervisor.config.daemon.pidfile
    fixed = {
        f"server\0{server.section}": (
            server_note(address_of(server), file_of(listener)),
            (listener.fileno(),),
        )
        for server, listener in servers
    }
    try:
        if keeper is not None and keeper.pidfile != pidfile:  # before a reload
            keeper.end()
            keeper = None
        if keeper is None:
            keeper = await in_thread_if_possible(_found_or_started, pidfile)
            if keeper.trouble:
                supervisor.log(Severity.WARN, keeper.trouble)
        return StateRecorder(supervisor, keeper, fixed)
    except (KeeperFailed, KeeperBusy, OSError) as error:
        if keeper is not None:
            keeper.end()
        text = f"survive = adopt does not work, programs are not kept: {error}"
        supervisor.log(Severity.CRITICAL, text)
        return None


def end_keeper(config: Config) -> None:
    """End the keeper of an earlier daemon, with another ``survive``: it keeps addresses in use."""
    with suppress(KeeperFailed, KeeperBusy):
        _end(connect(config.daemon.pidfile))


def _end(keeper: Keeper | None) -> None:
    """End a keeper that holds nothing of use, but perhaps a listening socket."""
    if keeper is not None:
        with suppress(KeeperFailed):
            keeper.end_and_wait()


def _found_or_started(pidfile: str) -> Keeper:
    try:
        return connect(pidfile)
    except KeeperFailed:
        return start(pidfile)


def _servers(config: Config, left: Left) -> Iterable[HandedServer]:
    """Take the listening sockets of the servers whose address has not changed."""
    for server in config.servers:
        address, file, fd = left.servers.get(server.section, ("", None, -1))
        if address == repr(address_of(server)):
            del left.servers[server.section]
            yield HandedServer(server.section, fd, file)


def _told(pid: int, adopted: list[Process], lost: list[Process]) -> str:
    ends = [(p, ended) for p in adopted if (child := p.driver.child) and (ended := child.poll())]
    ends += [(process, _UNKNOWN) for process in lost]
    count = len(adopted) - (len(ends) - len(lost))
    text = f"the earlier daemon (pid {pid or 'unknown'}) was killed; "
    text += f"{count} {'program goes' if count == 1 else 'programs go'} on"
    if ends:
        which = ", ".join(f"{process.full_name} ({ended})" for process, ended in ends)
        text += f"; ended meanwhile: {which}"
    return f"{text}; output that it had read and not written may be lost"


def _record_first(process: Process, step: FirstStep, cause: Cause) -> None:
    """Record what the earlier daemon has left, and what it could not record."""
    states, child, record = process._states, process.driver.child, process.record
    if record.transition is not None:  # ``why`` begins with it: the journal may be a new one
        pid, why = 0 if child is None else child.pid, reason(process.config, record)
        record.entry = process.journal.still(process.full_name, record.transition, pid, why, cause)
    if step is FirstStep.LOST:
        states.end(_UNKNOWN, trio.current_time(), unseen=True)
    elif step in (FirstStep.SPAWNED, FirstStep.FOUND) and child is not None:
        states.spawned(child.pid, record.adoption)
        if process.driver._monitor is not None:
            process.driver._monitor.spawned()
        if step is FirstStep.FOUND:
            if process.record.probes is not None:
                process.record.probes.is_ready = True
            states.promote(cause)


async def _follow(supervisor: Supervisor, cause: Cause, again: list[Process]) -> None:
    """Follow the configuration, and start what has to be started.

    ``again`` are those that a shutdown was about to stop.
    """
    with requested_by(cause):
        for process in supervisor.processes():
            await process.waiters.until(lambda: not process.driver.has_inherited)  # noqa: B023  # called in this turn
        try:
            await supervisor.update()
        except CantReread as error:
            supervisor.log(Severity.CRITICAL, f"the programs go on as they were: {error}")
        running = [
            process
            for process in supervisor.processes()
            if process.kind is GroupKind.POOL and process.record.adoption is not None
            if process.state in (State.STARTING, State.RUNNING)
        ]
        if running:
            names = ", ".join(process.full_name for process in running)
            text = f"event listeners are started again, their state is unknown: {names}"
            supervisor.log(Severity.WARN, text)
            await supervisor.restart(running, wait=False)
        supervisor.active.autostart(cause)
        for process in [p for p in supervisor.processes() if p in again]:
            await process.ended()
            with suppress(RequestError):
                process.request_start(cause)


def _is_shut_down(process: Process) -> bool:
    """Whether the shutdown of the earlier daemon has told it to stop, and it has not ended."""
    by = process.record.intended_by
    return process.stopping and by is not None and by.kind is CauseKind.SHUTDOWN
