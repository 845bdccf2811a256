"""Brings a supervisor to a point at which another one can go on, and ends its tasks there.

Theory of operation
-------------------
A state has values and descriptors, but no tasks. So whatever exists only in a task must be over
first: a child that is being made, the recording of an exit, a hook, the start of all programs, a
request of a client. The first three take milliseconds as a rule, the others may take minutes.

``when_ready`` waits for that in two phases. In the first, everything goes on as usual, until
nothing is under way that may take long. In the second, nothing new is begun (``hold``): no start,
no reaping of a child, no request (the servers' part, see ``Holdable``). What is still under way
ends soon then. If it does not, everything is let loose again, and the first phase begins anew. So a
supervisor that is asked for much, or whose programs crash in a loop, still finds its moment, and
nobody waits for longer than MOST_HELD.

Children that end while nothing is reaped stay zombies: the next supervisor finds their exit status.

At the end of the block the tasks are cancelled (``Supervisor.let_go``). No task runs when the state
is read, so nothing can change meanwhile: what a pipe has got since is read by the next supervisor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from trio_supervisor.core.process.states import DaemonState
from trio_supervisor.runtime.handover.output import close_logs

if TYPE_CHECKING:
    from trio_supervisor.runtime.supervisor import Supervisor

#: Seconds that nothing is begun at most.
MOST_HELD = 0.25
#: Seconds that a log gets to be written when no output comes any more.
SETTLE_TIME = 0.5
#: Seconds after which a request is one that takes long: clients that ask all the time are no reason
#: to wait.
LONG = 0.2
#: Seconds between two looks.
LOOK = 0.01
#: The same while something takes long.
LOOK_LONG = 0.1


class CannotLetGo(Exception):
    """Something does not end; the text says what is under way."""


class Holdable(Protocol):
    """The servers of a daemon: requests of clients."""

    def hold(self) -> None:
        """Begin no request."""

    def release(self) -> None:
        """Go on."""

    def busy(self, seconds: float = 0.0) -> str:
        """Return what requests are under way for that long, in words; empty if there are none."""


async def when_ready(supervisor: Supervisor, servers: Holdable, patience: float) -> None:
    """Return when the supervisor can be let go, which must follow at once.

    Nothing is begun from then on, until ``release``. Raises CannotLetGo after ``patience`` seconds.
    """
    deadline = trio.current_time() + patience
    while True:
        while what := _long(supervisor) or servers.busy(LONG):
            _check(deadline, what)
            await trio.sleep(LOOK_LONG)
        hold(supervisor, servers)
        try:
            with trio.move_on_after(MOST_HELD):
                while what := _short(supervisor) or servers.busy():  # noqa: ASYNC110  # no event
                    await trio.sleep(LOOK)
                return
        except BaseException:
            release(supervisor, servers)
            raise
        release(supervisor, servers)
        _check(deadline, what)
        await trio.sleep(LOOK_LONG)


def hold(supervisor: Supervisor, servers: Holdable) -> None:
    """Begin nothing new: no start, no request, no reaping of a child."""
    servers.hold()
    supervisor._host.hold = trio.Event()
    for process in supervisor.processes():
        if process.driver.child is not None and not process.driver.is_dead:
            process.driver.child.hold()


def release(supervisor: Supervisor, servers: Holdable) -> None:
    """Go on as before ``hold``."""
    for process in supervisor.processes():
        if process.driver.child is not None:
            process.driver.child.hold(held=False)
    held, supervisor._host.hold = supervisor._host.hold, None
    if held is not None:
        held.set()
    servers.release()


def _check(deadline: float, what: str) -> None:
    if trio.current_time() >= deadline:
        raise CannotLetGo(what)


def _long(supervisor: Supervisor) -> str:
    """What is under way that may take long."""
    if supervisor.state is not DaemonState.RUNNING:
        raise CannotLetGo(f"the supervisor is {supervisor.state.name}")
    if supervisor.active.autostarts or not supervisor.active.autostarted.is_set():
        return "programs are being started (autostart)"
    for process in supervisor.processes():
        hooks = process.driver._known_hooks
        if hooks is not None and hooks.is_running:
            return f"a hook of {process.full_name} runs"
    return ""


def _short(supervisor: Supervisor) -> str:
    """What is under way that ends soon."""
    if long := _long(supervisor):
        return long
    for process in supervisor.processes():
        if not process.driver.can_let_go:
            return f"{process.full_name} is being started, or has just ended"
    if what := supervisor._host.sinks.hanging():
        return what
    for process in supervisor.processes():
        for missing in (*process.stdout.targets.missing, *process.stderr.targets.missing):
            if missing.kept:
                return f"the log {missing.name} cannot be opened"
    coordinator = supervisor.active.dependencies._made
    if coordinator is not None and not coordinator.is_settled:
        return "dependencies are being looked at"
    return ""


def settle_logs(supervisor: Supervisor) -> str:
    """Have everything written that the logs of an ended supervisor have got, and close them.

    Blocks for a moment. Returns why that is not possible; empty if it is done.
    """
    for process in supervisor.processes():
        close_logs(process)
    supervisor._host.sinks.settle(SETTLE_TIME)
    return supervisor._host.sinks.unwritten()
