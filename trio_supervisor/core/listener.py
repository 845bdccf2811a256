"""The event listener protocol, without I/O: one ``Listener`` for each listener process.

Bytes of the listener's stdout go in, protocol items come out. Bytes may be split anywhere.
"""

from __future__ import annotations

import re
from dataclasses import field
from functools import lru_cache

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.events import as_text
from trio_supervisor.core.process.states import ListenerState

READY = b"READY\n"
RESULT = b"RESULT "
#: Bytes of the longest result and of the longest result line: they bound the buffer.
LONGEST_RESULT = 1024 * 1024
LONGEST_RESULT_LINE = 128

# Looking up a member of an enum takes longer than most steps of an event do.
_READY = ListenerState.READY
_BUSY = ListenerState.BUSY
_ACKNOWLEDGED = ListenerState.ACKNOWLEDGED
_UNKNOWN = ListenerState.UNKNOWN

_UNSAFE_IN_HEADER = re.compile(r"[\s:]")


@dataclass(frozen=True, slots=True)
class Ready:
    """The listener can take an event."""


_TAKES_EVENT = Ready()


@dataclass(frozen=True, slots=True)
class EventResult:
    """The listener's answer to the event that it was sent."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Violation:
    """The listener broke the protocol and is UNKNOWN now."""

    reason: str = ""
    """The error in its result line, in Supervisor's words; empty if no result was due."""
    wrote: str = field(default="", compare=False)
    """Its output, as far as it was received."""


class Listener:
    """Protocol state of one listener process; each child gets a new one."""

    def __init__(self) -> None:
        self.state = _ACKNOWLEDGED
        self._buffer = bytearray()
        self._length: int | None = None
        """Announced length of the result that is being received; None between results."""

    def feed(self, data: bytes) -> list[Ready | EventResult | Violation]:
        """Return the items that these bytes complete, in order.

        A result can only follow after ``sent`` was called.
        """
        if self.state is _UNKNOWN:
            return []
        self._buffer += data
        items: list[Ready | EventResult | Violation] = []
        item: Ready | EventResult | Violation | None
        while self._buffer:
            if self.state is _BUSY:
                item = self._next_result()
            elif self.state is _ACKNOWLEDGED:
                item = self._next_ready()
            else:  # output while READY: no event was sent
                item = self._violation()
            if item is None:
                break
            items.append(item)
        return items

    def sent(self) -> None:
        """Record that an event was queued for this listener, which must be READY."""
        self.state = _BUSY

    def fail(self) -> None:
        """Make this listener UNKNOWN: all further output is ignored."""
        self.state = _UNKNOWN
        self._buffer.clear()

    def _next_ready(self) -> Ready | Violation | None:
        if not self._buffer.startswith(READY):
            return None if len(self._buffer) < len(READY) else self._violation()
        del self._buffer[: len(READY)]
        self.state = _READY
        return _TAKES_EVENT

    def _next_result(self) -> EventResult | Violation | None:
        if self._length is None:
            end = self._buffer.find(b"\n", 0, LONGEST_RESULT_LINE + 1)
            if end < 0 and len(self._buffer) <= LONGEST_RESULT_LINE:
                return None
            line = bytes(self._buffer if end < 0 else self._buffer[:end])
            self._length = None if end < 0 else _result_length(line)
            if self._length is None:
                return self._violation(f"bad result line: '{as_text(line[:LONGEST_RESULT_LINE])}'")
            del self._buffer[: end + 1]
        if len(self._buffer) < self._length:
            return None
        data = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._length = None
        self.state = _ACKNOWLEDGED
        return EventResult(data)

    def _violation(self, reason: str = "") -> Violation:
        wrote = as_text(bytes(self._buffer[:LONGEST_RESULT_LINE]))
        self.fail()
        return Violation(reason, wrote)


@lru_cache  # a listener writes the same few lines again and again
def _result_length(line: bytes) -> int | None:
    """Parse the length in a result line, with blanks and a sign as ``int`` allows them.

    None means that the line is no result line, or that the result is too long.
    """
    if not line.startswith(RESULT):
        return None
    digits = line[len(RESULT) :].strip().removeprefix(b"+")
    length = int(digits) if digits.isdigit() else LONGEST_RESULT + 1
    return length if length <= LONGEST_RESULT else None


def envelope(
    *,
    server: str,
    serial: int,
    pool: str,
    poolserial: int,
    event: str,
    payload: str,
    count_bytes: bool = False,
) -> bytes:
    """Encode header line and payload of one event.

    ``len`` counts characters, because most listeners read text; with ``count_bytes`` it counts
    bytes, for listeners that read bytes.
    """
    data = payload.encode(errors="replace")
    header = (
        f"ver:3.0 server:{header_token(server)} serial:{serial} pool:{header_token(pool)} "
        f"poolserial:{poolserial} eventname:{event} "
        f"len:{len(data) if count_bytes else len(payload)}\n"
    )
    return header.encode(errors="replace") + data


@lru_cache
def header_token(value: str) -> str:
    """Replace the characters of a value that would break the syntax of the header."""
    return _UNSAFE_IN_HEADER.sub("_", value)
