"""Routes for logs: the end of a log, and a log as it grows, as unchanged bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from trio_supervisor.core.errors import Failed, NoFile
from trio_supervisor.runtime.logs.logread import ANSWER_LIMIT
from trio_supervisor.runtime.logs.rotated import Position
from trio_supervisor.runtime.output.log_source import (
    ACTIVITY_LOG,
    CHANNELS,
    LINES,
    STDERR,
    EndOfLog,
    LogAddress,
    LogSource,
    find_log,
)
from trio_supervisor.runtime.rpc.logs import clear_main_log
from trio_supervisor.web.api.error import Problem, problem_of
from trio_supervisor.web.api.processes import DONE, PROCESS_NAME
from trio_supervisor.web.api.route import CHANGE, READ, ROOT, Field, Route
from trio_supervisor.web.api.schema import TEXT
from trio_supervisor.web.logtail import POSITION, text_stream
from trio_supervisor.web.message import NO_STORE, PLAIN, SECURITY, Response

if TYPE_CHECKING:
    from trio_supervisor.web.api.route import ApiRequest

#: Most lines that are sent.
MOST_LINES = 100_000
#: Ten years.
MOST_SECONDS = 10 * 366 * 86400
#: Hint for a process without a log.
TIMES_HEADER = "X-Log-Times"
HINT = "the member last_output of the process has the end of what it wrote"

CHANNEL = Field("channel", "string", "which output", choices=CHANNELS)
END = (
    Field(
        "lines",
        "integer",
        f"number of lines from the end, including rotated files; default: {LINES}",
        default=None,
        minimum=0,
        maximum=MOST_LINES,
    ),
    Field(
        "bytes",
        "integer",
        "number of bytes from the end; together with lines: the maximum",
        default=None,
        minimum=0,
        maximum=ANSWER_LIMIT,
    ),
)


SINCE = Field(
    "since",
    "integer",
    "output of this many past seconds, as far as the supervisor was running then, and up to an "
    "eighth more",
    default=None,
    minimum=0,
    maximum=MOST_SECONDS,
)
TIMES = Field(
    "times",
    "boolean",
    f"send the header {TIMES_HEADER}: the number of bytes that were there already, and for "
    "stretches of them the offset and the time of their last byte in seconds since the epoch, "
    "as in 90;0:1795709123.172,40:1795709124.006",
    default=False,
)
AFTER = Field(
    "after",
    "string",
    "position at which to resume an interrupted stream of this log: the last part of its header "
    f"{POSITION}, plus the number of bytes received; works across rotation and restarts, and sends "
    "the whole file if the position no longer exists",
    default=None,
    pattern="[0-9]{1,10}-[0-9]{1,20}-[0-9]{1,18}",
)


def _process_log(request: ApiRequest) -> LogSource:
    """Return the log of a request. Raises BadName or Problem."""
    process = request.supervisor.process(request.text("name"))
    address = LogAddress(process.full_name, request.text("channel"))
    if address.channel == STDERR and process.config.redirect_stderr:
        raise _missing(f"{process.full_name} has no log of its stderr: it goes to stdout")
    return find_log(request.supervisor, address)


def _main_log(request: ApiRequest) -> LogSource:
    source = find_log(request.supervisor, ACTIVITY_LOG)
    if source.path is None:
        raise _missing("the supervisor has no log file", "look where its output goes")
    return source


def _missing(message: str, hint: str = HINT) -> Problem:
    return Problem(404, message, hint=hint, fault=NoFile.code)


def _wanted(request: ApiRequest) -> EndOfLog:
    seconds = request.number("since") if "since" in request.fields else None
    return EndOfLog(request.number("lines"), request.number("bytes"), seconds)


async def _end(log: LogSource, request: ApiRequest) -> object:
    data = await log.end(_wanted(request))
    times = _times(log, request, len(data))
    return Response(200, data, PLAIN, (*NO_STORE, *SECURITY, *times))


async def _follow(log: LogSource, request: ApiRequest) -> object:
    after = request.fields["after"]
    position = None if after is None else Position.parse(str(after))
    stream = await log.follow_end(_wanted(request), position)
    times = _times(log, request, stream.backlog)
    return text_stream(stream, resumable=True, headers=times)


def _times(log: LogSource, request: ApiRequest, size: int) -> tuple[tuple[str, str], ...]:
    """Return the header that tells when the first bytes of an answer were written."""
    if not request.fields.get("times"):
        return ()
    marks = ",".join(f"{offset}:{time:.3f}" for offset, time in log.times_of_last(size))
    return ((TIMES_HEADER, f"{size};{marks}"),)


def _with(
    find: Callable[[ApiRequest], LogSource],
    use: Callable[[LogSource, ApiRequest], Awaitable[object]],
) -> Callable[[ApiRequest], Awaitable[object]]:
    async def run(request: ApiRequest) -> object:
        log = find(request)
        try:
            return await use(log, request)
        except NoFile as error:
            raise _missing(f"there is no file {error.detail} yet") from error
        except Failed as error:
            raise problem_of(error, HINT) from error

    return run


async def clear(request: ApiRequest) -> object:
    await clear_main_log(request.supervisor)
    return {"done": True}


def _log(
    path: str,
    run: Callable[[ApiRequest], Awaitable[object]],
    summary: str,
    *query: Field,
    of: tuple[Field, ...] = (),
) -> Route:
    return Route(
        READ,
        path,
        run,
        summary,
        TEXT,
        PLAIN,
        parameters=of,
        query=(*END, *query),
        failures=(404, 409),
    )


_GROWING = ", followed as it grows"
_OF_PROCESS = f"{ROOT}/processes/{{name}}/logs/{{channel}}"
_WHICH = (PROCESS_NAME, CHANNEL)
_MAIN = f"{ROOT}/daemon/log"
ROUTES = (
    _log(_OF_PROCESS, _with(_process_log, _end), "The end of a log", SINCE, TIMES, of=_WHICH),
    _log(
        f"{_OF_PROCESS}/follow",
        _with(_process_log, _follow),
        f"The end of a log{_GROWING}",
        SINCE,
        TIMES,
        AFTER,
        of=_WHICH,
    ),
    _log(_MAIN, _with(_main_log, _end), "The end of the activity log"),
    _log(
        f"{_MAIN}/follow",
        _with(_main_log, _follow),
        f"The end of the activity log{_GROWING}",
        AFTER,
    ),
    Route(CHANGE, f"{_MAIN}/clear", clear, "Empty the activity log", DONE, failures=(409,)),
)
