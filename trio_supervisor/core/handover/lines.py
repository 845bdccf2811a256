"""A state that is written while the daemon runs: one line for each change, in case it is killed.

The first line is the header (``versions.py``), with pid and start time of the daemon. Each other
line is complete in itself: a JSON object with the ``key`` of a part of the state, the ``time`` of
the monotonic clock and the ``value``; without a value, the part is no more. The last line of a key
counts. The end of the last line may be missing, as its writer may be killed at any time.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, Any

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.handover.codec import NotUnderstood
from trio_supervisor.core.handover.state import HandedGroup, HandedProcess, HandedSupervisor
from trio_supervisor.core.handover.versions import check_header, codec, header
from trio_supervisor.core.process.member import Member

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.core.process.start import Key

#: A part of the state: its kind, and the names of the group and of the process.
Part = tuple[str, ...]
SUPERVISOR: Part = ("supervisor",)
_TYPES = {"supervisor": HandedSupervisor, "group": HandedGroup, "process": HandedProcess}


@dataclass(frozen=True, slots=True)
class WrittenState:
    """What the lines of a daemon say."""

    daemon: Member = Member(0, 0)
    version: str = ""
    supervisor: HandedSupervisor = HandedSupervisor()
    groups: Mapping[str, HandedGroup] = field(default_factory=dict)
    """Without their processes."""
    processes: Mapping[Key, HandedProcess] = field(default_factory=dict)


def header_line(daemon: Member, version: str) -> bytes:
    """Return the first line of a daemon of this version."""
    return _line({**header(version), "pid": daemon.pid, "started": daemon.started})


def part_line(part: Part, value: object, now: float, elapsed: float) -> bytes:
    """Return the line of a part that has changed.

    ``now`` is the time of the event loop's clock, ``elapsed`` that of the kernel's monotonic clock.
    Raises NotPlain.
    """
    plain = codec().dump(value, _TYPES[part[0]], now)
    return _line({"key": part, "time": elapsed, "value": plain})


def gone_line(part: Part) -> bytes:
    """Return the line of a part that is no more."""
    return _line({"key": part})


def read_lines(data: bytes, now: float, elapsed: float) -> WrittenState:
    """Return what the lines say; times are those of the present program. Raises NotUnderstood."""
    try:
        return _read(data, now, elapsed)
    except (LookupError, TypeError, RecursionError) as error:  # damaged, or of a newer version
        raise NotUnderstood(f"the state has another form ({error!r})") from None


def _read(data: bytes, now: float, elapsed: float) -> WrittenState:
    *complete, _ = data.split(b"\n")
    if not complete:
        raise NotUnderstood("the state has no header")
    first, *documents = (_document(line) for line in complete)
    check_header(first)
    last = {tuple(document["key"]): document for document in documents}
    values = {
        part: codec().load(document["value"], _TYPES[part[0]], now - (elapsed - document["time"]))
        for part, document in last.items()
        if "value" in document
    }
    return WrittenState(
        daemon=Member(first["pid"], first["started"]),
        version=first["version"],
        supervisor=values.get(SUPERVISOR, HandedSupervisor()),
        groups={part[1]: value for part, value in values.items() if part[0] == "group"},
        processes={part[1:]: value for part, value in values.items() if part[0] == "process"},
    )


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _document(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise NotUnderstood(f"the state is no JSON ({error})") from None
