"""The logs of a process as lines, both outputs in one order, with times, from any place on.

Only clients that ask for lines load this module and those that it needs.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import NoFile
from trio_supervisor.core.logs.lines import LoggedLine, backwards, forwards
from trio_supervisor.core.logs.times import Marks, Stamps, Stretch
from trio_supervisor.runtime.logs.history import (
    PlaceGone,
    end_of,
    lines_after,
    lines_before,
    place_of_time,
    size_of,
)
from trio_supervisor.runtime.logs.readers import readers
from trio_supervisor.runtime.output.log_source import (
    ACTIVITY_LOG,
    CHANNELS,
    LogAddress,
    LogSource,
    find_log,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from trio_supervisor.core.logs.place import LogPlace
    from trio_supervisor.core.logs.times import Times
    from trio_supervisor.runtime.supervisor import Supervisor

    Cursor = Mapping[str, LogPlace | None]

#: Bytes of lines of one page, at most; the line that reaches it is the last.
PAGE_BYTES = 256 * 1024
#: The name of a log to which both outputs of a process go.
SHARED = "output"


@dataclass(frozen=True, slots=True)
class LineSource:
    """One log file with its backups, and what knows when its lines were written."""

    stream: str
    path: str
    times: Times


@dataclass(frozen=True, slots=True)
class LinePage:
    """Lines of logs that follow each other, the oldest first, and the places around them."""

    lines: tuple[LoggedLine, ...]
    start: Cursor
    end: Cursor
    """A line without an end at the end of a log, which may go on, comes behind it."""
    is_first: bool = False
    """Whether no line that is kept comes before."""
    is_last: bool = False
    """Whether no line follows yet."""
    is_gone: bool = False
    """Whether the place that was asked for is not kept any more, in one of the logs."""


def line_sources(
    supervisor: Supervisor, process: str | None, streams: Iterable[str] = CHANNELS
) -> tuple[LineSource, ...]:
    """Return the logs with the outputs of a process; None means the daemon's own log.

    Empty if there are no files. Raises BadName.
    """
    names = ""
    if process is None:
        logs = [find_log(supervisor, ACTIVITY_LOG)]
    else:
        names = f"{supervisor.process(process).full_name} "
        logs = [find_log(supervisor, LogAddress(process, stream)) for stream in streams]
    found: dict[str, LineSource] = {}
    for log in logs:
        if log.path in found:
            found[log.path] = LineSource(SHARED, log.path, found[log.path].times)
        elif log.path is not None:
            found[log.path] = LineSource(log.name, log.path, _times(log, names))
    return tuple(found.values())


def _times(log: LogSource, names: str) -> Times:
    """``names`` is what a line with a format has of its process."""
    channel = log.channel
    if channel is None:
        return Stamps()
    if channel.has_format:
        return Stamps(f"{names}{log.name} ".encode())
    if log.is_shared:  # offsets in it are not those of one output
        return Marks((), 0)
    stretches = tuple(Stretch(*stretch) for stretch in channel.stretches_since(0))
    return Marks(stretches, channel.written_to_log)


class LogLines:
    """The lines of some logs. Files are read in threads.

    All methods raise Failed if a log cannot be read. Logs without a file are empty.
    """

    def __init__(self, sources: Sequence[LineSource]) -> None:
        self.sources = tuple(sources)
        self._key = "\0".join(source.path for source in sources)

    async def last(self, count: int) -> LinePage:
        """Return the newest lines."""
        return await readers.run(_last, self._key, self.sources, count)

    async def before(self, cursor: Cursor, count: int) -> LinePage:
        """Return the lines before a place; of a log that is not in the cursor, none."""
        return await readers.run(_before, self._key, self.sources, cursor, count)

    async def after(self, cursor: Cursor, count: int) -> LinePage:
        """Return the lines after a place; if it is gone, the first that are kept."""
        return await readers.run(_after, self._key, self.sources, cursor, count)

    async def around(self, cursor: Cursor, count: int) -> LinePage:
        """Return lines before and after a place; in logs that it is not in, those of its time."""
        return await readers.run(_around, self._key, self.sources, cursor, count)


def first_place(sources: Iterable[LineSource]) -> Cursor:
    """Return the beginning of all logs."""
    return {source.stream: None for source in sources}


def last_place(sources: Iterable[LineSource]) -> Cursor:
    """Return the end of all logs, as it is now; may wait for the disk. Raises Failed."""
    return {source.stream: end_of(source.path) for source in sources}


def bytes_in(sources: Iterable[LineSource], before: Cursor | None = None) -> int:
    """Return the bytes of all logs, or those before a place; may wait for the disk.

    Of a place that is gone there are none. Raises Failed.
    """
    return sum(_size(source, before) for source in sources)


def _size(source: LineSource, before: Cursor | None) -> int:
    place = None if before is None else before.get(source.stream)
    if before is not None and place is None:
        return 0
    try:
        return size_of(source.path, place)
    except (NoFile, PlaceGone):
        return 0


def _last(key: str, sources: Sequence[LineSource], count: int) -> LinePage:
    end = dict(last_place(sources))
    page = _before(key, sources, end, count)
    newest = {line.stream: line for line in page.lines}
    end |= {name: line.start for name, line in newest.items() if not line.is_whole}
    return LinePage(page.lines, page.start, end, page.is_first, is_last=True)


def _before(key: str, sources: Sequence[LineSource], cursor: Cursor, count: int) -> LinePage:
    kept = [_Kept(source) for source in sources]
    lines, is_all = _page(backwards(one.before(cursor) for one in kept), count)
    lines.reverse()
    start = _within(cursor, sources)
    start |= {line.stream: line.start for line in reversed(lines)}
    return LinePage(
        tuple(lines), start, cursor, is_first=is_all, is_gone=any(one.is_gone for one in kept)
    )


def _after(key: str, sources: Sequence[LineSource], cursor: Cursor, count: int) -> LinePage:
    kept = [_Kept(source) for source in sources]
    lines, is_all = _page(forwards(one.after(cursor) for one in kept), count)
    end = _within(cursor, sources)
    end |= {line.stream: line.end for line in lines}
    if is_all:
        newest = {line.stream: line for line in lines}
        end |= {name: line.start for name, line in newest.items() if not line.is_whole}
    return LinePage(
        tuple(lines),
        cursor,
        end,
        is_first=not any(cursor.values()),
        is_last=is_all,
        is_gone=any(one.is_gone for one in kept),
    )


def _around(key: str, sources: Sequence[LineSource], cursor: Cursor, count: int) -> LinePage:
    cursor = _completed(sources, cursor)
    before = _before(key, sources, cursor, count // 2)
    after = _after(key, sources, cursor, count - count // 2)
    return LinePage(
        before.lines + after.lines,
        before.start,
        after.end,
        before.is_first,
        after.is_last,
        before.is_gone or after.is_gone,
    )


def _completed(sources: Sequence[LineSource], cursor: Cursor) -> Cursor:
    """Add the places of the same time in the logs that a cursor does not have."""
    missing = [source for source in sources if source.stream not in cursor]
    known = [_Kept(source).after(cursor) for source in sources if source.stream in cursor]
    line = next(forwards(known), None) if missing else None
    if line is None:
        return cursor
    found = dict(cursor)
    for source in missing:
        with suppress(NoFile):
            found[source.stream] = place_of_time(source.path, line.order, source.times)
    return found


def _within(cursor: Cursor, sources: Iterable[LineSource]) -> dict[str, LogPlace | None]:
    """Return a cursor without the logs that are not wanted."""
    names = {source.stream for source in sources}
    return {name: place for name, place in cursor.items() if name in names}


class _Kept:
    """The lines of one log that are kept, and whether more were asked for."""

    def __init__(self, source: LineSource) -> None:
        self.source = source
        self.is_gone = False

    def before(self, cursor: Cursor) -> Iterator[LoggedLine]:
        source = self.source
        place = cursor.get(source.stream)
        if place is not None:
            yield from self._known(lines_before(source.path, place, source.stream, source.times))

    def after(self, cursor: Cursor) -> Iterator[LoggedLine]:
        source = self.source
        if source.stream not in cursor:
            return

        def read(place: LogPlace | None) -> Iterator[LoggedLine]:
            return lines_after(source.path, place, source.stream, source.times)

        place = cursor[source.stream]
        yield from self._known(read(place))
        if self.is_gone and place is not None:
            yield from self._known(read(None))

    def _known(self, lines: Iterator[LoggedLine]) -> Iterator[LoggedLine]:
        try:
            yield from lines
        except PlaceGone:
            self.is_gone = True
        except NoFile:
            return


def _page(lines: Iterator[LoggedLine], count: int) -> tuple[list[LoggedLine], bool]:
    """Return the lines of a page, and whether these are all."""
    found: list[LoggedLine] = []
    size = 0
    for line in islice(lines, count):
        found.append(line)
        size += len(line.data)
        if size >= PAGE_BYTES:
            break
    return found, next(lines, None) is None
