"""The event listener protocol, sans-io: one ``Listener`` per listener process (interfaces.md 1.5).

Bytes of the listener's stdout go in, what they mean comes out. Chunk boundaries have no meaning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from trio_supervisor.core.events import as_text
from trio_supervisor.core.process.states import ListenerState

READY = b"READY\n"
RESULT = b"RESULT "
#: Longest result and longest result line; a listener cannot make us buffer without bound.
LONGEST_RESULT = 1024 * 1024
LONGEST_RESULT_LINE = 128

_UNSAFE_IN_HEADER = re.compile(r"[\s:]")


@dataclass(frozen=True, slots=True)
class Ready:
    """The listener can take an event."""


_READY = Ready()


@dataclass(frozen=True, slots=True)
class EventResult:
    """The listener's answer to the event it was sent."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Violation:
    """The listener broke the protocol and is UNKNOWN now."""

    reason: str = ""
    """What is wrong with its result line, in the reference's words; empty if none was due."""
    wrote: str = field(default="", compare=False)
    """What it wrote, as far as it has come."""


class Listener:
    """Where one listener process stands; a new one begins with each spawn."""

    def __init__(self) -> None:
        self.state = ListenerState.ACKNOWLEDGED
        self._buffer = bytearray()
        self._length: int | None = None
        """Announced length of the result that is arriving."""

    def feed(self, data: bytes) -> list[Ready | EventResult | Violation]:
        """What these bytes mean, in order. ``sent`` must follow before a EventResult can come."""
        if self.state is ListenerState.UNKNOWN:
            return []
        self._buffer += data
        items: list[Ready | EventResult | Violation] = []
        while (item := self._next()) is not None:
            items.append(item)
        return items

    def sent(self) -> None:
        """An event was queued to this READY listener."""
        self.state = ListenerState.BUSY

    def fail(self) -> None:
        """Give up on this listener: whatever it says from now on is ignored."""
        self.state = ListenerState.UNKNOWN
        self._buffer.clear()

    def _next(self) -> Ready | EventResult | Violation | None:
        if not self._buffer:  # nothing is ever due without a byte more
            return None
        if self.state is ListenerState.ACKNOWLEDGED:
            return self._next_ready()
        if self.state is ListenerState.BUSY:
            return self._next_result()
        return self._violation()  # READY, and it talks

    def _next_ready(self) -> Ready | Violation | None:
        if len(self._buffer) < len(READY):
            return None
        if not self._buffer.startswith(READY):
            return self._violation()
        del self._buffer[: len(READY)]
        self.state = ListenerState.READY
        return _READY

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
        self.state = ListenerState.ACKNOWLEDGED
        return EventResult(data)

    def _violation(self, reason: str = "") -> Violation:
        wrote = as_text(bytes(self._buffer[:LONGEST_RESULT_LINE]))
        self.fail()
        return Violation(reason, wrote)


def _result_length(line: bytes) -> int | None:
    """The number of a result line, read leniently; None for anything else (Q12, Q13)."""
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
    """Header line and payload of one event (interfaces.md 1.2).

    ``len`` counts characters, because that is what text listeners read; ``count_bytes`` is for
    listeners that read bytes (1.2.1).
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
    """A value that cannot break the header's syntax (Q44)."""
    return _UNSAFE_IN_HEADER.sub("_", value)
