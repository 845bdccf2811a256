"""Metrics of the daemon and all processes as OpenMetrics text (1.0.0), for Prometheus.

The families ``node_supervisord_*`` have the names, labels and values of the supervisord collector
of node_exporter, so that its dashboards and alerts go on working.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, cast

from trio_supervisor._version import __version__
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.states import SIGNALLABLE_STATES
from trio_supervisor.runtime.inspect.describe import details
from trio_supervisor.runtime.inspect.info import by_name
from trio_supervisor.runtime.rpc.tsupervisor import pool_info
from trio_supervisor.web.api.route import READ, Route
from trio_supervisor.web.api.schema import TEXT
from trio_supervisor.web.message import NO_STORE, SECURITY, Response

if TYPE_CHECKING:
    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.api.route import ApiRequest

    Found = Mapping[str, Value]

TYPE = "application/openmetrics-text;version=1.0.0;charset=utf-8"

#: What OpenMetrics appends to the name of a family for its samples.
_SUFFIXES = {"counter": "_total", "info": "_info"}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric family.

    ``value`` computes the value from the details of a process, a pool or the daemon; None means no
    sample.
    """

    name: str
    type: str
    help: str
    value: Callable[[Found], object]


def _member(name: str) -> Callable[[Found], object]:
    return lambda found: found[name]


def _is_up(found: Found) -> int:
    return int(found["state"] in SIGNALLABLE_STATES)


def _last_exit(found: Found) -> Found:
    """Return the last exit in the details of a process; empty if there is none."""
    return cast("Found", found["last_exit"])


def _of_last_exit(name: str) -> Callable[[Found], object]:
    return lambda found: _last_exit(found).get(name)


_OUTPUT = "Bytes written by a process since the start of the supervisor."
OF_PROCESSES = (
    MetricFamily("node_supervisord_up", "gauge", "Whether a process has a child.", _is_up),
    MetricFamily("node_supervisord_state", "gauge", "Number of the state.", _member("state")),
    MetricFamily(
        "node_supervisord_exit_status",
        "gauge",
        "Exit status of the last child.",
        _member("exitstatus"),
    ),
    MetricFamily(
        "node_supervisord_start_time_seconds",
        "gauge",
        "Start time of the child, seconds since the epoch.",
        lambda found: found["start"] if _is_up(found) else None,
    ),
    MetricFamily(
        "trio_supervisor_process_restarts",
        "counter",
        "Number of children after the first.",
        _member("restarts"),
    ),
    MetricFamily(
        "trio_supervisor_process_requested_starts",
        "counter",
        "Number of starts on request.",
        _member("requested_starts"),
    ),
    MetricFamily(
        "trio_supervisor_process_automatic_restarts",
        "counter",
        "Number of automatic restarts: after an exit, for ill health or for memory.",
        _member("automatic_restarts"),
    ),
    MetricFamily(
        "trio_supervisor_process_failed_starts",
        "counter",
        "Number of start attempts that failed.",
        _member("failed_starts"),
    ),
    MetricFamily(
        "trio_supervisor_process_flapping",
        "gauge",
        "1 if it was restarted 3 times within 5 minutes after unexpected exits, otherwise 0.",
        lambda found: int(bool(found["flapping"])),
    ),
    MetricFamily(
        "trio_supervisor_process_healthy",
        "gauge",
        "1 if the last checks of its health succeeded, otherwise 0; no sample without checks.",
        lambda found: None if not found["health"] else int(found["health"] == "healthy"),
    ),
    MetricFamily(
        "trio_supervisor_process_last_exit_timestamp_seconds",
        "gauge",
        "When the last child ended, seconds since the epoch.",
        _of_last_exit("time"),
    ),
    MetricFamily(
        "trio_supervisor_process_last_exit_unexpected",
        "gauge",
        "1 if the last child ended unexpectedly, otherwise 0.",
        lambda found: None if not (end := _last_exit(found)) else int(not end["expected"]),
    ),
    MetricFamily(
        "trio_supervisor_process_last_exit_lifetime_seconds",
        "gauge",
        "How long the last child that ended had lived.",
        _of_last_exit("lifetime"),
    ),
    MetricFamily(
        "trio_supervisor_process_last_exit_peak_memory_bytes",
        "gauge",
        "Largest resident memory of the last child that ended; no sample if unknown.",
        lambda found: _last_exit(found).get("peak_memory") or None,
    ),
    MetricFamily(
        "trio_supervisor_process_cpu_seconds",
        "counter",
        "Processor time of the child and its descendants; reset with each child.",
        _member("cpu_seconds"),
    ),
    MetricFamily(
        "trio_supervisor_process_resident_memory_bytes",
        "gauge",
        "Resident memory of the child and its descendants.",
        _member("memory"),
    ),
    MetricFamily(
        "trio_supervisor_process_memory_max_bytes",
        "gauge",
        "Memory that the child and its descendants may use; no sample without memory_max.",
        lambda found: found["memory_max"] or None,
    ),
    MetricFamily(
        "trio_supervisor_process_left_behind",
        "gauge",
        "Number of living processes that children have left behind.",
        lambda found: len(cast("list[Value]", found["left_behind"])),
    ),
    MetricFamily(
        "trio_supervisor_process_processes",
        "gauge",
        "Number of processes: the child and its descendants.",
        _member("processes"),
    ),
    MetricFamily(
        "trio_supervisor_process_stdout_bytes", "counter", _OUTPUT, _member("stdout_bytes")
    ),
    MetricFamily(
        "trio_supervisor_process_stderr_bytes", "counter", _OUTPUT, _member("stderr_bytes")
    ),
)
OF_DAEMON = (
    MetricFamily(
        "trio_supervisor_uptime_seconds",
        "gauge",
        "Seconds since the start or restart of the supervisor.",
        _member("uptime"),
    ),
)
OF_JOURNAL = (
    MetricFamily(
        "trio_supervisor_journal_entries",
        "gauge",
        "Entries of the journal that are kept in memory; the turns of a loop count as one.",
        _member("entries"),
    ),
    MetricFamily(
        "trio_supervisor_journal_lost_entries",
        "counter",
        "Entries that could not be written to the file of the journal.",
        _member("lost"),
    ),
)
OF_BUILD = (
    MetricFamily(
        "trio_supervisor_build",
        "info",
        "Version of the supervisor and of Python.",
        lambda found: 1,
    ),
)
OF_POOLS = (
    MetricFamily(
        "trio_supervisor_pool_buffered_events",
        "gauge",
        "Events in the buffer.",
        _member("buffered"),
    ),
    MetricFamily(
        "trio_supervisor_pool_dropped_events",
        "counter",
        "Events lost because the buffer was full.",
        _member("dropped"),
    ),
)


