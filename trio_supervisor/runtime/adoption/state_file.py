"""The file in memory with the state of a daemon, which its keeper holds for the next one.

A line is appended for each change (``core/handover/lines.py``), which is a copy in memory and waits
for nothing. What the lines that count no more take is limited: a new file with the present lines
then takes the place of the old one, which the keeper holds until it has the new one.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import trio

from trio_supervisor._version import __version__
from trio_supervisor.core.handover.lines import gone_line, header_line, part_line
from trio_supervisor.runtime.spawn.members import this_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.handover.lines import Part

#: The file is written anew when it is so many times as long as what counts, and so many bytes more.
MOST_GROWTH, MOST_EXTRA = 4, 64 * 1024


class StateFile:
    """The state of a daemon, line by line."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._lines: dict[Part, bytes] = {}
        self._present = 0
        self._size = 0
        self.descriptor = -1
        self._begin()

    def write(self, part: Part, value: object) -> None:
        """Write a part that has changed. Raises NotPlain or OSError."""
        line = part_line(part, value, trio.current_time(), time.monotonic())
        self._present += len(line) - len(self._lines.get(part, b""))
        self._lines[part] = line
        self._append(line)

    def remove(self, part: Part) -> None:
        """Write that a part is no more. Raises OSError."""
        if part in self._lines:
            self._present -= len(self._lines.pop(part))
            self._append(gone_line(part))

    def parts(self, kind: str, name: str) -> list[Part]:
        """Return the parts of this kind and this first name."""
        return [part for part in self._lines if part[:2] == (kind, name)]

    @property
    def has_grown(self) -> bool:
        """Whether it is time to write it anew."""
        return self._size > MOST_GROWTH * self._present + MOST_EXTRA

    def renew(self, is_held: Callable[[int], bool]) -> None:
        """Go on in a new file, with another descriptor; the old one is closed. Raises OSError.

        ``is_held`` gives the new one to the keeper. If that is not possible now, the old one stays:
        a file that the keeper does not have is of no use.
        """
        before, size = self.descriptor, self._size
        self._begin()
        if is_held(self.descriptor):
            os.close(before)
            return
        os.close(self.descriptor)
        self.descriptor, self._size = before, size

    def close(self) -> None:
        """Close our descriptor."""
        os.close(self.descriptor)

    def _begin(self) -> None:
        new = os.memfd_create("tsupervisord state")
        try:
            content = header_line(this_process(), __version__) + b"".join(self._lines.values())
            _write_all(new, content)
        except BaseException:
            os.close(new)
            raise
        self.descriptor, self._size = new, len(content)

    def _append(self, line: bytes) -> None:
        self._size += len(line)
        _write_all(self.descriptor, line)


def content_of(descriptor: int) -> bytes:
    """Return what is in such a file. Raises OSError."""
    size = os.fstat(descriptor).st_size
    parts, at = [], 0
    while at < size and (part := os.pread(descriptor, size - at, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _write_all(fd: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]
