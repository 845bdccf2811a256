"""Extended descriptions of processes, shared by XML-RPC, the JSON API and the pages.

The 14 members of getProcessInfo are frozen, because clients decode them into fixed types. Newer
members are here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import GroupKind
from trio_supervisor.core.journal.entry import What
from trio_supervisor.core.journal.words import sentence
from trio_supervisor.core.process import reasons
from trio_supervisor.core.process.flapping import described
from trio_supervisor.core.process.next_step import next_step
from trio_supervisor.core.process.states import SIGNALLABLE_STATES, State
from trio_supervisor.runtime.inspect.info import process_info
from trio_supervisor.runtime.inspect.procfs import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.core.journal.memory import JournalMemory
    from trio_supervisor.core.process.next_step import NextStep
    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.inspect.procfs import Usage
    from trio_supervisor.runtime.process.process import Process
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

    ``full_name``, ``kind`` (see KIND_NAMES), ``uptime`` (seconds), ``restarts``,
    ``requested_starts``, ``automatic_restarts``, ``failed_starts``, ``reason`` (why the process
    does not run, is not ready or is unhealthy, and what its start waits for), ``flapping`` (how
    often it was restarted because it goes wrong; empty if that is not often), ``health``
    (``unknown``, ``healthy``, ``unhealthy``; empty if it is not checked), ``told_status`` (what the
    program says of itself, see sd_notify(3)), ``limits`` (of memory, processors and processes, with
    what keeps each: the cgroup, or the daemon, which watches; empty without any), ``memory_max``
    (bytes, 0 without), ``left_behind`` (pids of living processes that children have left),
    ``adopted`` (which killed daemon has started the present child; empty if it was this one),
    ``depends_on`` (as it is written), ``next_step`` (what is done next with a child that starts or
    stops, and in how many ``seconds``; empty if nothing is due), ``last_start`` (when and why the
    present child was started; empty without one), ``last_exit`` (see ``End.described``; empty
    if no child has ended), ``last_output`` (the end of its output), ``stdout_bytes`` and
    ``stderr_bytes`` (since the daemon's start); and of the child and its descendants
    ``cpu_seconds`` (never decreases while the child lives), ``memory`` (bytes) and ``processes``.
    """
    processes = list(processes)
    used = await supervisor.usage.read([process.pid for process in processes if process.pid])
    now = supervisor.wall_clock()
    memory = supervisor.journal.memory
    return [
        _details(process, now, used.get(process.pid, NOTHING))
        | {"last_start": last_start(process, memory)}
        for process in processes
    ]


def _details(process: Process, now: float, used: Usage) -> dict[str, Value]:
    return process_info(process, now) | {
        "full_name": process.full_name,
        "kind": KIND_NAMES[process.kind],
        "uptime": int(process.uptime),
        "restarts": process.record.restarts,
        "requested_starts": process.record.requested_starts,
        "automatic_restarts": process.record.automatic_restarts,
        "failed_starts": process.record.failed_starts,
        "reason": reason(process),
        "flapping": flapping(process),
        "health": health(process),
        "told_status": told_status(process),
        "next_step": next_step_of(process),
        "depends_on": [str(need) for need in process.config.dependencies.needs],
        "limits": limits(process),
        "memory_max": process.config.limits.memory_max or 0,
        "left_behind": left_behind(process),
        "adopted": adopted(process),
        "last_exit": last_exit(process),
        "last_output": last_output(process),
        "stdout_bytes": process.stdout.tail.count,
        "stderr_bytes": process.stderr.tail.count,
        "cpu_seconds": used.cpu_seconds,
        "memory": used.memory,
        "processes": used.processes,
    }


def reason(process: Process) -> str:
    """Explain why a process does not run, is not ready or is unhealthy, and what its start waits
    for; empty if it is well."""
    text = process.waiting or process.phase or reasons.reason(process.config, process.record)
    if not text and process.stopping:
        return stopping_words(process)
    if not text and process.state is State.STARTING:
        return starting_words(process)
    return text + _next_start(process)


