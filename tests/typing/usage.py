"""What programs of users look like. Never run: mypy and pyright, both strict, must accept it."""

from __future__ import annotations

import re
import signal
from functools import partial
from pathlib import Path
from typing import assert_type

import trio

from trio_supervisor import (
    Autorestart,
    ChannelConfig,
    Config,
    ConfigError,
    Event,
    EventStream,
    Exit,
    Group,
    GroupConfig,
    GroupKind,
    InetServer,
    InternalError,
    OutputStream,
    Process,
    ProcessConfig,
    ProcessLog,
    ProcessState,
    ProcessStateExited,
    ProcessStateRunning,
    ProcessStateStopped,
    ProgramOptions,
    RejectEvent,
    RequestError,
    Result,
    ServerError,
    State,
    Supervisor,
    SupervisorError,
    UnixServer,
    load_config,
    open_supervisor,
    serve_http,
)
from trio_supervisor.testing import NotReady, Programs, SupervisedProgram, supervised_programs


async def poll(interval: float, *, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.sleep(interval)


async def from_nothing() -> None:
    async with open_supervisor() as supervisor:
        assert_type(supervisor, Supervisor)
        web = supervisor.add_program(
            "web",
            ["/usr/bin/web", "--port", "80"],
            autorestart=True,
            backoff=(0.5, 5, 60),
            directory=Path("/srv"),
            environment={"MODE": "production"},
            exitcodes=[0, 2],
            stopsignal=signal.SIGINT,
            stdout_logfile="/var/log/web.log",
        )
        assert_type(web, Process)
        task = supervisor.add_task("poller", partial(poll, 5.0), autorestart=Autorestart.UNEXPECTED)
        await task.wait_for(State.RUNNING, State.FATAL)
        if task.kind is GroupKind.TASK and task.state is State.FATAL:
            print(task.spawn_error, task.history.last_exit)
        with web.output("stderr") as output:
            assert_type(output, OutputStream)
            async for line in output.lines():
                assert_type(line, str)
        web.send_stdin(b"hello\n")
        web.signal(signal.SIGHUP)
        await web.restart()
        options: ProgramOptions = {"startsecs": 0, "autorestart": False}
        job = supervisor.add_program("job", "/bin/true", **options)
        ended = await job.wait()
        assert_type(ended, Exit)
        several = supervisor.add_programs(
            "workers",
            lambda number: ["/usr/bin/worker", str(8000 + number)],
            4,
            each=lambda number: {"environment": {"NUMBER": str(number)}},
            **options,
        )
        assert_type(several, Group)
        for worker in several:
            assert_type(worker, Process)
        pollers = supervisor.add_tasks("pollers", poll, 5.0, numprocs=3, autostart=False)
        await supervisor.start(pollers)
        results = [*await pollers.scale(5), *await supervisor.scale("workers", 0)]
        assert_type(results, list[Result])
        print(ended.code, job.history.automatic_restarts)
        await web.stop(wait=False)
        for result in await supervisor.start_all(supervisor.processes()):
            if result.error is not None:
                print(result.process.full_name, result.error.code)
        async with supervisor.events(ProcessState, overflow="block") as states:
            assert_type(states, EventStream[ProcessState])
        await supervisor.remove("web")
        await supervisor.shutdown(within=10)


async def from_files_and_values(path: Path) -> None:
    config: Config = load_config(str(path))
    process = ProcessConfig("b", "/bin/cat", stdout=ChannelConfig(logfile=None))
    try:
        async with (
            open_supervisor(path, log=lambda severity, text: print(severity.name, text)) as one,
            open_supervisor(config, stop_within=5) as other,
            one.events("PROCESS_STATE", buffer_size=10) as stream,
            trio.open_nursery() as nursery,
        ):
            group = other.add(GroupConfig("g", (process,)))
            assert_type(group, Group)
            await group.processes["b"].start()
            await nursery.start(serve_http, one, UnixServer("http", "/run/app.sock"))
            await nursery.start(serve_http, one, InetServer("http", "127.0.0.1", 9001))
            async for event in stream:
                assert_type(event, Event)
                print(event.name, event.payload(), stream.dropped)
            async with one.events(ProcessStateExited) as exits, one.events() as everything:
                exited = await anext(exits)
                assert_type(exited, ProcessStateExited)
                assert_type(exited.exit, Exit | None)
                assert_type(exited.expected, bool)
                assert_type(await anext(everything), Event)
            async with other.events(ProcessStateRunning, ProcessStateStopped) as states:
                async for state in states:
                    assert_type(state.pid, int)
                    assert_type(state.state, State)
            async with other.events(ProcessState, "PROCESS_LOG") as mixed:
                async for event in mixed:
                    if isinstance(event, ProcessState):
                        assert_type(event.process, str)
                        assert_type(event.from_state, State)
                    elif isinstance(event, ProcessLog):
                        assert_type(event.data, bytes)
    except (ConfigError, RequestError, ServerError, InternalError) as error:
        base: SupervisorError = error
        print(base)


def handle_result(event: Event, response: bytes) -> None:
    if response != b"OK":
        raise RejectEvent(event.payload())


def use_in_a_test() -> None:
    with supervised_programs() as programs:
        assert_type(programs, Programs)
        try:
            db = programs.start("db", ["db", "--port", "0"], ready="listening", startsecs=0)
            assert_type(db, SupervisedProgram)
            programs.start("web", "web", ready=re.compile("on port [0-9]+"), timeout=5)
            programs.start("cache", "cache", ready=11211)
            programs.start("other", "other", ready=lambda: Path("other.pid").exists())
            mark = db.mark()
            db.signal(signal.SIGHUP)
            line: str = db.wait_for_line("reloaded", since=mark, timeout=5)
        except NotReady as error:
            print(error)
        else:
            print(line, db.lines, db.pid, db.state, programs["db"].wait(timeout=1))
