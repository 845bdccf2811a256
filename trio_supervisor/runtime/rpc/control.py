"""Remote methods that change processes, groups or the supervisor itself.

The docstring of each function is what clients get from ``system.methodHelp``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import GroupKind
from trio_supervisor.core.errors import (
    AbnormalTermination,
    AlreadyStarted,
    BadName,
    BadSignal,
    Failed,
    NotRunning,
    RequestError,
    SpawnFailed,
    WaitsInVain,
)
from trio_supervisor.core.process.signals import parse_signal
from trio_supervisor.core.process.states import SIGNALLABLE_STATES, FaultCode

if TYPE_CHECKING:
    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.process.process import Process, Result
    from trio_supervisor.runtime.supervisor import Supervisor


async def start_process(supervisor: Supervisor, name: str, wait: bool) -> Value:
    """Start a process; of "group:*", every process of the group that is not running.

    @param string name   "process", "group:process" or "group:*"
    @param boolean wait  answer when the process is RUNNING (default) or as soon as it is spawned
    @return boolean      always true; an array of results for "group:*"
    """
    if (members := members_named(supervisor, name)) is not None:
        return results(await supervisor.start_once(members, wait=wait))
    process = supervisor.process(name)
    with _called(name):
        await process.start_once(wait=wait)
    return True


async def start_process_group(supervisor: Supervisor, name: str, wait: bool) -> Value:
    """Start every process of a group that is not running.

    @param string name   the group
    @param boolean wait  answer when the outcome of every start is known (default)
    @return array        one struct for each process that was to be started
    """
    group = supervisor.group(name)
    return results(await supervisor.start_once(group.processes.values(), wait=wait))


async def start_all_processes(supervisor: Supervisor, wait: bool) -> Value:
    """Start every process that is not running, whatever its autostart says.

    @param boolean wait  answer when the outcome of every start is known (default)
    @return array        one struct for each process that was to be started
    """
    return results(await supervisor.start_once(supervisor.processes(), wait=wait))


async def stop_process(supervisor: Supervisor, name: str, wait: bool) -> Value:
    """Stop a process; of "group:*", every running process of the group.

    @param string name   "process", "group:process" or "group:*"
    @param boolean wait  answer when the process has ended (default) or has been told to
    @return boolean      always true; an array of results for "group:*"
    """
    if (members := members_named(supervisor, name)) is not None:
        return results(await supervisor.stop(members, wait=wait))
    process = supervisor.process(name)
    with _called(name):
        await process.stop(wait=wait)
    return True


async def stop_process_group(supervisor: Supervisor, name: str, wait: bool) -> Value:
    """Stop every running process of a group.

    @param string name   the group
    @param boolean wait  answer when all of them have ended (default)
    @return array        one struct for each process that was to be stopped
    """
    group = supervisor.group(name)
    return results(await supervisor.stop(group.processes.values(), wait=wait))


async def stop_all_processes(supervisor: Supervisor, wait: bool) -> Value:
    """Stop every running process, event listeners included.

    @param boolean wait  answer when all of them have ended (default)
    @return array        one struct for each process that was to be stopped
    """
    return results(await supervisor.stop(supervisor.processes(), wait=wait))


async def signal_process(supervisor: Supervisor, name: str, signal: str) -> Value:
    """Send a signal to a process; of "group:*", to every process of the group that has a child.

    @param string name    "process", "group:process" or "group:*"
    @param string signal  a name, with or without SIG, or a number
    @return boolean       always true; an array of results for "group:*"
    """
    if (members := members_named(supervisor, name)) is not None:
        return _signal_all(supervisor, members, signal)
    process = supervisor.process(name)
    number = signal_number(signal)
    with _called(name):
        process.signal(number)
    return True


async def signal_process_group(supervisor: Supervisor, name: str, signal: str) -> Value:
    """Send a signal to every process of a group that has a child.

    @param string name    the group
    @param string signal  a name, with or without SIG, or a number
    @return array         one struct for each process that was to be signalled
    """
    return _signal_all(supervisor, supervisor.group(name).processes.values(), signal)


async def signal_all_processes(supervisor: Supervisor, signal: str) -> Value:
    """Send a signal to every process that has a child.

    @param string signal  a name, with or without SIG, or a number
    @return array         one struct for each process that was to be signalled
    """
    return _signal_all(supervisor, supervisor.processes(), signal)


async def send_process_stdin(supervisor: Supervisor, name: str, chars: str) -> Value:
    """Send text to the standard input of a process.

    @param string name   the process
    @param string chars  what to send; it arrives encoded as UTF-8
    @return boolean      true when the text is queued, which does not mean that it was read
    """
    process = supervisor.process(name)
    if process.kind is GroupKind.POOL:
        raise Failed(f"{name} is an event listener, its stdin belongs to the event protocol")
    with _called(name):
        process.send_stdin(chars.encode(errors="replace"))
    return True


async def send_remote_comm_event(supervisor: Supervisor, type: str, data: str) -> Value:
    """Publish a REMOTE_COMMUNICATION event to the event listeners.

    @param string type  a name for what the event is about
    @param string data  the event's body
    @return boolean     always true, whether or not anybody listens
    """
    supervisor.send_remote_communication(type, data)
    return True


async def reload_config(supervisor: Supervisor) -> Value:
    """Read the configuration again. Nothing that runs changes; add and remove groups to follow.

    @return array  one element: an array of the names of added, changed and removed groups
    """
    found = await supervisor.reread()
    return [[list(found.added), list(found.changed), list(found.removed)]]


async def add_process_group(supervisor: Supervisor, name: str) -> Value:
    """Activate a group of the configuration last read; its autostart programs are started.

    @param string name  the group
    @return boolean     always true
    """
    supervisor.add_group(name)
    return True


async def remove_process_group(supervisor: Supervisor, name: str) -> Value:
    """Remove a group whose processes have all stopped, or are being stopped.

    @param string name  the group
    @return boolean     always true
    """
    await supervisor.remove_stopped(name)
    return True


async def shutdown(supervisor: Supervisor) -> Value:
    """Stop everything and end the supervisor.

    @return boolean  always true
    """
    supervisor.request_shutdown()
    return True


async def restart(supervisor: Supervisor) -> Value:
    """Stop everything and start over with a fresh configuration, in the same process.

    A configuration that cannot be used is a fault, and everything keeps running.

    @return boolean  always true
    """
    await supervisor.reload()
    return True


def result(process: Process, error: RequestError | None) -> dict[str, Value]:
    """Return one entry of a result array."""
    return {
        "name": process.name,
        "group": process.group,
        "status": int(FaultCode.SUCCESS if error is None else error.code),
        "description": "OK" if error is None else str(error),
    }


def results(outcomes: Iterable[Result]) -> list[Value]:
    return [result(outcome.process, outcome.error) for outcome in outcomes]


def signal_number(text: str) -> int:
    """Return the number of the signal that a client has named. Raises BadSignal."""
    try:
        return parse_signal(text)
    except ValueError as error:
        raise BadSignal(text) from error


def members_named(supervisor: Supervisor, name: str) -> list[Process] | None:
    """Return the processes of ``group:*`` or ``group:``; None if the name means one process."""
    group, colon, process = name.partition(":")
    if not colon or process not in ("", "*"):
        return None
    if group not in supervisor.groups:
        raise BadName(name)
    return list(supervisor.groups[group].processes.values())


def _signal_all(supervisor: Supervisor, processes: Iterable[Process], signal: str) -> Value:
    """Signal processes; a bad signal is an error of each process that would have got it."""
    try:
        number = signal_number(signal)
    except BadSignal as error:
        return [result(p, error) for p in processes if p.state in SIGNALLABLE_STATES]
    return results(supervisor.signal(processes, number))


@contextmanager
def _called(name: str) -> Iterator[None]:
    """Let faults about a process show its name as the client wrote it."""
    try:
        yield
    except WaitsInVain as error:  # clients match on the number; the text is new
        raise SpawnFailed(f"{name}: {error.reason}") from error
    except (AbnormalTermination, AlreadyStarted, NotRunning, SpawnFailed) as error:
        raise type(error)(name) from error
