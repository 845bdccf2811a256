"""Sans-io filters for child output: ANSI escapes out, captured sections aside.

``feed(bytes)`` returns what is to be passed on; what may still become a token is withheld until it
cannot. Knows nothing of logs or events.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Begin and end of a captured section; part of the contract with programs (P-266).
BEGIN = b"<!--XSUPERVISOR:BEGIN-->"
END = b"<!--XSUPERVISOR:END-->"

#: A control sequence: ESC [, anything below the final byte, one final byte (P-261).
_SEQUENCE = re.compile(rb"\x1b\[[^\x40-\x7e]*[\x40-\x7e]")
_UNFINISHED = re.compile(rb"\x1b(?:\[[^\x40-\x7e]*)?\Z")
#: A longer unfinished "sequence" is ordinary data: nothing may be withheld without bound.
_LONGEST_SEQUENCE = 256


class AnsiStripper:
    """Removes control sequences, also those split over two reads (P-260 to P-263, Q-58)."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The data without its sequences."""
        data = _SEQUENCE.sub(b"", self._held + data)
        unfinished = _UNFINISHED.search(data, max(0, len(data) - _LONGEST_SEQUENCE))
        cut = len(data) if unfinished is None else unfinished.start()
        self._held = data[cut:]
        return data[:cut]

    def finish(self) -> bytes:
        """What was withheld, at the end of the channel."""
        held, self._held = self._held, b""
        return held


@dataclass(frozen=True, slots=True)
class Output:
    """Ordinary output."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Captured:
    """One captured section, without its tokens."""

    data: bytes


class Capture:
    """Splits output into ordinary data and captured sections (P-265 to P-277).

    ``maxbytes``: a longer section keeps exactly its last ``maxbytes`` bytes (P-271, Q-55).
    """

    def __init__(self, maxbytes: int) -> None:
        self._maxbytes = maxbytes
        self._held = b""
        self._section: bytearray | None = None
        """The captured bytes so far; None outside a section."""

    def feed(self, data: bytes) -> list[Output | Captured]:
        """The items this data completes, in order."""
        items: list[Output | Captured] = []
        data = self._held + data
        position = 0
        while True:
            token = BEGIN if self._section is None else END
            found = data.find(token, position)
            end = found if found >= 0 else len(data) - _prefix_length(data, position, token)
            if self._section is None:
                if end > position:
                    items.append(Output(data[position:end]))
            else:
                self._section += data[position:end]
                if len(self._section) > self._maxbytes:
                    del self._section[: -self._maxbytes]
            if found < 0:
                self._held = data[end:]
                return items
            position = found + len(token)
            if self._section is None:
                self._section = bytearray()
            else:
                items.append(Captured(bytes(self._section)))
                self._section = None

    def finish(self) -> bytes:
        """What was withheld outside a section; an open section is lost (P-273, P-274)."""
        held = self._held if self._section is None else b""
        self._held, self._section = b"", None
        return held


def _prefix_length(data: bytes, start: int, token: bytes) -> int:
    """How many bytes at the end of ``data[start:]`` are a proper prefix of the token (P-272)."""
    for length in range(min(len(token) - 1, len(data) - start), 0, -1):
        if data.endswith(token[:length]):
            return length
    return 0
