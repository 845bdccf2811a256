"""What the status page can do, and how it says what became of it (interfaces.md 4.1)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from trio_supervisor.core.errors import BadName, RequestError
from trio_supervisor.core.states import FaultCode
from trio_supervisor.runtime.rpc import control
from trio_supervisor.runtime.rpc.logs import clear_process_logs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.runtime.several import Result
    from trio_supervisor.runtime.supervisor import Supervisor

UNKNOWN_ACTION = "Unknown action"
NO_PROCESS = "No such process named"
NO_GROUP = "No such group named"
ERROR = "ERROR:"
FAULT = "unexpected rpc fault"

#: How each failure of a start is said; other faults show their number and text.
_START_FAILURES = {
    FaultCode.NO_FILE: "no such file",
    FaultCode.NOT_EXECUTABLE: "file not executable",
    FaultCode.ALREADY_STARTED: "already started",
    FaultCode.SPAWN_ERROR: "spawn error",
    FaultCode.ABNORMAL_TERMINATION: "abnormal termination",
}


async def act(supervisor: Supervisor, fields: Mapping[str, str]) -> str:
    """Carry out what a form asks for; returns what became of it, for people and scripts."""
    action = fields["action"]
    if action in _ALL_ACTIONS:
        done = await _ALL_ACTIONS[action](supervisor)
        return f"{done} at {time.ctime(supervisor.wall_clock())}"
    if action in _GROUP_ACTIONS:
        return await _act_on_group(supervisor, action, fields.get("groupname", ""))
    return await _act_on_process(supervisor, action, fields.get("processname", ""))


def is_failure(message: str) -> bool:
    return message.startswith((ERROR, FAULT, NO_PROCESS, NO_GROUP, UNKNOWN_ACTION))


async def _act_on_group(supervisor: Supervisor, action: str, name: str) -> str:
    try:
        supervisor.group(name)
    except BadName:
        return f"{NO_GROUP} {name}"
    return await _GROUP_ACTIONS[action](supervisor, name)


async def _act_on_process(supervisor: Supervisor, action: str, name: str) -> str:
    if not name:
        return UNKNOWN_ACTION
    try:
        supervisor.process(name)
    except BadName:
        return f"{NO_PROCESS} {name}"
    if action not in _PROCESS_ACTIONS:
        return UNKNOWN_ACTION
    try:
        return await _PROCESS_ACTIONS[action](supervisor, name)
    except RequestError as error:
        return _fault(error)


async def _refresh(supervisor: Supervisor) -> str:
    return "Page refreshed"


async def _start_all(supervisor: Supervisor) -> str:
    results = await supervisor.start_all(control.all_processes(supervisor))
    return _failures(results) or "All started"


async def _stop_all(supervisor: Supervisor) -> str:
    await supervisor.stop_all(control.all_processes(supervisor))
    return "All stopped"


async def _restart_all(supervisor: Supervisor) -> str:
    await supervisor.stop_all(control.all_processes(supervisor))
    await supervisor.start_all(control.all_processes(supervisor))
    return "All restarted"


async def _start_group(supervisor: Supervisor, name: str) -> str:
    results = await supervisor.start_all(supervisor.group(name).processes.values())
    return _failures(results) or f"Group {name} started"


async def _stop_group(supervisor: Supervisor, name: str) -> str:
    results = await supervisor.stop_all(supervisor.group(name).processes.values())
    return _failures(results) or f"Group {name} stopped"


async def _restart_group(supervisor: Supervisor, name: str) -> str:
    members = list(supervisor.group(name).processes.values())
    await supervisor.stop_all(members)
    results = await supervisor.start_all(members)
    return _failures(results) or f"Group {name} restarted"


async def _start(supervisor: Supervisor, name: str) -> str:
    return await _started(supervisor, name) or f"Process {name} started"


async def _stop(supervisor: Supervisor, name: str) -> str:
    await control.stop_process(supervisor, name, True)
    return f"Process {name} stopped"


async def _restart(supervisor: Supervisor, name: str) -> str:
    """One that does not run is just started; what counts is that it runs afterwards (Q40)."""
    try:
        await control.stop_process(supervisor, name, True)
    except RequestError as error:
        if error.code is not FaultCode.NOT_RUNNING:
            raise
    return await _started(supervisor, name) or f"Process {name} restarted"


async def _clear_log(supervisor: Supervisor, name: str) -> str:
    await clear_process_logs(supervisor, name)
    return f"Log for {name} cleared"


async def _started(supervisor: Supervisor, name: str) -> str | None:
    """Start a process; returns what went wrong, or None."""
    try:
        await control.start_process(supervisor, name, True)
    except RequestError as error:
        return f"{ERROR} Process {name}: {_start_failure(error)}"
    return None


def _failures(results: Iterable[Result]) -> str:
    failed = [(r.process.full_name, r.error) for r in results if r.error is not None]
    said = "; ".join(f"{name}: {_start_failure(error)}" for name, error in sorted(failed))
    return f"{ERROR} {said}" if said else ""


def _start_failure(error: RequestError) -> str:
    return _START_FAILURES.get(error.code, _fault(error))


def _fault(error: RequestError) -> str:
    return f"{FAULT} [{int(error.code)}] {error}"


_ALL_ACTIONS: dict[str, Callable[[Supervisor], Awaitable[str]]] = {
    "refresh": _refresh,
    "restartall": _restart_all,
    "startall": _start_all,
    "stopall": _stop_all,
}
_GROUP_ACTIONS: dict[str, Callable[[Supervisor, str], Awaitable[str]]] = {
    "restartgroup": _restart_group,
    "startgroup": _start_group,
    "stopgroup": _stop_group,
}
_PROCESS_ACTIONS: dict[str, Callable[[Supervisor, str], Awaitable[str]]] = {
    "clearlog": _clear_log,
    "restart": _restart,
    "start": _start,
    "stop": _stop,
}
