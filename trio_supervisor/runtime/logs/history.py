"""Reads a log and its backups, plain or compressed, from any place in either direction.

Theory of operation
-------------------
The files of a log are one sequence of bytes: the oldest backup first, the log itself last. Nothing
is kept between two requests but a ``LogPlace``, which the client holds. Each request looks which
files there are, finds the one that has the place, and reads a block before or after it; the block
may reach over the ends of files, because a rotation can fall into a line.

The daemon, or logrotate, may rename, compress and remove files meanwhile:

* The survey is repeated if at its end there are other numbers of backups than at its beginning, or
  the log's own name means another file: a rotation that has not ended leaves a number free, and
  one that has ended has begun a new file.
* A file is opened by its name and compared with the survey. If it is another one by now the whole
  request begins again; the place is the same.
* A place that no file has any more is reported (``PlaceGone``).

A compressed file is unpacked from its beginning for each request, and no more than a block of it is
kept. Of a damaged one there is what comes before the damage.

May wait for the disk, so it is used in threads.
"""

from __future__ import annotations

import errno
import math
import os
import stat
from contextlib import closing, suppress
from typing import TYPE_CHECKING, TypeVar

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import Failed, NoFile
from trio_supervisor.core.logs.lines import LoggedLine, orders, spans_after, spans_before
from trio_supervisor.core.logs.place import HEAD, FileId, LogPlace, find
from trio_supervisor.core.logs.times import When
from trio_supervisor.runtime.logs.compression import packed_inode, packed_size, unpacked
from trio_supervisor.runtime.logs.rotation import (
    PACKED,
    backup_name,
    packed_backups,
    plain_backups,
)
from trio_supervisor.runtime.system.opening import entry, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from trio_supervisor.core.logs.times import Times
    from trio_supervisor.runtime.system.opening import DirectoryEntry

#: Bytes that are read at once to find lines. A longer line is taken apart.
BLOCK = 64 * 1024
#: Lines of a block that are made at once: most blocks have more than are asked for.
GROUP = 100
#: Requests that are begun again because the files have changed.
_TRIES = 20
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Result = TypeVar("Result")


class PlaceGone(Exception):
    """The bytes at a place are no longer kept: their file was removed, emptied or replaced."""


class _Moved(OSError):
    """A file has another name than in the survey."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a log."""

    path: str
    inode: int
    file: FileId
    """How places name it: of a compressed file, with the number of the plain one's inode."""
    size: int
    """Bytes of content; of a compressed file, what its end says."""
    packed: bool = False

    @property
    def modified(self) -> float:
        """When it was last written."""
        return self.file.modified / 1e9


@dataclass(frozen=True, slots=True)
class LogBlock:
    """Bytes of a log that follow each other."""

    data: bytes
    pieces: tuple[tuple[int, Part, LogPlace], ...]
    """Where a file begins in the data, the file, and the place in it."""
    behind: int
    """Bytes of the log that follow."""
    is_first: bool
    """Whether nothing comes before."""
    is_last: bool
    """Whether nothing follows."""
    older: float
    """When the file before the first of these was last written; ``-inf`` if there is none."""

    def place(self, offset: int) -> LogPlace:
        """Return a place in the data."""
        begin, _, place = self.pieces[self._piece(offset)]
        return place.moved_to(place.offset + offset - begin)

    def bounds(self, offset: int) -> tuple[float, float, float]:
        """Return between which times an offset was written, as far as the files tell.

        The third is the share of its file that comes before it.
        """
        number = self._piece(offset)
        earliest = self.pieces[number - 1][1].modified if number else self.older
        begin, part, place = self.pieces[number]
        share = (place.offset + offset - begin) / max(1, part.size)
        return earliest, part.modified, min(1.0, share)

    def _piece(self, offset: int) -> int:
        number = len(self.pieces) - 1
        while self.pieces[number][0] > offset:
            number -= 1
        return number


def end_of(path: str) -> LogPlace | None:
    """Return the place at the end of a log; None if it has no file. Raises Failed."""
    try:
        return _read(path, _end)
    except NoFile:
        return None


