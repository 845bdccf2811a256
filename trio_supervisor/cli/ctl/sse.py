"""Parser of server-sent events (WHATWG HTML, "Server-sent events"): bytes in, events out. Pure."""

from __future__ import annotations

from trio_supervisor.cli.client.http import ProtocolViolation

#: Limit on the bytes of an event. The daemon's largest holds the captured output of a program, in
#: which JSON may need six bytes for a character.
LONGEST_MESSAGE = 96 * 1024 * 1024


class ServerSentEvent:
    """One event; the lines of ``data`` are joined by newlines."""

    __slots__ = ("data", "event", "id")

    def __init__(self, event: str, data: str, id: str) -> None:
        self.event = event or "message"
        self.data = data
        self.id = id
        """The last event id received so far, as the standard requires."""


class EventStreamParser:
    """Parses a stream that arrives in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_return = False
        """The last piece ended with CR, so that a following LF belongs to the same line end."""
        self._event = ""
        self._data: list[str] = []
        self._size = 0
        self._id = ""

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Return the events that this piece completes. Raises ProtocolViolation."""
        if not piece:
            return []
        if self._after_return:
            piece = piece.removeprefix(b"\n")
        self._after_return = piece.endswith(b"\r")
        text = (self._rest + piece).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = text.split(b"\n")
        if self._size + len(self._rest) > LONGEST_MESSAGE:
            raise ProtocolViolation(f"an event of more than {LONGEST_MESSAGE} bytes")
        found = (self._take(line.decode(errors="replace")) for line in lines)
        return [message for message in found if message is not None]

    def _take(self, line: str) -> ServerSentEvent | None:
        if not line:
            return self._finish()
        name, _, value = line.partition(":")  # a comment has no name
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
            self._size += len(line)
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _finish(self) -> ServerSentEvent | None:
        """Return the event that an empty line ends; None if it has no data."""
        event, data = self._event, self._data
        self._event, self._data, self._size = "", [], 0
        return ServerSentEvent(event, "\n".join(data), self._id) if data else None
