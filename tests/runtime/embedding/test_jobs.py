"""Programs that are run to their end, and the streams of stdin and output; real programs."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_supervisor import (
    BadName,
    Completed,
    ConfigError,
    NoFile,
    NotExecutable,
    NotRunning,
    ProcessFailed,
    SpawnFailed,
    State,
    StreamOverflow,
    Supervisor,
    open_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Callable

UPPER = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.stderr.write('done')"
#: Writes as many lines as its argument says.
WRITER = "import sys\nfor n in range(int(sys.argv[1])): print(n, 'x' * 1000)"


async def test_a_job_has_input_and_output() -> None:
    async with open_supervisor() as supervisor:
        done = await supervisor.run_job([sys.executable, "-c", UPPER], input=b"hello\n" * 50_000)
        assert done == Completed(0, stdout=b"HELLO\n" * 50_000, stderr=b"done")
        assert supervisor.processes() == []
        empty = await supervisor.run_job("/bin/cat")  # its stdin has an end
        assert (empty.code, empty.stdout) == (0, b"")
        unread = await supervisor.run_job("/bin/true", input=b"x" * 1_000_000)
        assert unread.code == 0


async def test_jobs_run_side_by_side_and_have_names() -> None:
    async with open_supervisor() as supervisor:

        async def run(number: int) -> None:
            done = await supervisor.run_job(["/bin/echo", str(number)], name=f"job{number}")
            assert done.stdout == b"%d\n" % number

        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(run, number)


async def test_a_job_that_fails() -> None:
    script = "echo one; echo two >&2; exit 4"
    async with open_supervisor() as supervisor:
        with pytest.raises(ProcessFailed, match="exit status 4") as caught:
            await supervisor.run_job(["/bin/sh", "-c", script], name="x")
        assert (caught.value.process, caught.value.code, caught.value.tail) == ("x", 4, "two\n")
        done = await supervisor.run_job(["/bin/sh", "-c", script], check=False)
        assert (done.code, done.stdout, done.stderr) == (4, b"one\n", b"two\n")
        assert (await supervisor.run_job(["/bin/sh", "-c", script], exitcodes=[4])).code == 4
        with pytest.raises(NoFile):
            await supervisor.run_job("/no/such/file")
        with pytest.raises(SpawnFailed, match="couldn't chdir to /no"):
            await supervisor.run_job("/bin/true", directory="/no")
        with pytest.raises(ConfigError, match="the command must be text, or a sequence of texts"):
            await supervisor.run_job([])
        with pytest.raises(NotExecutable, match="can't parse command"):
            await supervisor.run_job("'")
        wrong: Any = {"startsecs": 3}
        with pytest.raises(ConfigError, match="a job is run once and has no startsecs"):
            await supervisor.run_job("/bin/true", **wrong)
        assert supervisor.processes() == []


async def test_wrong_arguments_start_no_job() -> None:
    run: Any
    async with open_supervisor() as supervisor:
        run, before = supervisor.run_job, supervisor.journal.number
        with pytest.raises(TypeError, match="input of a job is bytes, not text"):
            await run("/bin/cat", input="text")
        for seconds in (-1, float("nan")):
            with pytest.raises(ValueError, match=f"number of seconds from 0, not {seconds}"):
                await run("/bin/cat", timeout=seconds)
        assert supervisor.journal.number == before
        cat: Any = supervisor.add_program("cat", "/bin/cat", startsecs=0)
        await cat.wait_for(State.RUNNING)
        with pytest.raises(TypeError, match="sent bytes, not text"):
            cat.send_stdin("hello")


async def test_a_job_that_takes_too_long_or_is_cancelled_is_stopped() -> None:
    async with open_supervisor() as supervisor:
        with pytest.raises(ProcessFailed, match=r"not done within 0\.1 seconds; stopped") as caught:
            await supervisor.run_job("/bin/sleep 3600", timeout=0.1)
        assert caught.value.exit is not None
        assert caught.value.exit.signal == signal.SIGTERM
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.run_job, "/bin/sleep 3600")
            while not (running := [p for p in supervisor.processes() if p.pid]):
                await trio.lowlevel.checkpoint()
            pid = running[0].pid
            nursery.cancel_scope.cancel()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert supervisor.processes() == []


async def started(supervisor: Supervisor, *words: str) -> Any:
    process = supervisor.add_program("x", words, startsecs=0, autorestart=False)
    await process.wait_for(State.RUNNING)
    return process


async def test_stdin_is_written_and_closed() -> None:
    async with open_supervisor() as supervisor:
        x = supervisor.add_program("x", [sys.executable, "-c", UPPER], startsecs=0, autostart=False)
        for request in (x.close_stdin, lambda: x.send_stdin(b"")):
            with pytest.raises(NotRunning):
                request()
        with pytest.raises(NotRunning):
            await x.write_stdin(b"x")
        with x.output(buffer_bytes=10_000_000) as output:
            await x.start()
            await x.write_stdin(b"a" * 2_000_000)
            x.close_stdin()
            with pytest.raises(NoFile):
                x.send_stdin(b"more")
            assert (await x.wait()).code == 0
            assert sum(map(len, output.backlog.take_all())) == 2_000_000


async def test_writing_to_a_child_that_does_not_read_ends_with_it() -> None:
    async with open_supervisor() as supervisor:
        x = await started(supervisor, "/bin/sleep", "3600")
        async with trio.open_nursery() as nursery:

            async def write() -> None:
                with pytest.raises((NotRunning, NoFile)):  # the pipe may be known to break first
                    await x.write_stdin(b"x" * 1_000_000)

            nursery.start_soon(write)
            await wait_all_tasks_blocked()
            await x.stop()


async def test_writing_to_a_child_that_closes_its_stdin() -> None:
    async with open_supervisor() as supervisor:
        closing = "import os, time; os.close(0); print('closed', flush=True); time.sleep(3600)"
        x = supervisor.add_program("x", [sys.executable, "-c", closing], autostart=False)
        with x.output() as output:
            await x.start(wait=False)
            assert await anext(output.lines()) == "closed"
        with pytest.raises(NoFile):
            await x.write_stdin(b"x" * 1_000_000)


async def test_a_reader_may_let_the_program_wait() -> None:
    async with open_supervisor() as supervisor:
        x = supervisor.add_program(
            "x",
            [sys.executable, "-c", WRITER, "3000"],
            startsecs=0,
            autorestart=False,
            autostart=False,
        )
        with x.output(buffer_bytes=5000, overflow="block") as output:
            await x.start()
            seen = []
            async for line in output.lines():
                seen.append(line.split()[0])
                if len(seen) == 3000:
                    break
        assert seen == [str(number) for number in range(3000)]
        assert output.dropped == 0
        await x.wait()


async def test_leaving_a_stream_lets_the_program_go_on() -> None:
    async with open_supervisor() as supervisor:
        x = supervisor.add_program(
            "x",
            [sys.executable, "-c", WRITER, "3000"],
            startsecs=0,
            autorestart=False,
            autostart=False,
        )
        with x.output(buffer_bytes=1000, overflow="block") as output:
            await x.start()
            await anext(output)
        assert (await x.wait()).code == 0


async def test_a_reader_may_be_told_that_it_is_too_slow() -> None:
    async with open_supervisor() as supervisor:
        x = supervisor.add_program(
            "x",
            [sys.executable, "-c", WRITER, "300"],
            startsecs=0,
            autorestart=False,
            autostart=False,
        )

        async def read_all(stream: Any, seen: list[object]) -> None:
            async for item in stream:
                seen.append(item)  # noqa: PERF401  # what came before the error counts

        async def read(stream: Any) -> int:
            seen: list[object] = []
            with pytest.raises(StreamOverflow, match="more than 5000 bytes waited"):
                await read_all(stream, seen)
            return len(seen)

        with (
            x.output(buffer_bytes=5000, overflow="error") as output,
            supervisor.output("x", buffer_bytes=5000, overflow="error") as merged,
        ):
            await x.start()
            await x.wait()
            assert await read(output) > 0
            assert await read(merged) > 0
            assert output.dropped > 0
        wrong: list[Callable[[], object]] = [
            lambda: x.output(overflow="wait"),  # type: ignore[arg-type]  # the mistake
            lambda: supervisor.output(overflow=""),  # type: ignore[arg-type]  # the same
            lambda: supervisor.events(overflow="wait"),  # type: ignore[call-overload]  # the same
        ]
        for mistake in wrong:
            with pytest.raises(ValueError, match="overflow"):
                mistake()


async def test_a_stream_may_end_with_the_child() -> None:
    async with open_supervisor() as supervisor:
        x = supervisor.add_program("x", "/bin/cat", startsecs=0, autostart=False)
        await x.start()
        with x.output(until_exit=True) as first, x.output() as both:
            await x.write_stdin(b"one\n")
            lines = first.lines()
            assert await anext(lines) == "one"
            x.signal("KILL")
            with pytest.raises(StopAsyncIteration):
                await anext(lines)  # no answer will come
            await x.wait_for("RUNNING")
            await x.write_stdin(b"two\n")
            of_both = both.lines()
            assert [await anext(of_both), await anext(of_both)] == ["one", "two"]
            with pytest.raises(StopAsyncIteration):
                await anext(first)


async def test_an_event_stream_may_end_when_it_is_full() -> None:
    async with (
        open_supervisor() as supervisor,
        supervisor.events("PROCESS_STATE", buffer_size=2, overflow="error") as events,
    ):
        x = supervisor.add_program("x", "/bin/true", startsecs=0, autorestart=False)
        await x.wait()
        assert [(await anext(events)).name for _ in range(2)] == [
            "PROCESS_STATE_STARTING",
            "PROCESS_STATE_RUNNING",
        ]
        with pytest.raises(StreamOverflow):
            await anext(events)


async def test_the_output_of_several_in_order_of_arrival() -> None:
    async with open_supervisor() as supervisor:
        talk = ["/bin/sh", "-c", "echo out; read x; echo err >&2; printf rest; read x"]
        a = supervisor.add_program("a", talk, startsecs=0, autorestart=False, autostart=False)
        with supervisor.output() as everything, supervisor.output("a") as only:
            b = supervisor.add_program("b", talk, startsecs=0, autorestart=False, autostart=False)
            seen = []

            async def next_line() -> None:
                line = await anext(everything)
                assert line.time > 1_700_000_000
                seen.append((line.process, line.channel, line.text))

            for process in (a, b):
                await process.start()
                await next_line()
            for process in (b, a):
                process.send_stdin(b"go\n")
                await next_line()
                process.send_stdin(b"go\n")
                await process.wait()
                await next_line()
            for process in (a, b):
                await supervisor.remove(process.name)
            assert seen == [
                ("a", "stdout", "out"),
                ("b", "stdout", "out"),
                ("b", "stderr", "err"),
                ("b", "stdout", "rest"),
                ("a", "stderr", "err"),
                ("a", "stdout", "rest"),
            ]
            assert [str(line) async for line in only] == ["a: out", "a: err", "a: rest"]
            with pytest.raises(BadName):
                supervisor.output("zz")
    async with trio.open_nursery() as nursery, open_supervisor() as supervisor:

        async def read() -> None:
            with supervisor.output() as output:
                assert [line async for line in output] == []

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
