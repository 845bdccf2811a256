"""Requests out of bytes: h11 with the help it needs for clients that exist (interfaces.md 3.3).

Sans-io: bytes go in by ``feed``, events come out of ``next_event``. h11 reads heads, after they
were mended, and chunks; it has no part in responses, so it never sees a whole conversation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote_from_bytes

import h11

from trio_supervisor.web.message import Refusal, Request

#: Bytes of a request head beyond which it is refused with 431 (section 5).
HEAD_LIMIT = 64 * 1024
#: Lines of a request head, beyond which it is refused with 431 too: each takes some time to check.
MAX_LINES = 128
#: Bytes of a head that is kept in case it is sent again; hundreds of connections keep one each.
LONGEST_REMEMBERED = 2048

_HEAD_END = re.compile(rb"\n\r?\n")
_HOST = re.compile(rb"^host[ \t]*:", re.IGNORECASE | re.MULTILINE)
_ASCII = bytes(range(0x80))


class Mark(Enum):
    """What can come out of the parser besides a head (Request) and pieces of a body (bytes)."""

    NEED_DATA = "feed me"
    END_OF_REQUEST = "the request is complete"
    CLOSED = "the client has left between requests"


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a request says."""

    method: str
    target: str
    version: str
    headers: Mapping[str, str]
    length: int | None
    """Bytes of the body; None: it comes in chunks."""
    expects_continue: bool


class Parser:
    """Reads the requests of one connection, one after the other."""

    def __init__(self) -> None:
        self._inbox = bytearray()
        self._searched = 0
        """How much of the inbox is known to hold no end of a head."""
        self._eof = False
        self._head: Head | None = None
        """Of the request under way, from its head to its end."""
        self._left = 0
        """Bytes of its body that are yet to come, if they are counted."""
        self._chunks: h11.Connection | None = None
        """Decodes its body, if it comes in chunks."""
        self._untouched = False
        """Nothing of its body has come."""
        self._last = b""
        """The last head as it was received, and what it said: a client that polls repeats it to the
        letter, and h11 takes half of the time that a small call needs."""
        self._said: Head | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes from the client; empty ones mean that no more will come."""
        self._inbox += data
        self._eof = self._eof or not data

    @property
    def idle(self) -> bool:
        """Whether nothing of a request has arrived."""
        return self._head is None and not self._inbox

    @property
    def wants_continue(self) -> bool:
        """Whether the client holds back the body until it is told to go on (W20)."""
        head = self._head
        return head is not None and head.expects_continue and self._untouched and not self._inbox

    def next_event(self) -> Request | bytes | Mark:
        """The next thing that can be said about the bytes so far. Raises Refusal."""
        if self._head is None:
            return self._next_head()
        return self._next_counted() if self._chunks is None else self._next_chunk(self._chunks)

    def _next_head(self) -> Request | Mark:
        inbox = self._inbox
        if not self._searched and inbox.startswith((b"\r", b"\n")):
            # supervisorctl's tail reader ends its request with an extra line (W6).
            del inbox[: len(inbox) - len(inbox.lstrip(b"\r\n"))]
        end = _HEAD_END.search(inbox, self._searched)
        size = end.end() if end else len(inbox)
        if size > HEAD_LIMIT:
            raise Refusal(431, f"the head of a request may have {HEAD_LIMIT} bytes")
        if end is None:
            if self._eof:
                if inbox:
                    raise Refusal(400, "the request ends in its head")
                return Mark.CLOSED
            # The end may be split: its first two bytes may have been searched already.
            self._searched = max(0, size - 2)
            return Mark.NEED_DATA
        received = bytes(inbox[:size])
        if received.count(b"\n") > MAX_LINES:
            raise Refusal(431, f"the head of a request may have {MAX_LINES} lines")
        del inbox[:size]
        self._searched = 0
        if received == self._last and self._said is not None:
            head = self._said
        else:
            head = read_head(received)
            if size <= LONGEST_REMEMBERED:
                self._said, self._last = head, received
        self._head, self._left, self._untouched = head, head.length or 0, True
        if head.length is None:
            self._chunks = _chunk_decoder()
        return Request(head.method, head.target, head.version, head.headers)

    def _next_counted(self) -> bytes | Mark:
        if not self._left:
            return self._end_of_request()
        if not self._inbox:
            if self._eof:
                raise Refusal(400, "the request ends in its body")
            return Mark.NEED_DATA
        piece = bytes(self._inbox[: self._left])
        del self._inbox[: len(piece)]
        self._left -= len(piece)
        self._untouched = False
        return piece

    def _next_chunk(self, decoder: h11.Connection) -> bytes | Mark:
        try:
            while (event := decoder.next_event()) is h11.NEED_DATA:
                if not self._inbox and not self._eof:
                    return Mark.NEED_DATA
                self._untouched = False
                decoder.receive_data(bytes(self._inbox))  # empty: h11 sees the end and complains
                self._inbox.clear()
        except h11.RemoteProtocolError as error:
            raise Refusal(error.error_status_hint, str(error)) from error
        if isinstance(event, h11.Data):
            return bytes(event.data)
        self._inbox[:0] = decoder.trailing_data[0]
        return self._end_of_request()

    def _end_of_request(self) -> Mark:
        self._head = self._chunks = None
        return Mark.END_OF_REQUEST


def read_head(received: bytes) -> Head:
    """Read a whole head. Raises Refusal."""
    head = _mended(received)
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head) + 1)
    try:
        connection.receive_data(head)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise Refusal(error.error_status_hint, str(error)) from error
    if not isinstance(event, h11.Request):
        raise Refusal(400, "not a request")
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
    chunked = "transfer-encoding" in headers
    if chunked and "content-length" in headers:
        # A proxy in front may have counted while we would decode: two see different requests in
        # the same bytes (RFC 9112 section 6.1).
        raise Refusal(400, "both Content-Length and Transfer-Encoding")
    version = "1.0" if event.http_version < b"1.1" else "1.1"
    return Head(
        event.method.decode("ascii"),
        event.target.decode("ascii"),
        version,
        headers,
        None if chunked else int(headers.get("content-length", "0")),
        version == "1.1" and headers.get("expect", "").lower() == "100-continue",
    )


def _chunk_decoder() -> h11.Connection:
    """An h11 connection that has just read the head of a request whose body comes in chunks."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.next_event()
    return connection


def _mended(head: bytes) -> bytes:
    """A head that h11 accepts, of one that Supervisor accepts (W9, W123)."""
    line, newline, rest = head.partition(b"\n")
    if not line.isascii():
        line = quote_from_bytes(line, safe=_ASCII).encode()
    if not _HOST.search(rest):
        rest = b"Host: \r\n" + rest
    return line + newline + rest
