"""Metrics of all processes as OpenMetrics text (specification 1.0.0), for Prometheus.

The families ``node_supervisord_*`` have the names, labels and values of the supervisord collector
of node_exporter, so that its dashboards and alerts go on working.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from trio_supervisor.core.process.states import SIGNALLABLE_STATES
from trio_supervisor.runtime.inspect.describe import details
from trio_supervisor.runtime.inspect.info import by_name
from trio_supervisor.runtime.rpc.tsupervisor import pool_info
from trio_supervisor.web.api.route import READ, Route
from trio_supervisor.web.api.schema import TEXT
from trio_supervisor.web.message import NO_STORE, SECURITY, Response

if TYPE_CHECKING:
    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.web.api.route import ApiRequest

    Found = Mapping[str, Value]

TYPE = "application/openmetrics-text;version=1.0.0;charset=utf-8"

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric family; the samples of a counter get the suffix ``_total``.

    ``value`` computes the value from the details of a process or pool; None means no sample.
    """

    name: str
    type: str
    help: str
    value: Callable[[Found], object]


def _member(name: str) -> Callable[[Found], object]:
    return lambda found: found[name]


def _is_up(found: Found) -> int:
    return int(found["state"] in SIGNALLABLE_STATES)


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
    lines = [
        *_lines(OF_PROCESSES, processes, ("name", "group")),
        *_lines(OF_POOLS, pools, ("name",)),
        "# EOF\n",
    ]
    body = "\n".join(lines).encode(errors="replace")
    return Response(200, body, TYPE, (*NO_STORE, *SECURITY))


def _lines(
    families: Iterable[MetricFamily], things: list[Found], names: tuple[str, ...]
) -> Iterator[str]:
    labels = [",".join(f'{name}="{_escaped(thing[name])}"' for name in names) for thing in things]
    for family in families:
        yield f"# TYPE {family.name} {family.type}"
        yield f"# HELP {family.name} {family.help}"
        sample = f"{family.name}_total" if family.type == "counter" else family.name
        for thing, its in zip(things, labels, strict=True):
            if (value := family.value(thing)) is not None:
                yield f"{sample}{{{its}}} {value}"


def _escaped(value: object) -> str:
    return str(value).translate(_ESCAPES)


ROUTES = (Route(READ, "/metrics", metrics, "Metrics of all processes, as OpenMetrics", TEXT, TYPE),)
