"""Routes for logs as lines: both outputs of a process in one order, and searched."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from trio_supervisor.core.errors import Failed
from trio_supervisor.core.logs.place import CURSOR, cursor_text, parse_cursor
from trio_supervisor.runtime.logs.search import CONTEXT, Wanted, search
from trio_supervisor.runtime.output.log_lines import LogLines, first_place, line_sources
from trio_supervisor.runtime.output.log_source import CHANNELS
from trio_supervisor.web.api.error import malformed, problem_of
from trio_supervisor.web.api.processes import PROCESS_NAME
from trio_supervisor.web.api.route import READ, ROOT, Field, Route
from trio_supervisor.web.api.schema import ref

if TYPE_CHECKING:
    from trio_supervisor.core.logs.lines import LoggedLine
    from trio_supervisor.runtime.logs.search import FoundLine
    from trio_supervisor.runtime.output.log_lines import Cursor, LinePage, LineSource
    from trio_supervisor.web.api.route import ApiRequest

#: Lines of an answer: the default, and the most.
LINES, MOST_LINES = 100, 2000
#: Matches of an answer, and lines around each, at most.
MATCHES, MOST_MATCHES, MOST_CONTEXT = 50, 500, 20
HINT = "a log can be read if it is a regular file on a disk that answers"
#: Stands for the beginning of the logs.
BEGINNING = "start"
BOTH = "both"

OUTPUT = Field(
    "output",
    "string",
    "which output; both: their lines in the order of their times",
    default=BOTH,
    choices=(*CHANNELS, BOTH),
)
PLACES = (
    Field(
        "lines",
        "integer",
        f"number of lines; an answer of 256 KiB has fewer; default: {LINES}",
        default=LINES,
        minimum=1,
        maximum=MOST_LINES,
    ),
    Field(
        "before",
        "string",
        "a place: send the lines before it; without a place the last lines are sent",
        default=None,
        pattern=CURSOR,
    ),
    Field(
        "around",
        "string",
        "a place: send lines before and after it, such as those around a match",
        default=None,
        pattern=CURSOR,
    ),
    Field(
        "after",
        "string",
        "a place: send the lines after it; start means the oldest line that is kept",
        default=None,
        pattern=f"{CURSOR}|{BEGINNING}",
    ),
)
SEARCH = (
    Field(
        "pattern",
        "string",
        "a text, whatever the case of its letters, or an expression",
        pattern=r"[\s\S]+",
    ),
    Field(
        "regex",
        "boolean",
        "whether the pattern is a regular expression of Python; one that may take very long is "
        "refused",
        default=False,
    ),
    Field(
        "matches",
        "integer",
        "number of matches after which the answer is sent",
        default=MATCHES,
        minimum=1,
        maximum=MOST_MATCHES,
    ),
    Field(
        "context",
        "integer",
        "lines around each match, of the same output",
        default=CONTEXT,
        minimum=0,
        maximum=MOST_CONTEXT,
    ),
    Field(
        "before",
        "string",
        "a place: search what is older; without it the newest lines are searched first",
        default=None,
        pattern=CURSOR,
    ),
)


def _sources(request: ApiRequest) -> tuple[LineSource, ...]:
    name = request.fields.get("name")
    output = request.fields.get("output", BOTH)
    streams = CHANNELS if output == BOTH else (str(output),)
    return line_sources(request.supervisor, None if name is None else str(name), streams)


def _place(request: ApiRequest, name: str) -> Cursor | None:
    text = request.fields[name]
    return None if text is None else parse_cursor(str(text))


async def _lines(request: ApiRequest) -> object:
    sources = _sources(request)
    logs = LogLines(sources)
    count = request.number("lines") or LINES
    if sum(request.fields[name] is not None for name in ("before", "around", "after")) > 1:
        raise malformed("before, around and after exclude each other", "send one of them")
    before, around = _place(request, "before"), _place(request, "around")
    if around is not None:
        return _shown_page(await logs.around(around, count))
    if request.fields["after"] is not None:
        start = request.fields["after"] == BEGINNING
        after = first_place(sources) if start else _place(request, "after")
        return _shown_page(await logs.after(after or {}, count))
    return _shown_page(await (logs.last(count) if before is None else logs.before(before, count)))


async def _search(request: ApiRequest) -> object:
    try:
        wanted = Wanted(
            request.text("pattern"),
            is_regex=request.flag("regex"),
            count=request.number("matches") or MATCHES,
            context=request.number("context") or 0,
        )
    except ValueError as error:
        message, hint = error.args
        raise malformed(message, hint) from error
    result = await search(_sources(request), wanted, _place(request, "before"))
    return {
        "matches": [_shown_match(match) for match in result.matches],
        "before": None if result.before is None else cursor_text(result.before),
        "searched": result.searched,
        "total": result.total,
    }


def _shown_page(page: LinePage) -> dict[str, object]:
    return {
        "lines": [_shown(line) for line in page.lines],
        "before": cursor_text(page.start),
        "after": cursor_text(page.end),
        "first": page.is_first,
        "last": page.is_last,
        "gone": page.is_gone,
    }


def _shown_match(match: FoundLine) -> dict[str, object]:
    return {
        "line": _shown(match.line),
        "before": [_shown(line) for line in match.before],
        "after": [_shown(line) for line in match.after],
    }


def _shown(line: LoggedLine) -> dict[str, object]:
    when = line.when
    earliest = None if when is None or math.isinf(when.earliest) else when.earliest
    return {
        "output": line.stream,
        "time": None if when is None else when.latest,
        "earliest": earliest,
        "line": line.data.removesuffix(b"\r").decode(errors="backslashreplace"),
        "whole": line.is_whole,
        "place": cursor_text({line.stream: line.start}),
    }


def _kept(run: Callable[[ApiRequest], Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    async def answer(request: ApiRequest) -> object:
        try:
            return await run(request)
        except Failed as error:
            raise problem_of(error, HINT) from error

    return answer


def _routes(path: str, what: str, of: tuple[Field, ...], query: tuple[Field, ...]) -> list[Route]:
    return [
        Route(
            READ,
            path,
            _kept(_lines),
            f"Lines of {what}, with times, from any place",
            ref("Lines"),
            parameters=of,
            query=(*query, *PLACES),
            failures=(404, 409) if of else (409,),
        ),
        Route(
            READ,
            f"{path}/search",
            _kept(_search),
            f"Search {what}, rotated and compressed files too, for a few seconds",
            ref("Found"),
            parameters=of,
            query=(*query, *SEARCH),
            failures=(404, 409) if of else (409,),
        ),
    ]


ROUTES = (
    *_routes(
        f"{ROOT}/processes/{{name}}/lines",
        "the logs of a process",
        (PROCESS_NAME,),
        (OUTPUT,),
    ),
    *_routes(f"{ROOT}/daemon/lines", "the activity log", (), ()),
)
