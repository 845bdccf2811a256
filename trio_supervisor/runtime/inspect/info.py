"""The structs of getProcessInfo and getAllConfigInfo.

Keys, their order and their types are frozen, because clients decode them into fixed types.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from trio_supervisor.core.config.model import AUTO, GroupKind, ProcessConfig
from trio_supervisor.core.config.options import CONFIG_INFO, ROWS
from trio_supervisor.core.config.value_types import NOT_SET
from trio_supervisor.core.process.reasons import is_ill, reason
from trio_supervisor.core.process.states import State
from trio_supervisor.core.xmlrpc import LARGEST_INTEGER, SMALLEST_INTEGER

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import GroupConfig
    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor

DAY = 24 * 60 * 60
#: Formatted uptimes that are cached; processes that were started together share one.
UPTIMES = 1024


#: Members of ``getAllConfigInfo`` that Supervisor has, in its order.
_SUPERVISORS = (
    *("autostart", "autorestart", "directory", "uid", "command", "exitcodes", "group"),
    *("group_prio", "inuse", "killasgroup", "name", "process_prio", "redirect_stderr"),
    *("startretries", "startsecs", "stdout_capture_maxbytes", "stdout_events_enabled"),
    *("stdout_logfile", "stdout_logfile_backups", "stdout_logfile_maxbytes", "stdout_syslog"),
    *("stopsignal", "stopwaitsecs", "stderr_capture_maxbytes", "stderr_events_enabled"),
    *("stderr_logfile", "stderr_logfile_backups", "stderr_logfile_maxbytes", "stderr_syslog"),
    "serverurl",
)
_MEMBERS = (*_SUPERVISORS, *(member for member in CONFIG_INFO if member not in _SUPERVISORS))


def process_info(process: Process, now: float) -> dict[str, Value]:
    """Return the 14 members of getProcessInfo; ``now`` is wall-clock seconds.

    Clients that poll ask for hundreds of processes at a time, so every line counts.
    """
    stdout_log = process.stdout.logfile or ""
    state = int(process.state)
    return {
        "name": process.name,
        "group": process.group,
        "start": _timestamp(process.started),
        "stop": _timestamp(process.stopped),
        "now": _timestamp(now),
        "state": state,
        "statename": _STATE_NAMES[state],
        "spawnerr": process.spawn_error,
        "exitstatus": process.exit_status,
        "logfile": stdout_log,
        "stdout_logfile": stdout_log,
        "stderr_logfile": process.stderr.logfile or "",
        "pid": process.pid,
        "description": _DESCRIPTIONS[state](process),
    }


def _of_running(process: Process) -> str:
    uptime = int(process.uptime)
    if process.kind is GroupKind.TASK:
        return f"task, uptime {format_uptime(uptime)}"
    ill = ", unhealthy" if process.record.probes is not None and is_ill(process.record) else ""
    return f"pid {process.pid}, uptime {format_uptime(uptime)}{ill}"


def _of_failed(process: Process) -> str:
    return process.spawn_error or f'unknown error (try "tail {process.name}")'


def _of_ended(process: Process) -> str:
    if not process.stopped:  # also if no start attempt ever led to a child
        return "Not started"
    return time.strftime("%b %d %I:%M %p", time.localtime(process.stopped))


def _of_moving(process: Process) -> str:
    return ""


def _of_starting(process: Process) -> str:
    return process.waiting or process.phase or reason(process.config, process.record)


_STATE_NAMES = {int(state): state.name for state in State}
#: Functions for the description that ``status`` shows, by number of the state: an int is hashed
#: faster than an enum member.
_DESCRIPTIONS: dict[int, Callable[[Process], str]] = {
    int(State.STOPPED): _of_ended,
    int(State.STARTING): _of_starting,
    int(State.RUNNING): _of_running,
    int(State.BACKOFF): _of_failed,
    int(State.STOPPING): _of_moving,
    int(State.EXITED): _of_ended,
    int(State.FATAL): _of_failed,
    int(State.UNKNOWN): _of_moving,
}


@lru_cache(maxsize=UPTIMES)
def format_uptime(seconds: int) -> str:
    """Format as ``H:MM:SS``, from one day on with the days in front; never negative."""
    days, rest = divmod(max(seconds, 0), DAY)
    minutes, second = divmod(rest, 60)
    clock = f"{minutes // 60}:{minutes % 60:02}:{second:02}"
    if not days:
        return clock
    return f"{days} day{'' if days == 1 else 's'}, {clock}"


def all_process_info(supervisor: Supervisor) -> list[dict[str, Value]]:
    """Return the info of all processes at one moment, by group name, then process name."""
    now = supervisor.wall_clock()
    return [process_info(process, now) for process in by_name(supervisor)]


def by_name(supervisor: Supervisor) -> list[Process]:
    """Return all processes, by group name, then process name."""
    processes = [p for group in supervisor.groups.values() for p in group.processes.values()]
    return sorted(processes, key=lambda process: (process.group, process.name))


def all_config_info(supervisor: Supervisor) -> list[dict[str, Value]]:
    """Return the configuration last read, of all groups, active or not, by process name."""
    return [_config_info(supervisor, group, process) for group, process in _configured(supervisor)]


def configured(supervisor: Supervisor) -> list[ProcessConfig]:
    """Return the processes of ``all_config_info``, in the same order."""
    return [process for _, process in _configured(supervisor)]


def extended_options(process: ProcessConfig) -> dict[str, object]:
    """Return the options that Supervisor does not have, as far as they are not at their default."""
    usual = ProcessConfig(process.name, process.command)
    found = {}
    for option in ROWS["program"].values():
        if option.extended and option.path is not None:
            value = option.read(process)
            if value != option.read(usual):
                found[option.name] = option.shown(value)
    return found


def _configured(supervisor: Supervisor) -> list[tuple[GroupConfig, ProcessConfig]]:
    found = [(group, process) for group in supervisor.candidates for process in group.processes]
    return sorted(found, key=lambda pair: pair[1].name)


def _config_info(
    supervisor: Supervisor, group: GroupConfig, process: ProcessConfig
) -> dict[str, Value]:
    active = supervisor.groups.get(group.name)
    running = active.processes.get(process.name) if active is not None else None
    members: dict[str, object] = {
        "group": group.name,
        "group_prio": group.priority,
        "inuse": active is not None,
    }
    for member, option in CONFIG_INFO.items():
        members[member] = option.shown(option.read(process))
    for channel in ("stdout", "stderr"):
        if getattr(process, channel).logfile is AUTO and running is not None:
            # An automatic log is shown by its real path while there is one.
            path = getattr(running, channel).logfile
            members[f"{channel}_logfile"] = path or members[f"{channel}_logfile"]
    if process.serverurl is AUTO:
        members["serverurl"] = NOT_SET
    return {member: cast("Value", members[member]) for member in _MEMBERS}


def clamped(info: dict[str, Value]) -> dict[str, Value]:
    """Limit the numbers of a struct to 32 bits, because clients decode it into fixed types."""
    return {
        key: max(SMALLEST_INTEGER, min(value, LARGEST_INTEGER)) if type(value) is int else value
        for key, value in info.items()
    }


def _timestamp(seconds: float) -> int:
    return int(seconds) if seconds < LARGEST_INTEGER else LARGEST_INTEGER
