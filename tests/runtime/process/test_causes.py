"""Every transition says why it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import FakeChild, FakeLauncher, Recorder, ignore_all_but_kill, program, refuse
from tests.kit.running import running
from trio_supervisor.core.config.model import Autorestart, Config, GroupConfig
from trio_supervisor.core.events import Event, ProcessState
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.events.bus import Bus
from trio_supervisor.runtime.requester import SIGNAL, requested_by
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    import pytest

    from trio_supervisor.runtime.process.process import Process

ANN = Cause(CauseKind.REQUEST, "ann from 10.0.0.7")


class Causes:
    """The transitions of one process, read from its record whenever an event tells of one."""

    def __init__(self, process: Process, bus: Bus) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self._process = process
        bus.observe(self._note)

    def _note(self, event: Event) -> None:
        if isinstance(event, ProcessState) and event.process == self._process.name:
            transition = self._process.record.transition
            assert transition is not None
            assert transition.old is event.from_state
            cause = transition.cause
            self.seen.append((transition.new.name, cause.kind.value, cause.who))

    def take(self) -> list[tuple[str, str, str]]:
        seen, self.seen = self.seen, []
        return seen


def fail_at_once(child: FakeChild) -> None:
    child.die(1)


def explode(child: FakeChild, number: int) -> None:
    raise ZeroDivisionError("injected")


async def test_requests_ends_and_automatic_restarts(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(autorestart=Autorestart.ALWAYS)
    causes = Causes(x, recorder.host.bus)
    async with running(group, recorder.host):
        with requested_by(ANN):
            await x.start()
        assert causes.take() == [
            ("STARTING", "request", "ann from 10.0.0.7"),
            ("RUNNING", "policy", ""),
        ]
        recorder.launcher.last.die(0)
        await x.wait_for(State.EXITED)
        await x.wait_for(State.RUNNING)
        assert causes.take() == [
            ("EXITED", "exit", ""),
            ("STARTING", "policy", ""),
            ("RUNNING", "policy", ""),
        ]
        await x.stop()
        assert causes.take() == [("STOPPING", "request", "python"), ("STOPPED", "exit", "")]


async def test_failed_starts(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.prepare = fail_at_once
    group, x = recorder.process(startretries=1)
    causes = Causes(x, recorder.host.bus)
    async with running(group, recorder.host):
        with requested_by(ANN):
            x.begin()
        await x.wait_for(State.FATAL)
        assert causes.take() == [
            ("STARTING", "request", "ann from 10.0.0.7"),
            ("BACKOFF", "exit", ""),
            ("STARTING", "policy", ""),
            ("BACKOFF", "exit", ""),
            ("FATAL", "policy", ""),
        ]
        recorder.launcher.failures = [SpawnError("no")]
        x.begin()
        await x.wait_for(State.BACKOFF)
        with requested_by(ANN):
            await x.stop()
        assert causes.take()[1:] == [
            ("BACKOFF", "exit", ""),
            ("STOPPED", "request", "ann from 10.0.0.7"),
        ]


async def test_a_stop_during_a_spawn_has_the_cause_of_the_stop(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.launcher.gate = trio.Event()
    group, x = recorder.process()
    causes = Causes(x, recorder.host.bus)
    async with running(group, recorder.host):
        x.begin()
        await wait_all_tasks_blocked()
        with requested_by(ANN):
            x.request_stop()
        recorder.launcher.gate.set()
        await x.ended()
        assert causes.take()[1:] == [
            ("STOPPING", "request", "ann from 10.0.0.7"),
            ("STOPPED", "exit", ""),
        ]


async def test_a_child_that_cannot_be_signalled(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopwaitsecs=1)
    causes = Causes(x, recorder.host.bus)
    async with running(group, recorder.host):
        for on_signal, cause in (
            (refuse, ("request", "ann from 10.0.0.7")),
            (None, ("policy", "")),
        ):
            await x.start()
            causes.take()
            child = recorder.launcher.last
            child.on_signal = ignore_all_but_kill if on_signal is None else on_signal
            with requested_by(ANN):
                await x.stop(wait=False) if on_signal is None else _stop_refused(x)
            if on_signal is None:
                child.on_signal = refuse  # when SIGKILL comes
            await x.wait_for(State.UNKNOWN)
            assert causes.take() == [
                ("STOPPING", "request", "ann from 10.0.0.7"),
                ("UNKNOWN", *cause),
            ]
            child.die(0)
            await x.wait_for(State.STOPPED)
            assert causes.take() == [("STOPPED", "exit", "")]


def _stop_refused(process: Process) -> None:
    try:
        process.request_stop()
    except Exception:
        return
    raise AssertionError("the signal was not refused")


async def test_an_error_of_ours(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    group, x = recorder.process(stopwaitsecs=1)
    causes = Causes(x, recorder.host.bus)
    async with running(group, recorder.host):
        await x.start()
        recorder.launcher.last.on_signal = ignore_all_but_kill
        await x.stop(wait=False)
        causes.take()
        recorder.launcher.last.on_signal = explode
        await x.wait_for(State.UNKNOWN)
        assert causes.take() == [("UNKNOWN", "internal error", "")]


class Daemon:
    """A supervisor with fake children, and the causes of its processes by name."""

    def __init__(self, *groups: GroupConfig, reread: tuple[GroupConfig, ...] = ()) -> None:
        self.launcher = FakeLauncher()
        self.bus = Bus(lambda severity, text: None)
        self.supervisor = Supervisor(
            Config(groups=groups),
            log=lambda severity, text: None,
            environment={"PATH": "/bin"},
            reload=lambda: Config(groups=reread),
            bus=self.bus,
            launch=self.launcher,
        )

    def causes(self, name: str) -> Causes:
        return Causes(self.supervisor.process(name), self.bus)


def group(name: str, **options: object) -> GroupConfig:
    return GroupConfig(name, (program(name, **options),))


async def test_boot_and_a_shutdown_by_signal(autojump_clock: MockClock) -> None:
    daemon = Daemon(group("a"), group("b", startretries=9))
    a, b = daemon.causes("a"), daemon.causes("b")
    async with trio.open_nursery() as nursery:
        daemon.launcher.failures = []
        await nursery.start(daemon.supervisor.run)
        await daemon.supervisor.process("a").wait_for(State.RUNNING)
        assert a.take() == [("STARTING", "boot", ""), ("RUNNING", "policy", "")]
        daemon.launcher.failures = [SpawnError("no")]
        await daemon.supervisor.stop([daemon.supervisor.process("b")])
        daemon.supervisor.process("b").begin()
        await daemon.supervisor.process("b").wait_for(State.BACKOFF)
        b.take()
        with requested_by(SIGNAL):
            daemon.supervisor.request_shutdown()
    assert a.take() == [("STOPPING", "shutdown", "signal"), ("STOPPED", "exit", "")]
    assert b.take() == [("FATAL", "shutdown", "signal")]


async def test_changes_of_the_configuration(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(group("a"), reread=(group("b"),))
    a = daemon.causes("a")

    async def at_once(function: object, *args: object, **options: object) -> Config:
        await trio.lowlevel.checkpoint()
        return Config(groups=(group("b"),))

    monkeypatch.setattr(trio.to_thread, "run_sync", at_once)
    async with trio.open_nursery() as nursery:
        await nursery.start(daemon.supervisor.run)
        await daemon.supervisor.process("a").wait_for(State.RUNNING)
        a.take()
        with requested_by(ANN):
            await daemon.supervisor.update()
        assert a.take() == [
            ("STOPPING", "configuration", "ann from 10.0.0.7"),
            ("STOPPED", "exit", ""),
        ]
        await daemon.supervisor.process("b").wait_for(State.STARTING)
        transition = daemon.supervisor.process("b").record.transition
        assert transition is not None
        assert transition.cause == Cause(CauseKind.CONFIGURATION, "ann from 10.0.0.7")
        daemon.supervisor.request_shutdown()


async def test_a_task_that_says_that_it_has_started(autojump_clock: MockClock) -> None:
    daemon = Daemon()
    asked: list[Cause | None] = []

    async def task(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await daemon.supervisor.process("a").stop()  # a request of the program itself

    async with trio.open_nursery() as nursery:
        await nursery.start(daemon.supervisor.run)
        daemon.supervisor.add(group("a"))
        await daemon.supervisor.process("a").wait_for(State.RUNNING)
        with requested_by(ANN):  # whoever adds it does not ask for what it does
            process = daemon.supervisor.add_task("t", task, autorestart=False)
        t = daemon.causes("t")
        await process.wait_for(State.EXITED)
        assert t.take() == [
            ("STARTING", "configuration", "ann from 10.0.0.7"),
            ("RUNNING", "probe", ""),
            ("EXITED", "exit", ""),
        ]
        asked.append(daemon.supervisor.process("a").record.intended_by)
        daemon.supervisor.request_shutdown()
    assert asked == [Cause(CauseKind.REQUEST, "python")]