def size_of(path: str, before: LogPlace | None = None) -> int:
    """Return the bytes of a log, or those before a place. Raises NoFile, Failed and PlaceGone."""

    def measure(files: _Files) -> int:
        if before is None:
            return sum(part.size for part in files.parts)
        number, offset = files.find(before)
        return sum(part.size for part in files.parts[:number]) + offset

    return _read(path, measure)


def read_before(path: str, place: LogPlace, size: int = BLOCK) -> LogBlock:
    """Return the bytes before a place. Raises NoFile, Failed and PlaceGone."""
    return _read(path, lambda files: _before(files, place, size))


def read_after(path: str, place: LogPlace | None, size: int = BLOCK) -> LogBlock:
    """Return the bytes after a place; None is the beginning.

    Raises NoFile, Failed and PlaceGone.
    """
    return _read(path, lambda files: _after(files, *_found(files, place), size))


def place_of_time(path: str, order: float, times: Times) -> LogPlace:
    """Return the place before the first line that has this order or a later one.

    Right if the orders in the log never decrease. Raises NoFile and Failed.
    """
    return _read(path, lambda files: _seek(files, order, times))


def lines_before(
    path: str, place: LogPlace, stream: str, times: Times, size: int = BLOCK
) -> Iterator[LoggedLine]:
    """Return the lines before a place, the newest first, read as they are asked for.

    Raises NoFile, Failed and PlaceGone, also in the middle.
    """
    at: LogPlace = place
    behind = float("inf")
    while True:
        block = read_before(path, at, size)
        spans = spans_before(block.data, at_start=block.is_first)
        for end in range(len(spans), 0, -GROUP):
            lines = lines_of(block, spans[max(0, end - GROUP) : end], stream, times, behind)
            yield from reversed(lines)
            at, behind = lines[0].start, lines[0].order
        if block.is_first:
            return


def lines_after(
    path: str, place: LogPlace | None, stream: str, times: Times, size: int = BLOCK
) -> Iterator[LoggedLine]:
    """Return the lines after a place, the oldest first; None is the beginning.

    Raises NoFile, Failed and PlaceGone, also in the middle.
    """
    at, before = place, 0.0
    while True:
        block = read_after(path, at, size)
        spans = spans_after(block.data, at_end=block.is_last)
        for start in range(0, len(spans), GROUP):
            lines = lines_of(block, spans[start : start + GROUP], stream, times, before)
            yield from lines
            at, before = lines[-1].end, lines[-1].order
        if block.is_last:
            return


def lines_of(
    block: LogBlock,
    spans: Sequence[tuple[int, int]],
    stream: str,
    times: Times,
    beside: float,
) -> list[LoggedLine]:
    """Return the lines of a block that begin and end at these offsets.

    ``beside`` is their order if no time is known.
    """
    texts = [block.data[start:end] for start, end in spans]
    known = [
        _when(block, start, text, times) for (start, _), text in zip(spans, texts, strict=True)
    ]
    return [
        LoggedLine(
            stream,
            text.removesuffix(b"\n"),
            when,
            order,
            block.place(start),
            block.place(end),
            is_whole=text.endswith(b"\n"),
            stamp=times.length_of_stamp(text),
        )
        for (start, end), text, when, order in zip(
            spans, texts, known, orders(known, beside), strict=True
        )
    ]


def _when(block: LogBlock, start: int, text: bytes, times: Times) -> When | None:
    found = times.of(text, block.behind + len(block.data) - start)
    if found is not None or times.is_carried_over:
        return found
    # Written before the daemon's start: between the last writes to the older file and to its own.
    earliest, latest, share = block.bounds(start)
    latest = max(earliest, min(latest, times.since))
    width = 0.0 if math.isinf(earliest) else latest - earliest
    return When(earliest, latest, latest - width * (1 - share))


