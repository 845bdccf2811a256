"""Routes for events: a stream of server-sent events, and publishing an event."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import trio

from trio_supervisor.core.events import EVENT_TYPES, ProcessLog
from trio_supervisor.core.process.exit import End
from trio_supervisor.core.process.states import State
from trio_supervisor.web import sse
from trio_supervisor.web.api.error import malformed
from trio_supervisor.web.api.json import as_text
from trio_supervisor.web.api.route import CHANGE, READ, ROOT, Field, Route
from trio_supervisor.web.api.schema import ref
from trio_supervisor.web.message import SECURITY, StreamResponse

if TYPE_CHECKING:
    from trio_supervisor.core.events import Event
    from trio_supervisor.runtime.events.subscription import EventStream, Published
    from trio_supervisor.web.api.route import ApiRequest

#: Seconds without an event after which a comment is sent; proxies give up after 30 or 60.
KEEP_ALIVE_TIME = 15
#: Names of fields that differ in the payloads of events.
_KEYS = {"process": "processname", "group": "groupname", "reason": "data", "text": "data"}


class EventSource:
    """The bytes of one stream of events."""

    def __init__(self, stream: EventStream[Event]) -> None:
        self._stream = stream
        self._told = 0
        """Number of dropped events that this client knows of."""

    async def read(self) -> bytes:
        """Wait for an event or a keep-alive; empty when the supervisor has ended."""
        with trio.move_on_after(KEEP_ALIVE_TIME):
            try:
                published = await self._stream.receive()
            except trio.EndOfChannel:
                return b""
            return self._dropped_message() + event_message(published)
        return sse.KEEP_ALIVE

    def close(self) -> None:
        self._stream.close()

    def _dropped_message(self) -> bytes:
        """Return a message if events were dropped since the last one; else empty."""
        dropped = self._stream.dropped
        if dropped == self._told:
            return b""
        self._told = dropped
        return sse.message(as_text({"dropped": dropped}), event="dropped")


#: Encoded messages of the events that some client has not read yet.
_messages: WeakKeyDictionary[Published, bytes] = WeakKeyDictionary()


def event_message(published: Published) -> bytes:
    """Encode an event, once for all clients."""
    message = _messages.get(published)
    if message is None:
        message = _messages[published] = _message_of(published)
    return message


def _message_of(published: Published) -> bytes:
    event = published.event
    data = {"event": event.name, "serial": published.serial, "time": published.time}
    text = as_text(data | event_fields(event))
    return sse.message(text, event=event.name, id=str(published.serial))


def event_fields(event: Event) -> dict[str, object]:
    """Return the values of the payload, with their types, by the payload's names."""
    found = {
        _KEYS.get(field.name, field.name): _plain(value)
        for field in dataclasses.fields(event)
        if (value := getattr(event, field.name)) is not None
    }
    return found | {"channel": event.channel} if isinstance(event, ProcessLog) else found


def _plain(value: object) -> object:
    if isinstance(value, End):
        return value.described()
    if isinstance(value, State):
        return value.name
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float) and not math.isfinite(value):  # JSON has no such numbers
        return str(value)
    return value if isinstance(value, (bool, int, float)) else str(value)


async def events(request: ApiRequest) -> object:
    named = request.fields["types"]
    types = [word.strip().upper() for word in str(named).split(",")] if named is not None else []
    for word in types:
        if word not in EVENT_TYPES:
            raise malformed(
                f"there is no event type {word!r:.60}", f"there are {', '.join(EVENT_TYPES)}"
            )
    source = EventSource(request.supervisor.events(*types))
    return StreamResponse(source, sse.TYPE, headers=(*sse.HEADERS, *SECURITY))


async def send(request: ApiRequest) -> object:
    request.supervisor.send_remote_communication(request.text("type"), request.text("data"))
    return {"done": True}


ROUTES = (
    Route(
        READ,
        f"{ROOT}/events",
        events,
        "Stream of events as they happen (server-sent events)",
        ref("Event"),
        "text/event-stream",
        query=(
            Field(
                "types",
                "string",
                "event types, separated by commas; default: all",
                default=None,
            ),
        ),
    ),
    Route(
        CHANGE,
        f"{ROOT}/events",
        send,
        "Publish a REMOTE_COMMUNICATION event",
        ref("Done"),
        body=(
            Field("type", "string", "type of the event, chosen by the client"),
            Field("data", "string", "the body of the event"),
        ),
    ),
)
