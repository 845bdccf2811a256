"""Searches logs for a text or an expression, in another process (``search_process.py``).

A search is divided into requests of a few seconds. Each goes on at the place where the one before
has ended, so nothing is kept between them, and to stop a search is to ask no more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from contextlib import suppress
from heapq import merge
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import Failed
from trio_supervisor.core.logs.lines import LoggedLine
from trio_supervisor.core.logs.match import matcher
from trio_supervisor.core.logs.place import LogPlace, cursor_text, parse_cursor
from trio_supervisor.core.logs.times import Marks, Stamps, When
from trio_supervisor.runtime.logs.readers import readers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from trio_supervisor.runtime.output.log_lines import Cursor, LineSource

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "search_process.py")
#: Seconds of one request, and seconds after which a process that has not answered is killed.
SECONDS = 2.0
PATIENCE = 10.0
#: Searches at the same time; others wait.
SEARCHES = 2
#: Lines shown before and after each that matches, unless something else is asked for.
CONTEXT = 2

_slots = trio.CapacityLimiter(SEARCHES)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched for. Making one raises ValueError, see ``matcher``."""

    pattern: str
    is_regex: bool = False
    count: int = 100
    """Lines that are found in one request, at most."""
    context: int = CONTEXT

    def __post_init__(self) -> None:
        matcher(self.pattern, is_regex=self.is_regex)


@dataclass(frozen=True, slots=True)
class FoundLine:
    """A line that was found, and those around it in the same log."""

    line: LoggedLine
    before: tuple[LoggedLine, ...]
    after: tuple[LoggedLine, ...]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What one request has found, the newest first."""

    matches: tuple[FoundLine, ...]
    before: Cursor | None
    """Where to go on; None means that all was searched."""
    searched: int
    """Bytes, from the end of the logs."""
    total: int


async def search(
    sources: Sequence[LineSource],
    wanted: Wanted,
    before: Cursor | None = None,
    *,
    seconds: float = SECONDS,
) -> SearchResult:
    """Search logs from a place, or their end, to their beginning. Raises Failed."""
    orders = {
        "sources": [_described(source) for source in sources],
        "before": None if before is None else cursor_text(before),
        "pattern": wanted.pattern,
        "is_regex": wanted.is_regex,
        "count": wanted.count,
        "context": wanted.context,
        "seconds": seconds,
    }
    key = "\0".join(source.path for source in sources)
    async with _slots:
        answer = json.loads(await readers.run(_ask, f"search\0{key}", json.dumps(orders).encode()))
    if "error" in answer:
        raise Failed(f"the search has failed: {answer['error']}")
    found: dict[str, list[FoundLine]] = defaultdict(list)
    for match in map(_match, answer["matches"]):
        found[match.line.stream].append(match)
    return SearchResult(
        tuple(merge(*found.values(), key=lambda match: match.line.order, reverse=True)),
        None if answer["before"] is None else parse_cursor(answer["before"]),
        answer["searched"],
        answer["total"],
    )


def _ask(key: str, orders: bytes) -> bytes:
    """Start the process and wait for its answer; in a thread. Raises Failed."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            start_new_session=True,
        )
    except OSError as error:
        raise Failed(f"cannot start a search: {error.strerror}") from error
    try:
        answer, _ = process.communicate(orders, PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failed(
            "the search was ended: the disk does not answer, or the expression takes too long"
        ) from None
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        if process.returncode is None:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # a process may hang with its disk
                process.wait(1)
    if process.returncode:
        raise Failed(
            f"the search has ended with {process.returncode}: it needs memory, and the daemon's "
            f"user must be allowed to read {SCRIPT}"
        )
    return answer


def _described(source: LineSource) -> dict[str, object]:
    times = source.times
    described: dict[str, object] = {"stream": source.stream, "path": source.path, "marks": None}
    if isinstance(times, Marks):
        marks = [[one.begin, one.first, one.last] for one in times.stretches]
        return described | {"marks": marks, "written": times.written, "names": ""}
    names = times.names if isinstance(times, Stamps) else b""
    return described | {"names": names.decode()}


def _match(found: Mapping[str, Any]) -> FoundLine:
    return FoundLine(
        _line(found["line"]),
        tuple(map(_line, found["before"])),
        tuple(map(_line, found["after"])),
    )


def _line(found: Mapping[str, Any]) -> LoggedLine:
    return LoggedLine(
        found["stream"],
        found["data"].encode(errors="surrogateescape"),
        None if found["when"] is None else When(*found["when"]),
        found["order"],
        LogPlace.parse(found["start"]),
        LogPlace.parse(found["end"]),
        is_whole=found["is_whole"],
        stamp=found["stamp"],
    )
