"""The actions of the status page and the messages with their results."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import BadName, Failed, RequestError
from trio_supervisor.core.process.states import FaultCode
from trio_supervisor.runtime.rpc import control
from trio_supervisor.runtime.rpc.logs import clear_process_logs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.runtime.process.process import Process, Result
    from trio_supervisor.runtime.supervisor import Supervisor

    Perform = Callable[["FormAction"], Awaitable[str]]

UNKNOWN_ACTION = "Unknown action"
NO_PROCESS = "No such process named"
NO_GROUP = "No such group named"
ERROR = "ERROR:"
FAULT = "unexpected rpc fault"

#: Texts for failed starts. For other faults, number and text are shown.
_START_FAILURES = {
    FaultCode.NO_FILE: "no such file",
    FaultCode.NOT_EXECUTABLE: "file not executable",
    FaultCode.ALREADY_STARTED: "already started",
    FaultCode.SPAWN_ERROR: "spawn error",
    FaultCode.ABNORMAL_TERMINATION: "abnormal termination",
}


@dataclass(frozen=True, slots=True)
class FormAction:
    """An action that a form requests; ``name`` is a process or group, empty for all processes."""

    supervisor: Supervisor
    name: str
    has_left: Callable[[], bool]
    """Whether the browser has disconnected."""

    def check_browser(self) -> None:
        """Check that the browser is still connected, between stop and start. Raises Failed."""
        if self.has_left():
            text = "the browser that asked for a restart is gone, nothing is started"
            self.supervisor.log(Severity.WARN, text)
            raise Failed(text)

    @property
    def members(self) -> list[Process]:
        """The processes of the group, or all processes."""
        if not self.name:
            return self.supervisor.processes()
        return list(self.supervisor.group(self.name).processes.values())


async def act(
    supervisor: Supervisor, fields: Mapping[str, str], has_left: Callable[[], bool]
) -> str:
    """Carry out the action of a form; returns a message, for users and scripts."""
    action = fields["action"]
    try:
        if action in _ALL_ACTIONS:
            done = await _ALL_ACTIONS[action](FormAction(supervisor, "", has_left))
            return f"{done} at {time.ctime(supervisor.wall_clock())}"
        if action in _GROUP_ACTIONS:
            form = FormAction(supervisor, fields.get("groupname", ""), has_left)
            return await _act_on_group(form, action)
        return await _act_on_process(
            FormAction(supervisor, fields.get("processname", ""), has_left), action
        )
    except RequestError as error:
        return _fault(error)


def is_failure(message: str) -> bool:
    return message.startswith((ERROR, FAULT, NO_PROCESS, NO_GROUP, UNKNOWN_ACTION))


async def _act_on_group(form: FormAction, action: str) -> str:
    try:
        form.supervisor.group(form.name)
    except BadName:
        return f"{NO_GROUP} {form.name}"
    return await _GROUP_ACTIONS[action](form)


async def _act_on_process(form: FormAction, action: str) -> str:
    if not form.name:
        return UNKNOWN_ACTION
    try:
        form.supervisor.process(form.name)
    except BadName:
        return f"{NO_PROCESS} {form.name}"
    if action not in _PROCESS_ACTIONS:
        return UNKNOWN_ACTION
    return await _PROCESS_ACTIONS[action](form)


async def _refresh(form: FormAction) -> str:
    return "Page refreshed"


async def _start_all(form: FormAction) -> str:
    return _failures(await form.supervisor.start_once(form.members)) or "All started"


async def _stop_all(form: FormAction) -> str:
    await form.supervisor.stop(form.members)
    return "All stopped"


async def _restart_all(form: FormAction) -> str:
    await form.supervisor.restart_once(form.members, check=form.check_browser)
    return "All restarted"


async def _start_group(form: FormAction) -> str:
    results = await form.supervisor.start_once(form.members)
    return _failures(results) or f"Group {form.name} started"


async def _stop_group(form: FormAction) -> str:
    results = await form.supervisor.stop(form.members)
    return _failures(results) or f"Group {form.name} stopped"


async def _restart_group(form: FormAction) -> str:
    results = await form.supervisor.restart_once(form.members, check=form.check_browser)
    return _failures(results) or f"Group {form.name} restarted"


async def _start(form: FormAction) -> str:
    started = control.start_process(form.supervisor, form.name, True)
    return await _failure_of_start(form, started) or f"Process {form.name} started"


async def _stop(form: FormAction) -> str:
    await control.stop_process(form.supervisor, form.name, True)
    return f"Process {form.name} stopped"


async def _restart(form: FormAction) -> str:
    """Restart a process; start it if it does not run."""
    process = form.supervisor.process(form.name)
    started = process.restart_once(check=form.check_browser)
    return await _failure_of_start(form, started) or f"Process {form.name} restarted"


async def _refresh_process(form: FormAction) -> str:
    await form.supervisor.process(form.name).refresh()
    return f"Process {form.name} refreshed"


async def _clear_log(form: FormAction) -> str:
    await clear_process_logs(form.supervisor, form.name)
    return f"Log for {form.name} cleared"


async def _failure_of_start(form: FormAction, started: Awaitable[object]) -> str | None:
    """Await a start; returns the error, or None."""
    try:
        await started
    except RequestError as error:
        return f"{ERROR} Process {form.name}: {_start_failure(error)}"
    return None


def _failures(results: Iterable[Result]) -> str:
    failed = [(r.process.full_name, r.error) for r in results if r.error is not None]
    failures = "; ".join(f"{name}: {_start_failure(error)}" for name, error in sorted(failed))
    return f"{ERROR} {failures}" if failures else ""


def _start_failure(error: RequestError) -> str:
    return _START_FAILURES.get(error.code, _fault(error))


def _fault(error: RequestError) -> str:
    return f"{FAULT} [{int(error.code)}] {error}"


_ALL_ACTIONS: dict[str, Perform] = {
    "refresh": _refresh,
    "restartall": _restart_all,
    "startall": _start_all,
    "stopall": _stop_all,
}
_GROUP_ACTIONS: dict[str, Perform] = {
    "restartgroup": _restart_group,
    "startgroup": _start_group,
    "stopgroup": _stop_group,
}
_PROCESS_ACTIONS: dict[str, Perform] = {
    "clearlog": _clear_log,
    "refreshprocess": _refresh_process,
    "restart": _restart,
    "start": _start,
    "stop": _stop,
}
