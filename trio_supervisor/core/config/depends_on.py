"""The value of ``depends_on``: what a process needs before it starts, and its two written forms.

A file in the INI form has a list of ``NAME[:CONDITION][?]``. TOML and Python programs may have a
mapping of names to conditions instead, which is turned into the same list.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.core.dataclass import dataclass


class Condition(enum.Enum):
    """Condition that a dependency must meet before its dependent starts."""

    RUNNING = "running"
    HEALTHY = "healthy"
    DONE = "done"
    """A one-shot program that has succeeded."""


class OnDependencyStop(enum.Enum):
    """Action on a running process when one of its dependencies leaves RUNNING."""

    KEEP = "keep"
    STOP = "stop"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Dependency:
    """One entry of ``depends_on``."""

    name: str
    """A program, a group, or ``group:process``."""
    condition: Condition | None = None
    """None: done of a one-shot program, running of any other."""
    soft: bool = False
    """Whether the dependent starts nevertheless if the dependency is not going to run."""

    def __str__(self) -> str:
        """The entry as it is written in a file."""
        condition = "" if self.condition is None else f":{self.condition.value}"
        return f"{self.name}{condition}{'?' if self.soft else ''}"


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The options of one process about the processes that it needs."""

    needs: tuple[Dependency, ...] = ()
    on_stop: OnDependencyStop = OnDependencyStop.KEEP


#: Of every process without these options.
NO_DEPENDENCIES = Dependencies()

_CONDITIONS = {condition.value: condition for condition in Condition}
_ON_STOP = {choice.value: choice for choice in OnDependencyStop}
_FORM = (
    "write NAME, NAME:running, NAME:healthy or NAME:done, with a ? at the end if it may be missing"
)
#: Keys of the mapping that may stand for a condition.
_KEYS = ("condition", "soft")


def parse_dependencies(text: str) -> tuple[Dependency, ...]:
    """The entries of a list that is separated by commas.

    Raises ValueError with what is wrong, and how to fix it as its second argument.
    """
    entries = [item.strip() for item in text.split(",")] if text.strip() else []
    found: dict[str, Dependency] = {}
    for entry in entries:
        dependency = _parse_entry(entry)
        if dependency.name in found:
            raise ValueError(f"{dependency.name!r} is named twice", "leave one of the two out")
        found[dependency.name] = dependency
    return tuple(found.values())


def _parse_entry(entry: str) -> Dependency:
    name = entry.removesuffix("?").strip()
    front, colon, last = name.rpartition(":")
    condition = _CONDITIONS.get(last.strip().lower()) if colon else None
    if condition is not None:
        name = front.strip()
    group, colon, process = name.partition(":")
    if not group or (colon and not process) or set(name) & set(" /") or ":" in process:
        if ":" in process:
            meant = suggestion(process.rpartition(":")[2], _CONDITIONS)
            hint = _FORM if meant is None else f"did you mean {meant}?"
        else:
            hint = _FORM if entry else "remove the comma at the end"
        raise ValueError(f"invalid dependency {entry!r}", hint)
    if process == "*":
        raise ValueError(f"invalid dependency {entry!r}", f"write {group} for the whole group")
    return Dependency(name, condition, entry.endswith("?"))


def parse_on_dependency_stop(text: str) -> OnDependencyStop:
    """The word of ``on_dependency_stop``. Raises ValueError as ``parse_dependencies`` does."""
    word = text.strip().lower()
    if word not in _ON_STOP:
        raise ValueError(
            f"invalid 'on_dependency_stop' value {text!r}", "use keep, stop or restart"
        )
    return _ON_STOP[word]


def list_of_mapping(mapping: Mapping[str, object]) -> str:
    """The list that means the same as a mapping of names to conditions.

    Raises ValueError as ``parse_dependencies`` does.
    """
    return ", ".join(_entry_of(name, value) for name, value in mapping.items())


def _entry_of(name: str, value: object) -> str:
    table: Mapping[object, object] = value if isinstance(value, Mapping) else {"condition": value}
    for key in table:
        if key not in _KEYS:
            meant = suggestion(str(key), _KEYS)
            hint = f"use {' and '.join(_KEYS)}" if meant is None else f"did you mean {meant}?"
            raise ValueError(f"unknown key {key!r} of {name}", hint)
    condition, soft = table.get("condition", ""), table.get("soft", False)
    if condition != "" and (not isinstance(condition, str) or condition not in _CONDITIONS):
        hint = f"use {', '.join(_CONDITIONS)}"
        raise ValueError(f"invalid condition {condition!r} of {name}", hint)
    if not isinstance(soft, bool):
        raise ValueError(f"invalid value {soft!r} of soft of {name}", "use true or false")
    if "," in name or "?" in name:
        raise ValueError(f"invalid dependency {name!r}", _FORM)
    return f"{name}{condition and ':'}{condition}{'?' if soft else ''}"
