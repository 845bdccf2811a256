"""Result handlers: functions that judge what a listener answered (interfaces.md 1.7)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

from trio_supervisor.core.events import Event
from trio_supervisor.runtime.events.handler_event import handler_event
from trio_supervisor.runtime.printed import flush_printed

ResultHandler = Callable[[Event, bytes], object]

#: The reference's name of the default handler, which works without that package (config.md 7).
DEFAULT_HANDLER = "supervisor.dispatchers:default_handler"


class RejectEvent(Exception):
    """Raised by a result handler to have the event delivered again."""


def default_handler(event: Event, response: bytes) -> None:
    """Only the two bytes ``OK`` accept an event."""
    if response != b"OK":
        raise RejectEvent(response)


def result_handler(spec: str) -> ResultHandler:
    """Import ``module:attribute``, where ``[extras]`` may follow (config.md 7).

    The default handler needs no import. Whether the object can be called shows when it is called
    (8.7). Raises whatever the import raises, or AttributeError.
    """
    if spec == DEFAULT_HANDLER:
        return default_handler
    module, _, path = spec.partition("[")[0].partition(":")
    value: object = importlib.import_module(module.strip())
    for name in filter(None, path.strip().split(".")):
        value = getattr(value, name)
    return cast("ResultHandler", value)


def judge(handler: ResultHandler, event: Event, serial: int, response: bytes) -> None:
    """Call a result handler. Raises whatever it raises, SystemExit and the like included.

    What it has printed is written at once.
    """
    if handler is default_handler:
        default_handler(event, response)
        return
    try:
        handler(handler_event(event, serial), response)
    finally:
        flush_printed()


def is_rejection(error: BaseException) -> bool:
    """By name, so that handlers which import the reference's class work too."""
    return any(cls.__name__ == RejectEvent.__name__ for cls in type(error).__mro__)
