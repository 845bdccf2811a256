"""Places in logs, between two bytes, that are found again after rotation and compression.

A place names the file that has the byte after it by the number of its inode, which a compressed
backup keeps in its header. Numbers of inodes are used again, so the place also has a checksum of
the file's first bytes, and the time at which the file was last written then: of two files it is in
the older one, unless that was not written any more. A file that another program has copied or
compressed is known by the checksum alone, if there is only one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zlib import crc32

from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: Bytes at the beginning of a file that tell it from others.
HEAD = 64
#: Bytes of a beginning that are enough to know a file without the number of its inode.
TELLING = 32
_PLACE = r"[0-9]{1,20}-[0-9]{1,18}-[0-9]{1,20}-[0-9]{1,2}-[0-9a-f]{1,8}"
_START = "start"
#: Regular expression for the text of a cursor.
CURSOR = rf"(?:[a-z]{{1,12}}\.(?:{_PLACE}|{_START}))(?:_[a-z]{{1,12}}\.(?:{_PLACE}|{_START}))?"
_CURSOR = re.compile(CURSOR)


@dataclass(frozen=True, slots=True)
class FileId:
    """What tells a file of a log from others: the number of its inode, and its last write."""

    inode: int
    modified: int
    """Nanoseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class LogPlace:
    """A place in a log: ``offset`` bytes after the beginning of a file, or of its content."""

    file: FileId
    offset: int
    head: int
    """Bytes at the beginning of the file that the checksum is of."""
    checksum: int

    @classmethod
    def at(cls, file: FileId, offset: int, beginning: bytes) -> LogPlace:
        """Return a place in a file with these first bytes."""
        known = beginning[:HEAD]
        return cls(file, offset, len(known), crc32(known))

    @classmethod
    def parse(cls, text: str) -> LogPlace:
        """Raises ValueError."""
        inode, offset, modified, head, checksum = text.split("-")
        return cls(FileId(int(inode), int(modified)), int(offset), int(head), int(checksum, 16))

    def __str__(self) -> str:
        file = self.file
        return f"{file.inode}-{self.offset}-{file.modified}-{self.head}-{self.checksum:x}"

    def moved_to(self, offset: int) -> LogPlace:
        """Return another place in the same file."""
        return LogPlace(self.file, offset, self.head, self.checksum)

    @property
    def spot(self) -> tuple[int, int]:
        """What is the same for all places between these two bytes, whenever they were made."""
        return self.file.inode, self.offset

    def may_be_in(self, beginning: bytes) -> bool:
        """Return whether a file that begins like this may be the one that was meant."""
        return len(beginning) >= self.head and crc32(beginning[: self.head]) == self.checksum


def find(place: LogPlace, files: Sequence[FileId], beginning: Callable[[int], bytes]) -> int | None:
    """Return which of the files has a place; None if none has, or more than one may.

    ``files`` are ordered, the oldest first; ``beginning`` returns the first HEAD bytes of one.
    """

    def among(numbers: Iterable[int]) -> list[int]:
        return [number for number in numbers if place.may_be_in(beginning(number))]

    same = among(n for n, file in enumerate(files) if file.inode == place.file.inode)
    if same:
        written = (n for n in same if files[n].modified >= place.file.modified)
        return next(written, same[-1])
    found = among(range(len(files))) if place.head >= TELLING else []
    return found[0] if len(found) == 1 else None


def cursor_text(places: Mapping[str, LogPlace | None]) -> str:
    """Return the places in several outputs as one text. None is the beginning of the log."""
    return "_".join(f"{name}.{place or _START}" for name, place in places.items())


def parse_cursor(text: str) -> dict[str, LogPlace | None]:
    """Return the places in a text, by the name of the output. Raises ValueError."""
    if not _CURSOR.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is no place in a log")
    pairs = [part.partition(".") for part in text.split("_")]
    return {name: None if at == _START else LogPlace.parse(at) for name, _, at in pairs}