async def metrics(request: ApiRequest) -> object:
    processes: list[Found] = [*await details(request.supervisor, by_name(request.supervisor))]
    pools = cast("list[Found]", await pool_info(request.supervisor))
    daemon: list[Found] = [
        {
            "uptime": request.supervisor.uptime,
            "version": __version__,
            "python": platform.python_version(),
        }
    ]
    lines = [
        *_lines(OF_DAEMON, daemon, ()),
        *_lines(OF_JOURNAL, [_journal(request.supervisor)], ()),
        *_lines(OF_BUILD, daemon, ("version", "python")),
        *_lines(OF_PROCESSES, processes, ("name", "group")),
        *_lines(OF_POOLS, pools, ("name",)),
        "# EOF\n",
    ]
    body = "\n".join(lines).encode(errors="replace")
    return Response(200, body, TYPE, (*NO_STORE, *SECURITY))


def _journal(supervisor: Supervisor) -> Found:
    journal = supervisor.journal
    return {"entries": journal.memory.count, "lost": journal.lost}


def sample_name(family: MetricFamily) -> str:
    """Return the name of the family's samples, with the suffix of its type."""
    return family.name + _SUFFIXES.get(family.type, "")


def _lines(
    families: Iterable[MetricFamily], things: list[Found], names: tuple[str, ...]
) -> Iterator[str]:
    labels = [",".join(f'{name}="{_escaped(thing[name])}"' for name in names) for thing in things]
    for family in families:
        yield f"# TYPE {family.name} {family.type}"
        yield f"# HELP {family.name} {family.help}"
        sample = sample_name(family)
        for thing, its in zip(things, labels, strict=True):
            if (value := family.value(thing)) is not None:
                yield f"{sample}{{{its}}} {value}" if its else f"{sample} {value}"


def _escaped(value: object) -> str:
    return str(value).translate(_ESCAPES)


ROUTES = (Route(READ, "/metrics", metrics, "Metrics of all processes, as OpenMetrics", TEXT, TYPE),)
