"""Extended descriptions of processes, shared by XML-RPC, the JSON API and the pages.

The 14 members of getProcessInfo are frozen, because clients decode them into fixed types. Newer
members are here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import GroupKind
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.inspect.info import process_info
from trio_supervisor.runtime.inspect.procfs import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.inspect.procfs import Usage
    from trio_supervisor.runtime.process.lifecycle import Process
    from trio_supervisor.runtime.supervisor import Supervisor

#: What the API and XML-RPC call the kinds of groups and processes.
KIND_NAMES = {
    GroupKind.PLAIN: "program",
    GroupKind.POOL: "eventlistener",
    GroupKind.FCGI: "fcgi",
    GroupKind.TASK: "task",
}


async def details(supervisor: Supervisor, processes: Iterable[Process]) -> list[dict[str, Value]]:
    """Return the members of getProcessInfo and further ones for each process.

    ``full_name``, ``kind`` (see KIND_NAMES), ``uptime`` (seconds), ``restarts``, ``reason`` (why
    the process does not run, as a sentence), ``last_output`` (the end of its output),
    ``stdout_bytes`` and ``stderr_bytes`` (since the daemon's start); and of the child and its
    descendants ``cpu_seconds`` (never decreases while the child lives), ``memory`` (bytes) and
    ``processes``.
    """
    processes = list(processes)
    used = await supervisor.usage.read([process.pid for process in processes if process.pid])
    now = supervisor.wall_clock()
    return [_details(process, now, used.get(process.pid, NOTHING)) for process in processes]


def _details(process: Process, now: float, used: Usage) -> dict[str, Value]:
    return process_info(process, now) | {
        "full_name": process.full_name,
        "kind": KIND_NAMES[process.kind],
        "uptime": int(process.uptime),
        "restarts": process.history.restarts,
        "reason": reason(process),
        "last_output": last_output(process),
        "stdout_bytes": process.stdout.tail.count,
        "stderr_bytes": process.stderr.tail.count,
        "cpu_seconds": used.cpu_seconds,
        "memory": used.memory,
        "processes": used.processes,
    }


def reason(process: Process) -> str:
    """Explain why a process does not run; empty if it runs, starts or stops."""
    return _REASONS[process.state](process) if process.state in _REASONS else ""


def last_output(process: Process) -> str:
    """Return the end of the process's stderr, or of its stdout if stderr is empty.

    An error message is most likely on stderr.
    """
    return process.stderr.tail.text or process.stdout.tail.text


def _backoff(process: Process) -> str:
    failures = process.history.failures
    starts = "start" if failures == 1 else "starts"
    return f"{failures} failed {starts}, will be tried again: {_failure(process)}"


def _fatal(process: Process) -> str:
    return f"gave up starting it: {_failure(process)}"


def _failure(process: Process) -> str:
    """Return the error of the last start attempt, and how its child ended if it had one."""
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