def starting_words(process: Process) -> str:
    """Tell what a start waits for that waits for no dependency, hook or probe."""
    step = next_step(process.config, process.record)
    if step is not None:
        return f"is RUNNING in {_seconds_to(step)} s unless it ends before"
    if process.config.announces:
        return "has not called task_status.started() yet"
    if process.pid or process.kind is GroupKind.TASK:
        return "is RUNNING when it has ended as expected" if process.config.oneshot else ""
    if process.is_being_made:
        return "its logs are opened and its process is made"
    return "is prepared: its environment is looked up"


def _next_start(process: Process) -> str:
    """Tell when a process that is down starts by itself, as an appendix to the reason."""
    words = reasons.next_start(process.record, trio.current_time())
    if not words or process.record.due > trio.current_time():
        return words
    if process.driver.without_child is not None:
        return "; next start when post_stop or kill_mode has done its work"
    return "; next start when its events are read" if process.driver.is_held_back else words


def stopping_words(process: Process) -> str:
    """Tell what a stop that is under way waits for, and what follows."""
    if process.driver.is_dead:
        what = "post_stop or kill_mode is at work"
        return f"has ended, {what}" if process.config.has_cleanup else "has ended"
    held = process.coordination
    first = [] if held is None else held.stop_held_by(process.key)
    if first:
        return f"is stopped when {', '.join(first)} {'has' if len(first) == 1 else 'have'} ended"
    step = next_step(process.config, process.record)
    if step is None:
        return ""
    return f"is being stopped, {step.what} in {_seconds_to(step)} s"


def next_step_of(process: Process) -> dict[str, Value]:
    """Return what is done next with a child that starts or stops, and in how many seconds; empty
    if there is no such time."""
    step = None if process.driver.is_dead else next_step(process.config, process.record)
    return {} if step is None else {"what": step.what, "seconds": _seconds_to(step)}


def _seconds_to(step: NextStep) -> int:
    return max(0, math.ceil(step.at - trio.current_time()))


def flapping(process: Process) -> str:
    """Tell how often a process that is flapping was restarted; empty if it is not flapping."""
    return described(process.record, trio.current_time())


def health(process: Process) -> str:
    """Return the verdict on a process that is RUNNING; empty if its health is not checked."""
    probes = process.record.probes
    is_checked = process.config.health.check is not None and process.state is State.RUNNING
    return probes.health.verdict.value if probes is not None and is_checked else ""


def told_status(process: Process) -> str:
    """Return the last ``STATUS=`` that a living child has sent; empty if there is none."""
    probes = process.record.probes
    return "" if probes is None or process.state not in SIGNALLABLE_STATES else probes.status


def limits(process: Process) -> str:
    """Tell the limits of memory, processors and processes in words; empty if there are none."""
    own = process.config.limits
    if not own.are_of_cgroup:
        return ""
    from trio_supervisor.core.cgroups import limits_in_words  # few programs need it

    return limits_in_words(own, process.controllers)


def left_behind(process: Process) -> list[Value]:
    """Return the pids of processes that children have left behind and that still live."""
    if not process.record.left_behind:
        return []
    from trio_supervisor.runtime.process.left_behind import lives  # most leave nothing

    return [member.pid for member in process.record.left_behind if lives(member)]


def adopted(process: Process) -> str:
    """Tell which daemon has started the present child, if it was not this one; else empty."""
    adoption = process.record.adoption
    if adoption is None or not process.pid:
        return ""
    return f"adopted: started by the daemon of pid {adoption.daemon.pid}, which was killed"


def last_start(process: Process, journal: JournalMemory) -> dict[str, Value]:
    """Return when and why the present child was started, in wall-clock seconds and words."""
    if process.state not in SIGNALLABLE_STATES:
        return {}
    for entry in reversed(journal.of(process.full_name)):
        if entry.what is What.STATE and entry.new == State.STARTING.name:
            return {"time": entry.time, "text": sentence(entry)}
    return {}


def last_exit(process: Process) -> dict[str, Value]:
    """Return the last end of a child as clients see it; empty if none has ended."""
    end = process.record.last_end
    return {} if end is None else {**end.described()}


def last_output(process: Process) -> str:
    """Return the end of the process's stderr, or of its stdout if stderr is empty.

    An error message is most likely on stderr.
    """
    return process.stderr.tail.text or process.stdout.tail.text
