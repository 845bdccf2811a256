"""The table of the ``tsupervisor.*`` methods, which Supervisor does not have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trio_supervisor._version import __version__
from trio_supervisor.core.errors import IncorrectParameters
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.groups.operations import running
from trio_supervisor.runtime.inspect import dependencies, describe, health
from trio_supervisor.runtime.inspect.info import by_name, process_info
from trio_supervisor.runtime.journal import view
from trio_supervisor.runtime.requester import cause_of_request
from trio_supervisor.runtime.rpc.control import members_named, results
from trio_supervisor.runtime.rpc.method import ARRAY, INTEGER, NAME, SECONDS, WAIT, Method

if TYPE_CHECKING:
    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.events.pool import Pool
    from trio_supervisor.runtime.supervisor import Supervisor


async def pool_info(supervisor: Supervisor) -> Value:
    """Tell how the event listener pools keep up.

    @return array  one struct for each pool: its name, the size of its buffer, how many events wait
                   in it and how many were dropped, and the protocol state of each listener
    """
    return [_pool(group.pool) for group in supervisor.groups.values() if group.pool is not None]


def _pool(pool: Pool) -> Value:
    listeners: list[Value] = [
        {"name": process.name, "pid": process.pid, "state": int(state), "statename": state.name}
        for process, state in pool.listeners
    ]
    return {
        "name": pool.name,
        "buffer_size": pool.buffer.size,
        "buffered": pool.buffer.count,
        "dropped": pool.buffer.dropped,
        "listeners": listeners,
    }


async def process_details(supervisor: Supervisor, name: str) -> Value:
    """Tell all there is to tell of one process, also why it does not run and what it uses.

    @param string name  the process, as group:name unless both are the same
    @return struct      what getProcessInfo returns, and more
    """
    return (await describe.details(supervisor, [supervisor.process(name)]))[0]


async def all_process_details(supervisor: Supervisor) -> Value:
    """Tell all there is to tell of every process.

    @return array  one struct for each process, by group name, then process name
    """
    return [*await describe.details(supervisor, by_name(supervisor))]


async def wait_for_state(
    supervisor: Supervisor, names: list[Value], states: list[Value], within: float
) -> Value:
    """Wait until processes are all in one of these states at the same time, at most 60 seconds.

    @param array names     the processes, as group:name unless both are the same
    @param array states    names of states: "RUNNING"
    @param double within   seconds to wait; 0 only looks
    @return array          what getProcessInfo returns of each, when the wait was over
    """
    processes = [supervisor.process(name) for name in _strings(names)]
    unknown = [name for name in _strings(states) if name not in State.__members__]
    if unknown or not states:
        raise IncorrectParameters(f"no such state: {', '.join(unknown) or 'none given'}")
    await health.wait_for_states(processes, [State[name] for name in _strings(states)], within)
    now = supervisor.wall_clock()
    return [process_info(process, now) for process in processes]


async def unhealthy(supervisor: Supervisor, names: list[Value], strict: bool = False) -> Value:
    """Tell which processes are not as they should be.

    That is: neither RUNNING nor ended as expected. One whose autostart is off counts only if it
    was started, or is asked for by name.

    @param array names     the processes, as group:name unless both are the same; none: all of them
    @param boolean strict  also those that are restarted often because they go wrong (default: no)
    @return array          a struct {name, group, full_name, statename, reason} for each of them
    """
    asked = [supervisor.process(name) for name in _strings(names)]
    return [
        {
            "name": process.name,
            "group": process.group,
            "full_name": process.full_name,
            "statename": process.state.name,
            "reason": why,
        }
        for process, why in health.unhealthy_processes(
            asked or by_name(supervisor), asked=bool(asked), strict=strict
        )
    ]


async def reopen_logs(supervisor: Supervisor, names: list[Value]) -> Value:
    """Open logs by name again, after another program has renamed them.

    @param array names  the processes, as group:name unless both are the same; none: the logs of
                        all and that of the supervisor
    @return boolean     always True; what cannot be opened is told in the supervisor's log
    """
    if names:
        await supervisor.reopen_logs_of([supervisor.process(name) for name in _strings(names)])
    else:
        await supervisor.reopen_logs()
    return True


async def why(supervisor: Supervisor, name: str) -> Value:
    """Tell why a process is in its state: the chain of causes, and what would start it.

    @param string name  the process, as group:name unless both are the same
    @return struct      {process, statename, root, next, chain}; the chain has the members of
                        getHistory and begins with the last change
    """
    return view.shown_why(await supervisor.why(name))


async def history(
    supervisor: Supervisor, names: list[Value], since: float, kind: str, limit: int
) -> Value:
    """Tell what has happened, oldest first.

    @param array names   processes, as group:name unless both are the same, and groups; none: all
    @param double since  seconds since the epoch; 0: from the beginning
    @param string kind   what entries are about (state, request, verdict, limit, configuration,
                         daemon, clock), or the kind of their cause (boot, exit, policy, ...);
                         empty: all
    @param int limit     at most so many of the last entries, 10000 at most
    @return array        a struct for each entry
    """
    if kind and kind not in view.KINDS:
        raise IncorrectParameters(f"no such kind: {kind}; there are {', '.join(view.KINDS)}")
    entries = await supervisor.history(
        _strings(names),
        since=since or None,
        kind=kind or None,
        limit=max(0, min(limit, view.MOST_ENTRIES)),
    )
    return [view.shown_entry(entry) for entry in entries]


async def dependency_graph(supervisor: Supervisor) -> Value:
    """Tell which processes depend on which others.

    @return array  a struct for each process, in the order of starting: what it depends on and
                   whether that is met, what it waits for, who needs it
    """
    return [*dependencies.dependencies(supervisor)]


async def start_without_dependencies(supervisor: Supervisor, name: str, wait: bool) -> Value:
    """Start a process without waiting for what it depends on, and without starting that.

    @param string name   the process, as group:name unless both are the same
    @param boolean wait  answer when the process is RUNNING (default) or as soon as it is spawned
    @return boolean      always true
    """
    await supervisor.process(name).start_without_dependencies(wait=wait)
    return True


async def refresh(supervisor: Supervisor, names: list[Value]) -> Value:
    """Let processes take up what has changed without a restart.

    Each is sent its refresh_signal, SIGHUP by default, or its refresh_command is run.

    @param array names  processes, as group:name unless both are the same, or "group:*"; none: all
    @return array       one struct for each process that is named, or is one of several and RUNNING
    """
    processes = running(supervisor.processes()) if not names else []
    for name in _strings(names):
        group = members_named(supervisor, name)
        processes += [supervisor.process(name)] if group is None else running(group)
    return results(await supervisor.refresh(processes))


async def upgrade(supervisor: Supervisor) -> Value:
    """Replace the running program by the one on disk, without stopping anything.

    The answer comes when that program was checked; it takes the place as soon as nothing is under
    way that would be lost (see getUpgrade). A program that cannot go on is refused.

    @return struct  {from, version}: the version that runs, and that which takes its place
    """
    version = await supervisor.upgrades.begin(cause_of_request())
    return {"from": __version__, "version": version}


async def upgrade_status(supervisor: Supervisor) -> Value:
    """Tell how upgrades without a stop have gone.

    @return struct  {version, upgrades, under_way, failure}: the version that runs, the number of
                    upgrades since the start of the daemon, whether one is under way, and why the
                    last one has failed (empty: it has not)
    """
    return dict(supervisor.upgrades.described())


def _strings(values: list[Value]) -> list[str]:
    if not all(isinstance(value, str) for value in values):
        raise IncorrectParameters
    return [value for value in values if isinstance(value, str)]


def _without_requesters(value: Value) -> Value:
    return view.without_requesters(value)  # named below, it would be loaded by each daemon


_STRICT = replace(WAIT, default=False)

METHODS = (
    Method(
        "getHistory",
        "array",
        (ARRAY, SECONDS, NAME, INTEGER),
        history,
        always=True,
        reads=True,
        redact=_without_requesters,
    ),
    Method("getAllProcessDetails", "array", (), all_process_details, reads=True),
    Method("getDependencies", "array", (), dependency_graph, always=True, reads=True),
    Method("getPoolInfo", "array", (), pool_info, always=True, reads=True),
    Method("getProcessDetails", "struct", (NAME,), process_details, reads=True),
    Method("getUnhealthy", "array", (ARRAY, _STRICT), unhealthy, reads=True),
    Method("refresh", "array", (ARRAY,), refresh),
    Method("reopenLogs", "boolean", (ARRAY,), reopen_logs),
    Method("startWithoutDependencies", "boolean", (NAME, WAIT), start_without_dependencies),
    Method("getUpgrade", "struct", (), upgrade_status, always=True, reads=True),
    Method("upgrade", "struct", (), upgrade),
    Method("waitForState", "array", (ARRAY, ARRAY, SECONDS), wait_for_state, reads=True),
    Method("why", "struct", (NAME,), why, always=True, reads=True, redact=_without_requesters),
)
