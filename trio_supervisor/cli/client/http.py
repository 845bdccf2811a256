"""Parser of HTTP/1.1 responses for the command-line client: bytes in, body bytes out. Pure."""

from __future__ import annotations

from trio_supervisor.core.numbers import natural

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable

#: Limit on the bytes of a line.
LONGEST_LINE = 65536
#: Limit on the characters of head and trailer, including all interim responses.
LONGEST_HEAD = 256 * 1024
#: Checked because ``int`` also accepts signs and underscores.
HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


class ProtocolViolation(Exception):
    """The server violates HTTP; the text says how."""


class ResponseParser:
    """Parses one response from the bytes that the socket delivers."""

    def __init__(self) -> None:
        self.status = 0
        """The HTTP status; 0 until the whole head has been received."""
        self.reason = ""
        self.headers: dict[str, str] = {}
        """By name in lower case. The last of repeated headers counts."""
        self.complete = False
        self.reusable = False
        """After ``complete``: whether the connection may carry another request."""
        self._version = ""
        self._head_size = 0
        self._buffer = bytearray()
        self._left = 0
        self._step: Callable[[bytearray], bool] = self._head

    def feed(self, data: bytes) -> bytes:
        """Parse input and return the bytes of the body in it. Raises ProtocolViolation."""
        self._buffer += data
        body = bytearray()
        while not self.complete and self._step(body):
            pass
        return bytes(body)

    def feed_eof(self) -> bool:
        """Handle the end of the connection; return whether the response is complete."""
        if self._step == self._rest:
            self.complete = True
        return self.complete

    # Each step parses what it can from the buffer and returns whether another step may follow.

    def _line(self) -> str | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > LONGEST_LINE:
                raise ProtocolViolation("line too long in the answer")
            return None
        line = bytes(self._buffer[:end]).rstrip(b"\r").decode("latin-1")
        del self._buffer[: end + 1]
        return line

    def _head_line(self) -> str | None:
        line = self._line()
        if line is not None:
            self._head_size += len(line) + 1
            if self._head_size > LONGEST_HEAD:
                raise ProtocolViolation("the head of the answer is too long")
        return line

    def _head(self, body: bytearray) -> bool:
        line = self._head_line()
        if line is None:
            return False
        version, _, rest = line.partition(" ")
        code, _, reason = rest.partition(" ")
        status = natural(code)
        if not version.startswith("HTTP/") or len(code) != 3 or status is None:
            raise ProtocolViolation(f"not an HTTP answer: {line[:80]!r}")
        self._version, self.status, self.reason = version, 0, reason
        self._code = status
        self.headers = {}
        self._step = self._header
        return True

    def _header(self, body: bytearray) -> bool:
        line = self._head_line()
        if line is None:
            return False
        if line:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
            return True
        if self._code < 200:  # an interim response such as 100 Continue
            self._step = self._head
            return True
        self.status = self._code
        self._choose_body()
        return True

    def _choose_body(self) -> None:
        length = self.headers.get("content-length", "")
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            self._step = self._chunk_size
        elif self.status in (204, 304):
            self._finish()
        elif (left := natural(length)) is not None:
            self._left = left
            self._step = self._sized
        elif length:
            raise ProtocolViolation(f"bad Content-Length {length[:80]!r}")
        else:
            self._step = self._rest

    def _finish(self) -> None:
        connection = self.headers.get("connection", "").lower()
        self.complete = True
        self.reusable = "close" not in connection and (
            self._version == "HTTP/1.1" or "keep-alive" in connection
        )

    def _take(self, body: bytearray) -> bool:
        """Move up to ``_left`` bytes into the body; return whether none is left."""
        piece = self._buffer[: self._left]
        del self._buffer[: self._left]
        self._left -= len(piece)
        body += piece
        return self._left == 0

    def _rest(self, body: bytearray) -> bool:
        body += self._buffer
        self._buffer.clear()
        return False

    def _sized(self, body: bytearray) -> bool:
        if self._take(body):
            self._finish()
        return False

    def _chunk_size(self, body: bytearray) -> bool:
        line = self._line()
        if line is None:
            return False
        size = line.partition(";")[0].strip()
        if not size or not HEX_DIGITS.issuperset(size):
            raise ProtocolViolation(f"bad chunk size {size[:80]!r}")
        self._left = int(size, 16)
        self._step = self._chunk if self._left else self._trailer
        return True

    def _chunk(self, body: bytearray) -> bool:
        if not self._take(body):
            return False
        self._step = self._chunk_end
        return True

    def _chunk_end(self, body: bytearray) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            raise ProtocolViolation("chunk longer than announced")
        self._step = self._chunk_size
        return True

    def _trailer(self, body: bytearray) -> bool:
        line = self._head_line()
        if line == "":
            self._finish()
        return bool(line)
