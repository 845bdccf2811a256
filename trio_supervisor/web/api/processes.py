"""Routes for actions on one process, on those of a group, or on all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import GroupKind
from trio_supervisor.core.errors import (
    AbnormalTermination,
    Failed,
    RequestError,
    SpawnFailed,
)
from trio_supervisor.runtime.groups.operations import running
from trio_supervisor.runtime.inspect.dependencies import dependency_graph
from trio_supervisor.runtime.inspect.describe import details, last_output, reason
from trio_supervisor.runtime.inspect.info import by_name
from trio_supervisor.runtime.rpc.control import signal_number
from trio_supervisor.runtime.rpc.logs import clear_logs, clear_logs_of
from trio_supervisor.web.api.error import problem_of
from trio_supervisor.web.api.route import CHANGE, READ, ROOT, Field, Route
from trio_supervisor.web.api.schema import array, ref

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from trio_supervisor.runtime.process.process import Process, Result
    from trio_supervisor.web.api.route import ApiRequest, Schema

    Several = Callable[[ApiRequest, list[Process]], Awaitable[object]]

#: Most characters of the last line of output that an error quotes.
QUOTED = 200

PROCESS = ref("Process")
RESULTS = array(ref("Result"))
DONE = ref("Done")

PROCESS_NAME = Field("name", "string", "full name of the process: group:name, or name")
GROUP_NAME = Field("name", "string", "name of the group")
WAIT = Field(
    "wait",
    "boolean",
    "answer when the outcome is known; false: when it has begun",
    default=True,
)
NO_DEPS = Field(
    "no_deps",
    "boolean",
    "neither wait for what it depends on nor start that",
    default=False,
)
DATA = Field("data", "string", "text to send, encoded as UTF-8")
_SIGNALS = (
    *("ABRT", "ALRM", "BUS", "CHLD", "CONT", "FPE", "HUP", "ILL"),
    *("INT", "IO", "KILL", "PIPE", "PROF", "PWR", "QUIT", "SEGV"),
    *("STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG"),
    *("USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ"),
)


def _any_case(*words: str) -> str:
    """Return a pattern of words in any case, for which JSON Schema has no flag."""
    spelled = ("".join(f"[{c}{c.lower()}]" if c.isalpha() else c for c in word) for word in words)
    return f"({'|'.join(spelled)})"


SIGNAL = Field(
    "signal",
    "string",
    "a name such as HUP, SIGHUP or RTMIN+3, or a number in quotes",
    # Those of Linux on every machine; the kernel and libc keep 32 and 33 for themselves.
    pattern=(
        f"{_any_case('SIG')}?{_any_case(*_SIGNALS)}|"
        f"{_any_case('SIG')}?{_any_case('RT')}({_any_case('MIN')}([+]0?[0-9]|[+][12][0-9]|[+]30)?|"
        f"{_any_case('MAX')}(-0?[0-9]|-[12][0-9]|-30)?)|"
        "[0-9]|[12][0-9]|3[014-9]|[45][0-9]|6[0-4]"
    ),
)


async def all_details(request: ApiRequest) -> object:
    return await details(request.supervisor, by_name(request.supervisor))


async def one_details(request: ApiRequest) -> object:
    return await _shown(request, _process(request))


async def graph(request: ApiRequest) -> object:
    return dependency_graph(request.supervisor)


async def start(request: ApiRequest) -> object:
    process = _process(request)
    alone, wait = request.flag("no_deps"), request.flag("wait")
    begin = process.start_without_dependencies if alone else process.start_once
    await _started(process, begin(wait=wait))
    return await _shown(request, process)


async def stop(request: ApiRequest) -> object:
    process = _process(request)
    await process.stop(wait=request.flag("wait"))
    return await _shown(request, process)


async def restart(request: ApiRequest) -> object:
    """Restart a process; start it if it does not run."""
    process = _process(request)
    await _started(
        process, process.restart_once(wait=request.flag("wait"), check=request.require_client)
    )
    return await _shown(request, process)


async def send_signal(request: ApiRequest) -> object:
    process = _process(request)
    process.signal(signal_number(request.text("signal")))
    return await _shown(request, process)


async def refresh(request: ApiRequest) -> object:
    """Let a process take up what has changed, without a restart."""
    process = _process(request)
    await process.refresh()
    return await _shown(request, process)


async def send_stdin(request: ApiRequest) -> object:
    process = _process(request)
    if process.kind is GroupKind.POOL:
        raise Failed("the stdin of an event listener belongs to the event protocol")
    process.send_stdin(request.text("data").encode(errors="replace"))
    return {"done": True}


async def clear(request: ApiRequest) -> object:
    await clear_logs(_process(request))
    return {"done": True}


async def start_several(request: ApiRequest, processes: list[Process]) -> object:
    return _results(await request.supervisor.start_once(processes, wait=request.flag("wait")))


async def stop_several(request: ApiRequest, processes: list[Process]) -> object:
    return _results(await request.supervisor.stop(processes, wait=request.flag("wait")))


async def restart_several(request: ApiRequest, processes: list[Process]) -> object:
    """Restart processes; start those that do not run."""
    return _results(
        await request.supervisor.restart_once(
            processes, wait=request.flag("wait"), check=request.require_client
        )
    )


async def signal_several(request: ApiRequest, processes: list[Process]) -> object:
    return _results(request.supervisor.signal(processes, signal_number(request.text("signal"))))


async def refresh_several(request: ApiRequest, processes: list[Process]) -> object:
    return _results(await request.supervisor.refresh(running(processes)))


async def clear_several(request: ApiRequest, processes: list[Process]) -> object:
    errors = await clear_logs_of(processes)
    return [_result(process, error) for process, error in zip(processes, errors, strict=True)]


def _of_group(act: Several) -> Callable[[ApiRequest], Awaitable[object]]:
    async def run(request: ApiRequest) -> object:
        group = request.supervisor.group(request.text("name"))
        return await act(request, list(group.processes.values()))

    return run


def _of_all(act: Several) -> Callable[[ApiRequest], Awaitable[object]]:
    async def run(request: ApiRequest) -> object:
        return await act(request, request.supervisor.processes())

    return run


def _process(request: ApiRequest) -> Process:
    return request.supervisor.process(request.text("name"))


async def _started(process: Process, start: Awaitable[None]) -> None:
    """Await a start. Raises Problem for a failed one, with the reason and the last output."""
    try:
        await start
    except (AbnormalTermination, SpawnFailed) as error:
        raise problem_of(error, _why(process)) from error


def _why(process: Process) -> str:
    """Return the reason of a failed start and the last line of output."""
    lines = last_output(process).split("\n")
    last_line = next((line for line in reversed(lines) if line.strip()), "")[-QUOTED:]
    return f"{reason(process)}; it wrote last: {last_line}" if last_line else reason(process)


async def _shown(request: ApiRequest, process: Process) -> object:
    (shown,) = await details(request.supervisor, [process])
    return shown


def _results(outcomes: Iterable[Result]) -> list[object]:
    return [_result(outcome.process, outcome.error) for outcome in outcomes]


def _result(process: Process, error: RequestError | None) -> object:
    return {
        "name": process.name,
        "group": process.group,
        "full_name": process.full_name,
        "statename": process.state.name,
        "error": None if error is None else problem_of(error, _hint(process, error)).object,
    }


def _hint(process: Process, error: RequestError) -> str:
    return _why(process) if isinstance(error, (AbnormalTermination, SpawnFailed)) else ""


def _on_process(
    action: str,
    run: Callable[[ApiRequest], Awaitable[object]],
    summary: str,
    body: tuple[Field, ...] = (),
    answer: Schema = PROCESS,
) -> Route:
    return Route(
        CHANGE,
        f"{ROOT}/processes/{{name}}/{action}",
        run,
        summary,
        answer,
        parameters=(PROCESS_NAME,),
        body=body,
        failures=(404, 409),
    )


def _on_several(
    action: str, act: Several, summary: str, body: tuple[Field, ...] = ()
) -> tuple[Route, ...]:
    return (
        Route(
            CHANGE,
            f"{ROOT}/groups/{{name}}/{action}",
            _of_group(act),
            f"{summary}, in a group",
            RESULTS,
            parameters=(GROUP_NAME,),
            body=body,
            failures=(404,),
        ),
        Route(CHANGE, f"{ROOT}/all/{action}", _of_all(act), summary, RESULTS, body=body),
    )


ROUTES = (
    Route(READ, f"{ROOT}/processes", all_details, "All processes, sorted by name", array(PROCESS)),
    Route(
        READ,
        f"{ROOT}/processes/{{name}}",
        one_details,
        "One process",
        PROCESS,
        parameters=(PROCESS_NAME,),
        failures=(404,),
    ),
    Route(
        READ,
        f"{ROOT}/graph",
        graph,
        "Which processes depend on which others, and what is met",
        ref("Graph"),
    ),
    _on_process("start", start, "Start a process", (WAIT, NO_DEPS)),
    _on_process("stop", stop, "Stop a process", (WAIT,)),
    _on_process("restart", restart, "Stop a process if it is running, then start it", (WAIT,)),
    _on_process("signal", send_signal, "Send a signal to a process", (SIGNAL,)),
    _on_process("refresh", refresh, "Send its refresh_signal, or run its refresh_command"),
    _on_process("stdin", send_stdin, "Write text to the stdin of a process", (DATA,), DONE),
    _on_process("logs/clear", clear, "Clear the logs of a process", (), DONE),
    *_on_several("start", start_several, "Start every process that is not running", (WAIT,)),
    *_on_several("stop", stop_several, "Stop every running process", (WAIT,)),
    *_on_several(
        "restart", restart_several, "Stop every running process, then start all processes", (WAIT,)
    ),
    *_on_several("signal", signal_several, "Send a signal to every running process", (SIGNAL,)),
    *_on_several(
        "refresh", refresh_several, "Refresh every RUNNING process by its signal or command"
    ),
    *_on_several("logs/clear", clear_several, "Clear the logs of every process"),
)
