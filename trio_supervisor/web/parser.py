"""Requests out of bytes: h11 with the help it needs for clients that exist (interfaces.md 3.3).

Sans-io: bytes go in by ``feed``, events come out of ``next_event``. Each request gets its own h11
connection, because heads are mended before h11 sees them and responses are not written by it.
"""

from __future__ import annotations

import re
from enum import Enum
from urllib.parse import quote_from_bytes

import h11

from trio_supervisor.web.message import Request

#: Bytes of a request head beyond which it is refused with 431 (section 5).
HEAD_LIMIT = 64 * 1024

_HEAD_END = re.compile(rb"\n\r?\n")
_HOST = re.compile(rb"^host[ \t]*:", re.IGNORECASE | re.MULTILINE)
_ASCII = bytes(range(0x80))


class Refused(Exception):
    """A request that cannot be read; the connection has to be closed after ``status``."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Mark(Enum):
    """What can come out of the parser besides a head (Request) and pieces of a body (bytes)."""

    NEED_DATA = "feed me"
    END_OF_REQUEST = "the request is complete"
    CLOSED = "the client has left between requests"


class Parser:
    """Reads the requests of one connection, one after the other."""

    def __init__(self) -> None:
        self._inbox = bytearray()
        self._searched = 0
        """How much of the inbox is known to hold no end of a head."""
        self._eof = False
        self._h11: h11.Connection | None = None
        """Of the request under way, from its head to its end."""

    def feed(self, data: bytes) -> None:
        """Take bytes from the client; empty ones mean that no more will come."""
        self._inbox += data
        self._eof = self._eof or not data

    @property
    def idle(self) -> bool:
        """Whether nothing of a request has arrived."""
        return self._h11 is None and not self._inbox

    @property
    def wants_continue(self) -> bool:
        """Whether the client holds back the body until it is told to go on (W20)."""
        return self._h11 is not None and self._h11.they_are_waiting_for_100_continue

    def next_event(self) -> Request | bytes | Mark:
        """The next thing that can be said about the bytes so far. Raises Refused."""
        try:
            return self._next_head() if self._h11 is None else self._next_of_body(self._h11)
        except h11.RemoteProtocolError as error:
            raise Refused(error.error_status_hint, str(error)) from error

    def _next_head(self) -> Request | Mark:
        if not self._searched:
            # supervisorctl's tail reader ends its request with an extra line (W6).
            del self._inbox[: len(self._inbox) - len(self._inbox.lstrip(b"\r\n"))]
        end = _HEAD_END.search(self._inbox, self._searched)
        if (end.end() if end else len(self._inbox)) > HEAD_LIMIT:
            raise Refused(431, f"the head of a request may have {HEAD_LIMIT} bytes")
        if end is None:
            if self._eof:
                if self._inbox:
                    raise Refused(400, "the request ends in its head")
                return Mark.CLOSED
            # The end may be split: its first two bytes may have been searched already.
            self._searched = max(0, len(self._inbox) - 2)
            return Mark.NEED_DATA
        head = _mended(bytes(self._inbox[: end.end()]))
        del self._inbox[: end.end()]
        self._searched = 0
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head) + HEAD_LIMIT)
        self._h11.receive_data(head)
        event = self._h11.next_event()
        if not isinstance(event, h11.Request):
            raise Refused(400, "not a request")
        return Request(
            method=event.method.decode("ascii"),
            target=event.target.decode("ascii"),
            version="1.0" if event.http_version < b"1.1" else "1.1",
            headers={
                name.decode("ascii"): value.decode("latin-1") for name, value in event.headers
            },
        )

    def _next_of_body(self, connection: h11.Connection) -> bytes | Mark:
        while (event := connection.next_event()) is h11.NEED_DATA:
            if not self._inbox and not self._eof:
                return Mark.NEED_DATA
            connection.receive_data(bytes(self._inbox))  # empty: h11 sees the end and complains
            self._inbox.clear()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        self._inbox[:0] = connection.trailing_data[0]
        self._h11 = None
        return Mark.END_OF_REQUEST


def _mended(head: bytes) -> bytes:
    """A head that h11 accepts, of one that Supervisor accepts (W9, W123)."""
    line, newline, rest = head.partition(b"\n")
    if not line.isascii():
        line = quote_from_bytes(line, safe=_ASCII).encode()
    if not _HOST.search(rest):
        rest = b"Host: \r\n" + rest
    return line + newline + rest