class _Files:
    """The files of a log, the oldest first. One of them is open at a time."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        self._beginnings: dict[int, bytes] = {}
        self._open: tuple[int, int] | None = None
        """Which file is open, and its descriptor."""

    def find(self, place: LogPlace) -> tuple[int, int]:
        """Return which file has a place, and the offset in its content. Raises PlaceGone."""
        found = find(place, [part.file for part in self.parts], self.beginning)
        if found is None:
            raise PlaceGone
        part = self.parts[found]
        if place.offset > part.size and not part.packed:
            raise PlaceGone
        return found, place.offset

    def beginning(self, number: int) -> bytes:
        """Return the first HEAD bytes of a file. Raises OSError."""
        if number not in self._beginnings:
            self._beginnings[number] = self.read(number, 0, HEAD)
        return self._beginnings[number]

    def read(self, number: int, start: int, size: int) -> bytes:
        """Return bytes of the content from an offset on. Raises OSError."""
        fd, part = self._fd(number), self.parts[number]
        if not part.packed:
            return _pread(fd, min(size, part.size - start), start)
        found, offset = bytearray(), 0
        for data in _content(fd):
            found += data[max(0, start - offset) :]
            offset += len(data)
            if len(found) >= size:
                break
        return bytes(found[:size])

    def read_to(self, number: int, end: int | None, size: int) -> tuple[bytes, int]:
        """Return the bytes before an offset of the content, and its offset; None means its end.

        Raises OSError.
        """
        fd, part = self._fd(number), self.parts[number]
        if not part.packed:
            end = part.size if end is None else end
            return _pread(fd, min(size, end), max(0, end - size)), end
        found, offset = bytearray(), 0
        for data in _content(fd):
            found += data if end is None else data[: end - offset]
            offset += len(data)
            if len(found) > 2 * size:
                del found[:-size]
            if end is not None and offset >= end:
                offset = end
                break
        return bytes(found[-size:]), offset

    def close(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _fd(self, number: int) -> int:
        if self._open is None or self._open[0] != number:
            self.close()
            part = self.parts[number]
            fd = open_regular(part.path)
            self._open = number, fd
            if os.fstat(fd).st_ino != part.inode:
                raise _Moved(errno.ESTALE, os.strerror(errno.ESTALE), part.path)
        return self._open[1]


def _content(fd: int) -> Iterator[bytes]:
    """Return the content of a compressed file in pieces, up to its first damage."""
    with suppress(OSError):
        yield from unpacked(fd)


def _end(files: _Files) -> LogPlace:
    number = len(files.parts) - 1
    part = files.parts[number]
    return LogPlace.at(part.file, part.size, files.beginning(number))


def _before(files: _Files, place: LogPlace, size: int) -> LogBlock:
    number, offset = files.find(place)
    found: list[tuple[bytes, int]] = []
    left, end, first = size, offset, number
    last_end = offset
    at: int | None = offset
    while True:
        data, end = files.read_to(first, at, left)
        if first == number:
            last_end = end
        found.append((data, end - len(data)))
        left -= len(data)
        if left <= 0 or not first:
            break
        first, at = first - 1, None
    found.reverse()
    behind = sum(part.size for part in files.parts[number:]) - last_end
    return _block(files, first, found, behind, is_last=behind <= 0)


def _found(files: _Files, place: LogPlace | None) -> tuple[int, int]:
    return (0, 0) if place is None else files.find(place)


def _seek(files: _Files, order: float, times: Times) -> LogPlace:
    def first_line(number: int, offset: int) -> LoggedLine | None:
        """Return the first line that begins behind an offset, or at the beginning of a file."""
        lines = _lines_from(files, number, offset, BLOCK, times)
        return lines[0] if lines else None

    number = len(files.parts) - 1
    while number and ((line := first_line(number, 0)) is None or line.order >= order):
        number -= 1
    low, high = 0, files.parts[number].size
    while high - low > BLOCK:
        middle = (low + high) // 2
        line = first_line(number, middle)
        if line is not None and line.order < order:
            low = middle
        else:
            high = middle
    lines = _lines_from(files, number, low, 2 * BLOCK, times)
    found = next((line.start for line in lines if line.order >= order), None)
    if found is not None:
        return found
    return lines[-1].end if lines else _end(files)


def _lines_from(
    files: _Files, number: int, offset: int, size: int, times: Times
) -> list[LoggedLine]:
    block = _after(files, number, offset, size)
    spans = spans_after(block.data, at_end=block.is_last)
    return lines_of(block, spans[1:] if offset else spans, "", times, 0.0)


def _after(files: _Files, number: int, offset: int, size: int) -> LogBlock:
    first = number
    found: list[tuple[bytes, int]] = []
    left = size
    while True:
        data = files.read(number, offset, left)
        found.append((data, offset))
        left -= len(data)
        # A file that grows is read again later; what is new in it is not skipped for the next one.
        if left <= 0 or number + 1 == len(files.parts):
            break
        number, offset = number + 1, 0
    end = found[-1][1] + len(found[-1][0])
    behind = sum(part.size for part in files.parts[number:]) - end
    return _block(files, first, found, max(0, behind), is_last=behind <= 0)


def _block(
    files: _Files, first: int, found: list[tuple[bytes, int]], behind: int, *, is_last: bool
) -> LogBlock:
    pieces, begin = [], 0
    for number, (data, offset) in enumerate(found, first):
        part = files.parts[number]
        pieces.append((begin, part, LogPlace.at(part.file, offset, files.beginning(number))))
        begin += len(data)
    return LogBlock(
        b"".join(data for data, _ in found),
        tuple(pieces),
        max(0, behind),
        is_first=not first and not found[0][1],
        is_last=is_last,
        older=files.parts[first - 1].modified if first else float("-inf"),
    )


def _pread(fd: int, size: int, start: int) -> bytes:
    pieces = []
    while size > 0 and (piece := os.pread(fd, size, start)):
        pieces.append(piece)
        start += len(piece)
        size -= len(piece)
    return b"".join(pieces)


def _read(path: str, use: Callable[[_Files], Result]) -> Result:
    """Survey the files and use them, again if they change meanwhile. Raises NoFile and Failed."""
    for _ in range(_TRIES):
        try:
            with closing(_Files(_survey(path))) as files:
                return use(files)
        except (FileNotFoundError, _Moved):
            continue
        except OSError as error:
            raise Failed(f"cannot read {path}: {error.strerror}") from error
    raise Failed(f"{path} is rotated faster than it can be read")


def _survey(path: str) -> list[Part]:
    """Return the files of a log, the oldest first. Raises NoFile, and OSError."""
    own = _own(path)
    try:
        with entry(path, follow=False) as log:
            numbers = _numbers(log)
            parts = [part for number in numbers if (part := _backup(path, log, number))]
            has_changed = _numbers(log) != numbers
    except FileNotFoundError as error:
        raise NoFile(path) from error
    after = _own(path)
    if has_changed or (own and own.inode) != (after and after.inode):
        raise _Moved(errno.ESTALE, os.strerror(errno.ESTALE), path)
    if own is not None:
        parts.append(own)
    if not parts:
        raise NoFile(path)
    return parts


def _own(path: str) -> Part | None:
    """Return the log's own file; None if it has none now. Raises OSError."""
    try:
        fd = open_regular(path)
    except FileNotFoundError:
        return None
    try:
        return _plain(path, os.fstat(fd))
    finally:
        os.close(fd)


