"""The reading half of server-sent events (WHATWG HTML, section 9.2): bytes in, messages out.

Pure; knows nothing of connections or of what the messages mean.
"""

from __future__ import annotations

from trio_supervisor.cli.client.http import ProtocolViolation

#: Bytes of a message; those of the daemon have at most the captured output of a program, and in it
#: six for a character that JSON has to escape.
LONGEST_MESSAGE = 96 * 1024 * 1024


class ServerSentEvent:
    """One message; ``data`` has its lines joined by newlines."""

    __slots__ = ("data", "event", "id")

    def __init__(self, event: str, data: str, id: str) -> None:
        self.event = event or "message"
        self.data = data
        self.id = id
        """The last one seen so far, as the standard has it."""


class EventStreamParser:
    """Takes a stream in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_return = False
        """The last piece ended with CR: an LF that follows belongs to it."""
        self._event = ""
        self._data: list[str] = []
        self._size = 0
        self._id = ""

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """The messages that this piece completes. Raises ProtocolViolation."""
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
        """A message without data is none."""
        event, data = self._event, self._data
        self._event, self._data, self._size = "", [], 0
        return ServerSentEvent(event, "\n".join(data), self._id) if data else None
