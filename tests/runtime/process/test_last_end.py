"""How the last child ended stays known, and starts are counted by their kind."""

from __future__ import annotations

import os
import signal

import pytest
from trio.testing import MockClock

from tests.kit.fakes import FakeChild, Recorder
from tests.kit.running import running
from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.process.cause import BOOT
from trio_supervisor.core.process.exit import End, Exit, ResourceUsage
from trio_supervisor.core.process.record import ProcessRecord
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.spawn.forking import SpawnError


def counters(record: ProcessRecord) -> tuple[int, int, int]:
    return record.requested_starts, record.automatic_restarts, record.failed_starts


@pytest.mark.behaviour("process.md#the-last-exit-is-kept-until-the-next-one")
async def test_a_crash_is_known_while_the_program_runs_again(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(autorestart=Autorestart.ALWAYS)
    async with running(group, recorder.host):
        await x.start()
        child = recorder.launcher.last
        assert x.history.last_end is None
        child.write(b"first\n")
        child.usage = ResourceUsage(1.5, 4096)
        child.die(signal=signal.SIGSEGV)
        await x.wait_for(State.EXITED)
        await x.wait_for(State.RUNNING)
        end = x.history.last_end
        assert end == End(
            Exit(None, signal.SIGSEGV),
            expected=False,
            at=recorder.now,
            lifetime=1.0,
            stdout="first\n",
            usage=ResourceUsage(1.5, 4096),
        )
        assert str(end) == "terminated by SIGSEGV (not expected)"
        recorder.launcher.last.write(b"second\n")
        recorder.launcher.last.die(0)
        await x.wait_for(State.EXITED)
        assert x.history.last_end is not None
        assert (x.history.last_end.stdout, x.history.last_end.expected) == ("second\n", True)
        assert x.history.last_end.usage is None


@pytest.mark.behaviour("process.md#the-last-exit-is-kept-until-the-next-one")
async def test_each_stream_has_its_last_lines(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        await x.start()
        child = recorder.launcher.last
        assert child.stderr_writer is not None
        child.write(b"".join(b"line %d\n" % number for number in range(300)))
        os.write(child.stderr_writer, b"fault\xff")
        await x.stop()
        end = x.history.last_end
        assert end is not None
        assert end.stderr == "fault\N{REPLACEMENT CHARACTER}"
        assert end.stdout.endswith("line 298\nline 299\n")
        assert all(line.startswith("line ") for line in end.stdout.splitlines())
        assert 1000 < len(end.stdout) <= 1024
        await x.start()
        await x.stop()
        assert x.history.last_end is not None
        assert (x.history.last_end.stdout, x.history.last_end.stderr) == ("", "")


@pytest.mark.behaviour("process.md#the-last-exit-is-kept-until-the-next-one")
async def test_what_is_expected(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(autorestart=Autorestart.NEVER, startretries=0)
    async with running(group, recorder.host):
        await x.start()
        await x.stop()  # by SIGTERM, on request
        assert x.history.last_end is not None
        assert (x.history.last_end.exit, x.history.last_end.expected) == (Exit(None, 15), True)

        def die(child: FakeChild) -> None:
            child.die(0)

        recorder.launcher.prepare = die
        x.begin()
        await x.wait_for(State.FATAL)  # exit status 0, before startsecs
        end = x.history.last_end
        assert (end.exit, end.expected) == (Exit(0), False)
        *_, failed, _ = recorder.host.journal.memory.of("x")
        assert (failed.new, failed.evidence["pid"]) == ("BACKOFF", recorder.launcher.last.pid)
        recorder.launcher.failures = [SpawnError("no memory")]
        x.begin()
        await x.wait_for(State.STARTING)
        await x.wait_for(State.FATAL)
        assert (x.history.last_exit, x.history.last_end) == (None, end)


@pytest.mark.behaviour("process.md#starts-are-counted-by-their-kind")
async def test_requests_automatic_restarts_and_failed_starts(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(autorestart=Autorestart.ALWAYS)
    async with running(group, recorder.host):
        recorder.launcher.failures = [SpawnError("no memory"), SpawnError("no memory")]
        x.begin()
        await x.wait_for(State.RUNNING)  # after two retries, which are no restarts
        assert counters(x.record) == (1, 0, 2)
        for _ in range(3):
            recorder.launcher.last.die(1)
            await x.wait_for(State.EXITED)
            await x.wait_for(State.RUNNING)
        assert counters(x.record) == (1, 3, 2)
        await x.restart()
        assert counters(x.record) == (2, 3, 2)
        assert x.history.restarts == 4
        await x.stop()


@pytest.mark.behaviour("process.md#starts-are-counted-by-their-kind")
async def test_a_start_at_boot_is_no_request(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process()
    async with running(group, recorder.host):
        x.begin(BOOT)
        await x.wait_for(State.RUNNING)
        assert counters(x.record) == (0, 0, 0)
        await x.stop()
