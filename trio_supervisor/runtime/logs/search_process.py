"""Searches logs, in a process of its own: run as a script by ``search.py``.

The matching of an expression cannot be interrupted in a thread, and no other thread runs meanwhile.
A process can be killed, and the memory that it takes goes with it. It reads its orders as JSON from
stdin and writes what it has found to stdout.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from heapq import merge

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__)))))

from trio_supervisor.core.errors import NoFile, RequestError
from trio_supervisor.core.logs.lines import spans_before
from trio_supervisor.core.logs.match import Matcher, matcher
from trio_supervisor.core.logs.place import LogPlace, cursor_text, parse_cursor
from trio_supervisor.core.logs.times import Marks, Stamps, Stretch
from trio_supervisor.runtime.logs.history import (
    LogBlock,
    PlaceGone,
    end_of,
    lines_of,
    read_before,
    size_of,
)

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from trio_supervisor.core.logs.lines import LoggedLine
    from trio_supervisor.core.logs.times import Times

#: Bytes of a log that are searched at once. A compressed file is unpacked up to them each time.
WINDOW = 16 * 1024 * 1024
#: Bytes of a line that are shown, and how many of them before the match.
SHOWN, SHOWN_BEFORE = 4096, 1024
#: Bytes of all lines of an answer.
MOST_SHOWN = 1024 * 1024
#: Seconds and bytes of memory after which the kernel ends this process.
LIFETIME, MEMORY = 30, 1024 * 1024 * 1024
NICE = 10


class _Log:
    """One log, searched from a place to its beginning."""

    def __init__(self, source: Mapping[str, Any], place: LogPlace | None) -> None:
        self.stream: str = source["stream"]
        self.path: str = source["path"]
        self.place = place
        """None means that all was searched."""
        self.order = float("inf")
        """That of the oldest line that was searched."""
        self.found: list[dict[str, Any]] = []
        """The lines that match, the newest first."""
        self._times: Times = Stamps(source["names"].encode())
        if source["marks"] is not None:
            stretches = tuple(Stretch(*one) for one in source["marks"])
            self._times = Marks(stretches, source["written"])

    def search(self, wanted: Matcher, count: int, context: int) -> None:
        """Search the next window, for at most so many lines that match in all."""
        assert self.place is not None
        try:
            block = read_before(self.path, self.place, WINDOW)
        except (NoFile, PlaceGone):
            self.place = None
            return
        spans = spans_before(block.data, at_start=block.is_first)
        oldest = 0
        for number in range(len(spans) - 1, -1, -1) if wanted.may_be_in(block.data) else ():
            start, end = spans[number]
            at = wanted.find(block.data[start:end])
            if at >= 0:
                self.found.append(self._match(block, spans, number, at, context))
                if len(self.found) >= count:
                    oldest = number
                    break
        is_all = block.is_first and not oldest
        if spans:
            line = self._line(block, spans[oldest])
            self.order = line.order
            self.place = line.start
        if is_all or not spans:
            self.place = None

    def _match(
        self,
        block: LogBlock,
        spans: Sequence[tuple[int, int]],
        number: int,
        at: int,
        context: int,
    ) -> dict[str, object]:
        first = max(0, number - context)
        return {
            "line": _shown(self._line(block, spans[number]), at),
            "before": [_shown(self._line(block, one)) for one in spans[first:number]],
            "after": [
                _shown(self._line(block, one)) for one in spans[number + 1 : number + 1 + context]
            ],
        }

    def _line(self, block: LogBlock, span: tuple[int, int]) -> LoggedLine:
        return lines_of(block, [span], self.stream, self._times, self.order)[0]


def _shown(line: LoggedLine, at: int = 0) -> dict[str, object]:
    start = max(0, at - SHOWN_BEFORE) if at > SHOWN - SHOWN_BEFORE else 0
    when = line.when
    return {
        "stream": line.stream,
        "data": line.data[start : start + SHOWN].decode(errors="surrogateescape"),
        "when": when and [when.earliest, when.latest, when.order],
        "order": line.order,
        "start": str(line.start),
        "end": str(line.end),
        "is_whole": line.is_whole and len(line.data) <= SHOWN,
        "stamp": 0 if start else line.stamp,
    }


def search(orders: Mapping[str, Any]) -> dict[str, object]:
    """Search for so many seconds, or until enough is found."""
    deadline = time.monotonic() + orders["seconds"]
    wanted = matcher(orders["pattern"], is_regex=orders["is_regex"])
    cursor = parse_cursor(orders["before"]) if orders["before"] else None
    logs = []
    for source in orders["sources"]:
        place = end_of(source["path"]) if cursor is None else cursor.get(source["stream"])
        logs.append(_Log(source, place))
    count = orders["count"]
    while left := [log for log in logs if log.place is not None]:
        newest = max(left, key=_order)
        # What is not searched yet is older than all that will be sent.
        known = sorted((_line_order(one) for log in logs for one in log.found), reverse=True)
        if len(known) >= count and known[count - 1] >= newest.order:
            break
        newest.search(wanted, count, orders["context"])
        if time.monotonic() >= deadline:
            break
    found = _newest(logs, count)
    total = sum(_size(log.path, None) for log in logs)
    ahead = sum(_size(log.path, log.place) for log in logs if log.place is not None)
    places = {log.stream: log.place for log in logs}
    return {
        "matches": found,
        "before": cursor_text(places) if any(places.values()) else None,
        "searched": max(0, total - ahead),
        "total": total,
    }


def _newest(logs: Sequence[_Log], count: int) -> list[dict[str, Any]]:
    """Return the newest lines that were found; the search goes on before them."""
    chosen: list[dict[str, Any]] = []
    shown = 0
    for one in merge(*(log.found for log in logs), key=_line_order, reverse=True):
        shown += len(json.dumps(one))
        if chosen and (len(chosen) == count or shown > MOST_SHOWN):
            break
        chosen.append(one)
    for log in logs:
        sent = sum(one["line"]["stream"] == log.stream for one in chosen)
        if sent < len(log.found):
            log.place = LogPlace.parse(log.found[sent]["line"]["end"])
    return chosen


def _order(log: _Log) -> float:
    return log.order


def _line_order(found: Mapping[str, Any]) -> float:
    return float(found["line"]["order"])


def _size(path: str, place: LogPlace | None) -> int:
    try:
        return size_of(path, place)
    except (NoFile, PlaceGone):
        return 0


def main() -> None:
    """Take orders and answer them."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, LIFETIME)
    with suppress(OSError):
        os.nice(NICE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answer: dict[str, object]
    try:
        answer = search(json.load(sys.stdin))
    except RequestError as error:
        answer = {"error": error.detail}
    except Exception as error:
        answer = {"error": str(error) or type(error).__name__}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
