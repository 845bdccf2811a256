"""What has to be done to get from the groups that run to those that are wanted, in which order.

The order in which things start is decided here and nowhere else; everything stops in the reverse
order.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from trio_supervisor.core.config.model import diff

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_supervisor.core.config.model import GroupConfig, ProcessConfig


class Prioritized(Protocol):
    """A group or a process, or the configuration of one."""

    @property
    def priority(self) -> int:
        """The smaller it is, the earlier it starts."""


P = TypeVar("P", bound=Prioritized)
T = TypeVar("T")


def start_order(things: Iterable[P]) -> list[P]:
    """Sort by priority, the smallest first; things of equal priority keep their order."""
    return sorted(things, key=lambda thing: thing.priority)


def stop_order(started: Iterable[T]) -> list[T]:
    """Reverse the order in which things have started."""
    return [*started][::-1]


class StepKind(enum.Enum):
    """What is done to a group or to a process."""

    START = "start"
    STOP = "stop"
    """Stop it and forget it."""
    REPLACE = "replace"
    """Stop it, and start what the configuration now says."""


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step of a plan: one group."""

    kind: StepKind
    group: str
    processes: Mapping[str, StepKind]
    """What differs, by the name of the process; processes that stay as they are are left out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they are carried out."""

    steps: tuple[PlanStep, ...] = ()


def make_plan(active: Mapping[str, GroupConfig], candidates: tuple[GroupConfig, ...]) -> Plan:
    """Return the steps from the active groups (in start order) to the candidates.

    As Supervisor's ``update`` does it: removed groups first, then changed ones, then added ones.
    """
    found = diff(active, candidates)
    wanted: dict[str, GroupConfig] = {}
    for group in candidates:
        wanted.setdefault(group.name, group)
    kinds = (
        (StepKind.STOP, found.removed),
        (StepKind.REPLACE, found.changed),
        (StepKind.START, found.added),
    )
    return Plan(
        tuple(
            PlanStep(kind, name, _differences(active.get(name), wanted.get(name)))
            for kind, names in kinds
            for name in names
        )
    )


def _differences(old: GroupConfig | None, new: GroupConfig | None) -> dict[str, StepKind]:
    before, after = _by_name(old), _by_name(new)
    differences = {}
    for name in before | after:
        if name not in after:
            differences[name] = StepKind.STOP
        elif name not in before:
            differences[name] = StepKind.START
        elif before[name] != after[name]:
            differences[name] = StepKind.REPLACE
    return differences


def _by_name(group: GroupConfig | None) -> dict[str, ProcessConfig]:
    return {} if group is None else {process.name: process for process in group.processes}
