"""Result handlers: functions that accept or reject the answer of a listener to an event."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

from trio_supervisor.core.events import Event
from trio_supervisor.runtime.events.handler_event import handler_event
from trio_supervisor.runtime.printed import flush_printed

ResultHandler = Callable[[Event, bytes], object]

#: Supervisor's name of the default handler. It works without that package.
DEFAULT_HANDLER = "supervisor.dispatchers:default_handler"


class RejectEvent(Exception):
    """A result handler raises it to have the event delivered again."""


def default_handler(event: Event, response: bytes) -> None:
    """Accept an event if the answer is ``OK``. Raises RejectEvent."""
    if response != b"OK":
        raise RejectEvent(response)


def result_handler(spec: str) -> ResultHandler:
    """Import ``module:attribute``, which ``[extras]`` may follow.

    The default handler is not imported. As in Supervisor, an object that cannot be called is an
    error only when it is called. Raises AttributeError, and any exception of the import.
    """
    if spec == DEFAULT_HANDLER:
        return default_handler
    module, _, path = spec.partition("[")[0].partition(":")
    value: object = importlib.import_module(module.strip())
    for name in filter(None, path.strip().split(".")):
        value = getattr(value, name)
    return cast("ResultHandler", value)


def judge(handler: ResultHandler, event: Event, serial: int, response: bytes) -> None:
    """Call a result handler and flush what it has printed.

    Raises any exception of the handler, SystemExit included.
    """
    if handler is default_handler:
        default_handler(event, response)
        return
    try:
        handler(handler_event(event, serial), response)
    finally:
        flush_printed()


def is_rejection(error: BaseException) -> bool:
    """Whether an exception is a RejectEvent.

    It is recognized by its name, so that handlers may raise Supervisor's class.
    """
    return any(cls.__name__ == RejectEvent.__name__ for cls in type(error).__mro__)
