"""All there is to tell of a process, for people: XML-RPC, JSON and pages show the same.

The 14 keys of getProcessInfo are frozen (interfaces.md 6); what is new stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import GroupKind
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.inspect.info import process_info
from trio_supervisor.runtime.inspect.meter import Meter
from trio_supervisor.runtime.inspect.procfs import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.inspect.procfs import Usage
    from trio_supervisor.runtime.process.lifecycle import Process
    from trio_supervisor.runtime.supervisor import Supervisor

#: What processes use is the machine's matter, whichever supervisor they belong to.
_meter = Meter()

KINDS = {
    GroupKind.PLAIN: "program",
    GroupKind.POOL: "eventlistener",
    GroupKind.FCGI: "fcgi",
    GroupKind.TASK: "task",
}


async def details(supervisor: Supervisor, processes: Iterable[Process]) -> list[dict[str, Value]]:
    """The keys of getProcessInfo and further ones, for each process.

    ``full_name``, ``kind`` (see KINDS), ``uptime`` (s), ``restarts``, ``reason`` (why it does not
    run, for people), ``last_output`` (the end of what it wrote), ``stdout_bytes`` and
    ``stderr_bytes`` (since the daemon's start), and of the child and its descendants
    ``cpu_seconds`` (they only grow while it lives), ``memory`` (bytes) and ``processes``.
    """
    processes = list(processes)
    pids = [process.pid for process in processes if process.pid]
    used = await _meter.usages(pids) if pids else {}
    now = supervisor.wall_clock()
    return [_details(process, now, used.get(process.pid, NOTHING)) for process in processes]


def _details(process: Process, now: float, used: Usage) -> dict[str, Value]:
    return process_info(process, now) | {
        "full_name": process.full_name,
        "kind": KINDS[process.kind],
        "uptime": int(process.uptime),
        "restarts": process.history.restarts,
        "reason": reason(process),
        "last_output": last_output(process),
        "stdout_bytes": process.stdout.recent.count,
        "stderr_bytes": process.stderr.recent.count,
        "cpu_seconds": used.cpu_seconds,
        "memory": used.memory,
        "processes": used.processes,
    }


def reason(process: Process) -> str:
    """Why it does not run, in words; empty if it does, or is on its way."""
    return _REASONS[process.state](process) if process.state in _REASONS else ""


def last_output(process: Process) -> str:
    """The end of its stderr, which mostly says what went wrong; of its stdout if there is none."""
    return process.stderr.recent.text or process.stdout.recent.text


def _backoff(process: Process) -> str:
    failures = process.history.failures
    starts = "start" if failures == 1 else "starts"
    return f"{failures} failed {starts}, will be tried again: {_failure(process)}"


def _fatal(process: Process) -> str:
    return f"gave up starting it: {_failure(process)}"


def _failure(process: Process) -> str:
    """The error of the last attempt, and how its child ended if there was one."""
    error = process.spawn_error or "the supervisor was going down"
    last = process.history.last_exit
    return error if last is None else f"{error}; {last}"


def _stopped(process: Process) -> str:
    last = process.history.last_exit
    if last is not None:
        return f"stopped on request: {last}"
    if process.started:
        return "stopped on request"
    return "not started yet" if process.config.autostart else "not started: autostart is off"


def _exited(process: Process) -> str:
    last = process.history.last_exit
    if last is None or last.expected(process.config.exitcodes):
        return f"ended by itself: {last}"
    return f"ended by itself: {last} (not expected)"


def _unknown(process: Process) -> str:
    return "it could not be signalled, or an internal error; the activity log has the details"


_REASONS: dict[State, Callable[[Process], str]] = {
    State.BACKOFF: _backoff,
    State.FATAL: _fatal,
    State.STOPPED: _stopped,
    State.EXITED: _exited,
    State.UNKNOWN: _unknown,
}
