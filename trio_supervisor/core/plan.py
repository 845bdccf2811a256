"""Start and stop order, and the steps from the active groups to the configured ones.

A configuration that was read is sorted by priority and name (``in_start_order`` in
``config/model.py``). ``start_order`` sorts what runs: a group or process that was added later comes
after the others of the same priority. Everything stops in the reverse order.
"""

from __future__ import annotations

import enum
from dataclasses import fields
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol, TypeVar

from trio_supervisor.core.config.model import ChannelConfig, diff
from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from trio_supervisor.core.config.model import GroupConfig


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


def changed_options(old: GroupConfig, new: GroupConfig) -> tuple[str, ...]:
    """Return the names of the options in which two configurations of a group differ, sorted.

    ``processes`` stands for processes that only one of them has. Values are left out: they may be
    secret.
    """
    names = _differences(old, new, "") - {"processes"}
    before, after = ({p.name: p for p in group.processes} for group in (old, new))
    if before.keys() != after.keys():
        names.add("processes")
    for name in before.keys() & after.keys():
        names |= _differences(before[name], after[name], "")
    return tuple(sorted(names))


def _differences(old: object, new: object, prefix: str) -> set[str]:
    """Compare the fields of two dataclasses of one class; those of the channels have a prefix."""
    names: set[str] = set()
    for each in fields(old):  # type: ignore[arg-type]  # both are dataclasses
        before, after = getattr(old, each.name), getattr(new, each.name)
        if not each.compare or before == after:
            continue
        if isinstance(before, ChannelConfig):
            names |= _differences(before, after, f"{each.name}_")
        else:
            names.add(f"{prefix}{each.name}")
    return names


def turn_ends(patience: Sequence[float], within: float) -> list[float]:
    """Share the time of an ordered stop among its turns: when each has to end.

    ``patience`` is how long the programs of each turn may take by their own options. The shares are
    in proportion to it, so that nothing is cut if there is time for all; a program that may take
    longer than all of the time counts as if it wanted just that. Times are in seconds, the ends
    from the beginning; what a turn leaves is for those that follow.
    """
    weights = [min(seconds, within) for seconds in patience]
    if not any(weights):
        weights = [1.0] * len(weights)
    share = within / sum(weights) if weights else 0.0
    return [share * taken for taken in accumulate(weights)]


class StepKind(enum.Enum):
    """Kind of a step. A group is always replaced as a whole."""

    START = "start"
    """Add the group; its autostart processes are started."""
    STOP = "stop"
    """Stop all processes of the group, then remove it."""
    REPLACE = "replace"
    """Stop and remove the group, then add it with its new configuration."""


@dataclass(frozen=True, slots=True)
class PlanStep:
    """Step of a plan, which concerns one group."""

    kind: StepKind
    group: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they are carried out."""

    steps: tuple[PlanStep, ...] = ()


def make_plan(
    active: Mapping[str, GroupConfig],
    candidates: tuple[GroupConfig, ...],
    order: Callable[[Iterable[str]], Iterable[str]] = list,
) -> Plan:
    """Return the steps from the active groups (in start order) to the candidates.

    As Supervisor's ``update`` does it: removed groups first, then changed ones, then added ones.
    ``order`` sorts the names of groups that are to start.
    """
    found = diff(active, candidates)
    kinds = (
        (StepKind.STOP, found.removed),
        (StepKind.REPLACE, order(found.changed)),
        (StepKind.START, order(found.added)),
    )
    return Plan(tuple(PlanStep(kind, name) for kind, names in kinds for name in names))