def _numbers(log: DirectoryEntry) -> list[int]:
    """Return the numbers of all backups, the oldest first. Raises OSError."""
    return sorted({*plain_backups(log), *packed_backups(log)}, reverse=True)


def _backup(path: str, log: DirectoryEntry, number: int) -> Part | None:
    """Return a backup; a compressed one beside a plain one is not needed. Raises OSError."""
    name = backup_name(log.name, number)
    with suppress(FileNotFoundError):
        status = os.stat(name, dir_fd=log.directory, follow_symlinks=False)
        is_file = stat.S_ISREG(status.st_mode)
        return _plain(backup_name(path, number), status) if is_file else None
    with suppress(OSError):  # it has another name now, or is none of ours
        return _packed(backup_name(path, number) + PACKED, name + PACKED, log)
    return None


def _plain(path: str, status: os.stat_result) -> Part:
    file = FileId(status.st_ino, status.st_mtime_ns)
    return Part(path, status.st_ino, file, status.st_size)


def _packed(path: str, name: str, log: DirectoryEntry) -> Part:
    fd = os.open(name, _LOOK, dir_fd=log.directory)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        file = FileId(packed_inode(fd) or status.st_ino, status.st_mtime_ns)
        return Part(path, status.st_ino, file, packed_size(fd, status.st_size), packed=True)
    finally:
        os.close(fd)
