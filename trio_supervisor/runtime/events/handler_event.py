"""Events for result handlers, with the attributes that handlers written for Supervisor use.

Such handlers use names of Supervisor's classes: ``event.process.config.name``, ``event.serial``,
``type(event).__name__``. They get an event of a subclass of our class, so that handlers written for
our classes work as well.
"""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

from trio_supervisor.core.events import (
    Event,
    ProcessState,
    SupervisorStateChangeRunning,
    SupervisorStateChangeStopping,
)

#: Supervisor's class names are ours with this suffix, except for those in _NAMES.
SUFFIX = "Event"
_NAMES: dict[type[Event], str] = {
    SupervisorStateChangeRunning: "SupervisorRunningEvent",
    SupervisorStateChangeStopping: "SupervisorStoppingEvent",
}
_SUBCLASSES: dict[type[Event], type[Event]] = {}


class _Named(str):
    """A name that also has ``config.name``, as the objects of Supervisor do."""

    @property
    def config(self) -> SimpleNamespace:
        return SimpleNamespace(name=str(self))


class HandlerProcess(_Named):
    """``event.process``: a string, the name of the process, with further attributes.

    ``pid`` is that of the event, 0 if the event has none.
    """

    group: _Named
    pid: int


def handler_event(event: Event, serial: int) -> Event:
    """Return a copy of an event for a result handler."""
    values: dict[str, Any] = {f.name: getattr(event, f.name) for f in fields(event)}
    values |= {**getattr(event, "__dict__", {}), "serial": serial}
    if "process" in values:
        process = values["process"] = HandlerProcess(values["process"])
        process.group = _Named(values["group"])
        process.pid = values.get("pid", 0)
    copy: Event = object.__new__(_subclass(type(event)))
    for name, value in values.items():
        object.__setattr__(copy, name, value)  # event classes are frozen
    return copy


def _subclass(cls: type[Event]) -> type[Event]:
    found = _SUBCLASSES.get(cls)
    if found is None:
        has_own = any(field.name == "expected" for field in fields(cls))
        more = {"expected": True} if issubclass(cls, ProcessState) and not has_own else {}
        found = _SUBCLASSES[cls] = type(_NAMES.get(cls, cls.__name__ + SUFFIX), (cls,), more)
    return found
