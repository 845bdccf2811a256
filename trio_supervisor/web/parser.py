"""Parser of HTTP requests: h11, and corrections for clients that it would refuse.

There is no I/O: bytes go into ``feed``, events come out of ``next_event``. h11 parses heads, after
they were corrected, and chunks. It has no part in responses, so each head gets a new h11
connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from urllib import parse

import h11

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.web.message import Refusal, Request

#: Bytes of a request head beyond which it is refused with 431.
HEAD_LIMIT = 64 * 1024
#: Lines of a request head beyond which it is refused with 431: each takes some time to check.
MAX_LINES = 128
#: Bytes of the longest head that is cached; each of hundreds of connections caches one.
LONGEST_REMEMBERED = 2048

_HEAD_END = re.compile(rb"\n\r?\n")
_HOST = re.compile(rb"^host[ \t]*:", re.IGNORECASE | re.MULTILINE)
_ASCII = bytes(range(0x80))


class Mark(Enum):
    """Events of the parser other than a head (Request) and pieces of a body (bytes)."""

    NEED_DATA = "feed me"
    END_OF_REQUEST = "the request is complete"
    CLOSED = "the client has left between requests"


@dataclass(frozen=True, slots=True)
class Head:
    """The parsed head of a request."""

    method: str
    target: str
    version: str
    headers: Mapping[str, str]
    length: int | None
    """Bytes of the body; None means that it comes in chunks."""
    expects_continue: bool


class Parser:
    """Parses the requests of one connection, one after the other."""

    def __init__(self) -> None:
        self._inbox = bytearray()
        self._searched = 0
        """Bytes of the inbox that are known not to contain the end of a head."""
        self._eof = False
        self._head: Head | None = None
        """Head of the current request; None between requests."""
        self._left = 0
        """Remaining bytes of its body, if it has a Content-Length."""
        self._chunks: h11.Connection | None = None
        """Decoder of its body, if it comes in chunks."""
        self._untouched = False
        """True until a part of its body was received."""
        self._last = b""
        """The last head as received; ``_parsed`` is the result. A polling client repeats the same
        bytes, and h11 takes half of the time of a small request."""
        self._parsed: Head | None = None

    def feed(self, data: bytes) -> None:
        """Add received bytes; empty bytes mean that the client has sent all."""
        self._inbox += data
        self._eof = self._eof or not data

    @property
    def idle(self) -> bool:
        """Whether no byte of a request was received."""
        return self._head is None and not self._inbox

    @property
    def wants_continue(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body."""
        head = self._head
        return head is not None and head.expects_continue and self._untouched and not self._inbox

    def next_event(self) -> Request | bytes | Mark:
        """Return the next event of the bytes received so far. Raises Refusal."""
        if self._head is None:
            return self._next_head()
        return self._next_counted() if self._chunks is None else self._next_chunk(self._chunks)

    def _next_head(self) -> Request | Mark:
        inbox = self._inbox
        if not self._searched and inbox.startswith((b"\r", b"\n")):
            # supervisorctl tail ends its request with an extra line.
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
            # The end may be split: up to two bytes of it may be in the part already searched.
            self._searched = max(0, size - 2)
            return Mark.NEED_DATA
        received = bytes(inbox[:size])
        if received.count(b"\n") > MAX_LINES:
            raise Refusal(431, f"the head of a request may have {MAX_LINES} lines")
        del inbox[:size]
        self._searched = 0
        if received == self._last and self._parsed is not None:
            head = self._parsed
        else:
            head = read_head(received)
            if size <= LONGEST_REMEMBERED:
                self._parsed, self._last = head, received
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
                decoder.receive_data(
                    bytes(self._inbox)
                )  # empty at the end of input: h11 raises then
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
    """Parse a complete head. Raises Refusal."""
    head = _corrected(received)
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
        # A proxy in front may use the length where we would decode chunks, and see different
        # requests in the same bytes: request smuggling (RFC 9112, section 6.1).
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
    """Return an h11 connection that has just read the head of a request with a chunked body."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.next_event()
    return connection


def _corrected(head: bytes) -> bytes:
    """Correct what Supervisor accepts and h11 does not: a missing Host, and bytes beyond ASCII."""
    line, newline, rest = head.partition(b"\n")
    if not line.isascii():
        line = parse.quote_from_bytes(line, safe=_ASCII).encode()
    if not _HOST.search(rest):
        rest = b"Host: \r\n" + rest
    return line + newline + rest
