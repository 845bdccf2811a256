"""Logs by the API: the end of one, and one as it grows. Bytes as they are, read in threads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import Failed, NoFile
from trio_supervisor.runtime.logread import ANSWER_LIMIT, last_bytes, last_lines
from trio_supervisor.runtime.rpc_logs import clear_main_log, readers
from trio_supervisor.web.api_error import Problem, problem_of
from trio_supervisor.web.api_processes import DONE, PROCESS_NAME
from trio_supervisor.web.api_route import CHANGE, READ, ROOT, Field, Route
from trio_supervisor.web.api_schema import TEXT
from trio_supervisor.web.message import PLAIN, SECURITY, Response
from trio_supervisor.web.tails import following

if TYPE_CHECKING:
    from trio_supervisor.web.api_route import Call

#: Lines that are sent unless something else is asked for, and at most.
LINES = 100
MOST_LINES = 100_000
#: What to look at when there is no log.
HINT = "the member last_output of the process has the end of what it wrote"

CHANNEL = Field("channel", "string", "which output", choices=("stdout", "stderr"))
END = (
    Field(
        "lines",
        "integer",
        f"how many of the last lines; {LINES} unless bytes are asked for",
        default=None,
        minimum=0,
        maximum=MOST_LINES,
    ),
    Field(
        "bytes",
        "integer",
        "how many of the last bytes; with lines: at most",
        default=None,
        minimum=0,
        maximum=ANSWER_LIMIT,
    ),
)


def _process_log(call: Call) -> str:
    """Path of the log that is meant. Raises BadName or Problem."""
    process = call.supervisor.process(call.text("name"))
    channel = {"stdout": process.stdout, "stderr": process.stderr}[call.text("channel")]
    if channel.logfile is None:
        where = "it goes to stdout" if process.config.redirect_stderr else "none is configured"
        raise _missing(f"{process.full_name} has no log of its {channel.name}: {where}")
    return channel.logfile


def _main_log(call: Call) -> str:
    activity = call.supervisor.activity
    if activity is None or activity.path is None:
        raise _missing("the supervisor has no log file", "look where its output goes")
    return activity.path


def _missing(message: str, hint: str = HINT) -> Problem:
    return Problem(404, message, hint=hint, fault=NoFile.code)


async def _end(call: Call, path: str) -> bytes:
    lines, size = call.number("lines"), call.number("bytes")
    if lines is None and size is not None:
        return await trio.to_thread.run_sync(last_bytes, path, size, limiter=readers)
    wanted = LINES if lines is None else lines
    found = await trio.to_thread.run_sync(last_lines, path, wanted, limiter=readers)
    return found if size is None else found[max(0, len(found) - size) :]


def _reading(find: Callable[[Call], str]) -> Callable[[Call], Awaitable[object]]:
    async def run(call: Call) -> object:
        path = find(call)
        try:
            return Response(200, await _end(call, path), PLAIN, SECURITY)
        except NoFile as error:
            raise _missing(f"there is no file {path} yet") from error
        except Failed as error:
            raise problem_of(error, HINT) from error

    return run


def _following(find: Callable[[Call], str]) -> Callable[[Call], Awaitable[object]]:
    async def run(call: Call) -> object:
        path = find(call)
        try:
            return following(path, len(await _end(call, path)))
        except NoFile as error:
            raise _missing(f"there is no file {path} yet") from error
        except Failed as error:
            raise problem_of(error, HINT) from error

    return run


async def clear(call: Call) -> object:
    await clear_main_log(call.supervisor)
    return {"done": True}


def _log(path: str, run: Callable[[Call], Awaitable[object]], summary: str, *of: Field) -> Route:
    return Route(
        READ, path, run, summary, TEXT, PLAIN, parameters=of, query=END, failures=(404, 409)
    )


_OF_PROCESS = f"{ROOT}/processes/{{name}}/logs/{{channel}}"
_MAIN = f"{ROOT}/daemon/log"
ROUTES = (
    _log(_OF_PROCESS, _reading(_process_log), "The end of a log", PROCESS_NAME, CHANNEL),
    _log(
        f"{_OF_PROCESS}/follow",
        _following(_process_log),
        "The end of a log, then what is added to it, without end",
        PROCESS_NAME,
        CHANNEL,
    ),
    _log(_MAIN, _reading(_main_log), "The end of the activity log"),
    _log(
        f"{_MAIN}/follow",
        _following(_main_log),
        "The end of the activity log, then what is added to it, without end",
    ),
    Route(CHANGE, f"{_MAIN}/clear", clear, "Empty the activity log", DONE, failures=(409,)),
)
