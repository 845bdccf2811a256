"""What a supervisor writes into its journal, with fake children and a virtual clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import FakeLauncher, Recorder, program
from tests.kit.running import running
from trio_supervisor.core.config.model import Autorestart, Config, GroupConfig
from trio_supervisor.core.errors import AlreadyStarted, BadName, NotRunning
from trio_supervisor.core.events import ProcessFlapping
from trio_supervisor.core.journal.chain import FORGOTTEN
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.inspect.describe import flapping
from trio_supervisor.runtime.inspect.health import unhealthy_processes
from trio_supervisor.runtime.journal.journal import Journal
from trio_supervisor.runtime.requester import SIGNAL, requested_by
from trio_supervisor.runtime.supervisor import Supervisor

ANN = Cause(CauseKind.REQUEST, "ann from 10.0.0.7")


class Scene:
    """A supervisor with fake children and its journal."""

    def __init__(self, *groups: GroupConfig, reread: tuple[GroupConfig, ...] = ()) -> None:
        self.now = 1000.0
        self.launcher = FakeLauncher()
        self.journal = Journal(lambda: self.now)
        self.groups = groups
        self.reread = reread
        self.supervisor = self._make()

    def _make(self) -> Supervisor:
        return Supervisor(
            Config(groups=self.groups, path="/etc/x.conf"),
            log=lambda severity, text: None,
            environment={"PATH": "/bin"},
            reload=lambda: Config(groups=self.reread, path="/etc/x.conf"),
            launch=self.launcher,
            wall_clock=lambda: self.now,
            journal=self.journal,
        )

    def go_on(self) -> None:
        """A new supervisor with the same journal, as after a reload."""
        self.supervisor = self._make()

    def entries(self, name: str) -> list[tuple[str, str, str, str, str]]:
        """What, the states, the kind of the cause and the requester of each entry."""
        return [
            (e.what.value, e.old, e.new, e.cause.kind.value, e.cause.who)
            for e in self.journal.memory.of(name)
        ]

    async def chain(self, name: str) -> list[str]:
        """The chain of causes, with the root at the end."""
        why = await self.supervisor.why(name)
        return [f"{e.what.value} {e.new}" for e in why.chain] + [why.root]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No threads, because the virtual clock would jump while one runs."""

    async def run(function: object, *args: object, **options: object) -> object:
        await trio.lowlevel.checkpoint()
        return function(*args)  # type: ignore[operator]  # what is given to a thread

    monkeypatch.setattr(trio.to_thread, "run_sync", run)


def group(name: str, **options: object) -> GroupConfig:
    return GroupConfig(name, (program(name, **options),))


@pytest.mark.behaviour(
    "journal.md#what-has-an-entry", "journal.md#causes-of-entries", "journal.md#requesters"
)
async def test_requests_and_ends(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    unwanted, x = recorder.process(autorestart=Autorestart.ALWAYS)
    journal = recorder.host.journal
    async with running(unwanted, recorder.host):
        with requested_by(ANN):
            await x.start()
            with pytest.raises(AlreadyStarted):
                await x.start_once()
        recorder.launcher.last.die(0)
        await x.wait_for(State.EXITED)
        await x.wait_for(State.RUNNING)
        with requested_by(ANN):
            await x.restart()
        x.signal(10)
        await x.stop()
        with pytest.raises(NotRunning):
            await x.stop()
    told = [
        (e.number, e.new, e.cause.kind.value, e.cause.entry, e.cause.who)
        for e in journal.memory.of("x")
    ]
    ann = ANN.who
    assert told == [
        (1, "start", "request", 0, ann),
        (2, "STARTING", "request", 1, ann),
        (3, "RUNNING", "policy", 2, ""),
        (4, "EXITED", "exit", 0, ""),
        (5, "STARTING", "policy", 4, ""),
        (6, "RUNNING", "policy", 5, ""),
        (7, "restart", "request", 0, ann),
        (8, "STOPPING", "request", 7, ann),
        (9, "STOPPED", "exit", 8, ""),
        (10, "STARTING", "request", 7, ann),
        (11, "RUNNING", "policy", 10, ""),
        (12, "signal SIGUSR1", "request", 0, "python"),
        (13, "stop", "request", 0, "python"),
        (14, "STOPPING", "request", 13, "python"),
        (15, "STOPPED", "exit", 14, ""),
    ]


@pytest.mark.behaviour("journal.md#causes-of-entries")
async def test_an_end_by_a_signal_that_was_requested(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    unwanted, x = recorder.process(autorestart=Autorestart.ALWAYS)
    async with running(unwanted, recorder.host):
        await x.start()
        x.signal(9)
        await x.wait_for(State.EXITED)
        await x.wait_for(State.RUNNING)
        recorder.launcher.last.die(signal=9)  # the same end, by somebody else
        await x.wait_for(State.EXITED)
        await x.wait_for(State.RUNNING)
    entries = recorder.host.journal.memory.of("x")
    [request] = [entry for entry in entries if entry.new == "signal SIGKILL"]
    ends = [entry for entry in entries if entry.new == "EXITED"]
    assert [entry.cause.entry for entry in ends] == [request.number, 0]


@pytest.mark.behaviour("journal.md#chain-of-causes")
async def test_chains_of_a_supervisor(autojump_clock: MockClock, at_once: None) -> None:
    scene = Scene(group("a"), group("off", autostart=False), reread=(group("b"), group("off")))
    async with trio.open_nursery() as nursery:
        await nursery.start(scene.supervisor.run)
        a = scene.supervisor.process("a")
        await a.wait_for(State.RUNNING)
        boot = ["state RUNNING", "state STARTING", "daemon RUNNING", "boot"]
        assert await scene.chain("a") == boot
        assert await scene.chain("off") == [""]
        with pytest.raises(BadName):
            await scene.supervisor.why("no")
        scene.launcher.last.die(1)
        await a.wait_for(State.EXITED)
        await a.wait_for(State.RUNNING)
        assert await scene.chain("a") == [
            *("state RUNNING", "state STARTING", "state EXITED", "exit"),
        ]
        with requested_by(ANN):
            await scene.supervisor.update()
        b = scene.supervisor.process("b")
        await b.wait_for(State.RUNNING)
        assert await scene.chain("b") == [
            *("state RUNNING", "state STARTING", "configuration added", "configuration"),
        ]
        assert scene.entries("")[1:] == [
            ("request", "", "reread", "request", ANN.who),
            ("configuration", "", "removed", "configuration", ANN.who),
            ("configuration", "", "removed", "configuration", ANN.who),
            ("configuration", "", "added", "configuration", ANN.who),
            ("configuration", "", "added", "configuration", ANN.who),
        ]
        assert scene.entries("a")[-2:] == [
            ("state", "RUNNING", "STOPPING", "configuration", ANN.who),
            ("state", "STOPPING", "STOPPED", "exit", ""),
        ]
        scene.groups = (group("a"),)
        with requested_by(SIGNAL):
            await scene.supervisor.reload()
    assert await scene.chain("b") == [
        *("state STOPPED", "state STOPPING", "daemon RESTARTING", "request"),
    ]
    scene.go_on()
    async with trio.open_nursery() as nursery:
        await nursery.start(scene.supervisor.run)
        await scene.supervisor.process("a").wait_for(State.RUNNING)
        assert await scene.chain("a") == [*boot[:-1], "daemon RESTARTING", "request"]
        why = await scene.supervisor.why("a")
        assert why.chain[-1].cause.who == "signal"
        scene.supervisor.request_shutdown()
    assert await scene.chain("a") == [
        *("state STOPPED", "state STOPPING", "daemon SHUTDOWN", "request"),
    ]
    numbers = [entry.number for entry in scene.journal.memory.all()]
    assert numbers == sorted(set(numbers))


@pytest.mark.behaviour("journal.md#evidence")
async def test_a_changed_group(autojump_clock: MockClock, at_once: None) -> None:
    secret = {"PASSWORD": "hunter2"}
    changed = replace(program("a", environment=secret), priority=5)
    scene = Scene(group("a"), reread=(GroupConfig("a", (changed,)),))
    async with trio.open_nursery() as nursery:
        await nursery.start(scene.supervisor.run)
        await scene.supervisor.process("a").wait_for(State.RUNNING)
        await scene.supervisor.update()
        await scene.supervisor.process("a").wait_for(State.RUNNING)
        [added] = [entry for entry in scene.journal.memory.of("") if entry.new == "added"]
        assert added.evidence == {
            "group": "a",
            "file": "/etc/x.conf",
            "options": "environment, priority",
        }
        assert "hunter2" not in repr(scene.journal.memory.all())
        scene.supervisor.add_program("own", "/bin/cat")
        [own] = [e for e in scene.journal.memory.of("") if e.evidence.get("group") == "own"]
        assert own.evidence == {"group": "own"}  # in no file
        assert own.cause.who == "python"
        scene.supervisor.request_shutdown()


@pytest.mark.behaviour("journal.md#chain-of-causes")
async def test_a_cause_that_is_not_kept_any_more(autojump_clock: MockClock) -> None:
    scene = Scene(group("a"))
    async with trio.open_nursery() as nursery:
        await nursery.start(scene.supervisor.run)
        await scene.supervisor.process("a").wait_for(State.RUNNING)
        scene.journal.memory._of[""].clear()  # what a thousand other entries would do
        assert (await scene.chain("a"))[-1] == FORGOTTEN
        scene.supervisor.request_shutdown()


@pytest.mark.behaviour("journal.md#choosing-entries")
async def test_history(autojump_clock: MockClock) -> None:
    scene = Scene(group("a"), group("b"))
    async with trio.open_nursery() as nursery:
        await nursery.start(scene.supervisor.run)
        for name in ("a", "b"):
            await scene.supervisor.process(name).wait_for(State.RUNNING)
        scene.now += 60
        await scene.supervisor.process("b").stop()
        found = await scene.supervisor.history(["b"], since=scene.now)
        assert [entry.new for entry in found] == ["stop", "STOPPING", "STOPPED"]
        found = await scene.supervisor.history(kind="boot")
        assert {entry.process for entry in found} == {"", "a", "b"}
        assert len(await scene.supervisor.history(limit=1)) == 1
        await scene.supervisor.remove("b")
        assert (await scene.supervisor.history(["b"]))[-1].new == "removed"
        scene.supervisor.request_shutdown()


@pytest.mark.behaviour("journal.md#the-clock-was-set-back")
async def test_a_clock_that_was_set_back(mock_clock: MockClock) -> None:
    scene = Scene()
    async with trio.open_nursery() as nursery:
        await nursery.start(scene.supervisor.run)
        await wait_all_tasks_blocked()
        for change in (+100.0, -40.5, +1.0):
            scene.now += change
            mock_clock.jump(1)
            await wait_all_tasks_blocked()
        [entry] = await scene.supervisor.history(kind="clock")
        assert entry.evidence == {"seconds": 40.5}
        scene.supervisor.request_shutdown()


@pytest.mark.behaviour("journal.md#a-process-that-is-restarted-often")
async def test_flapping_is_told_once_when_it_begins(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    unwanted, x = recorder.process(startsecs=0)
    async with running(unwanted, recorder.host):
        await x.start()
        for _ in range(5):
            recorder.launcher.last.die(3)
            await x.wait_for(State.EXITED)
            await x.wait_for(State.RUNNING)
        events = [event for event in recorder.events if isinstance(event, ProcessFlapping)]
        [entry] = [e for e in recorder.host.journal.memory.of("x") if e.new == "flapping"]
        text = "restarting often: 3 times in 5 minutes, last: exit status 3 0 s ago"
        assert [event.reason for event in events] == [text]
        assert entry.evidence == {"reason": text}
        assert "5 times" in flapping(x)
        assert [problem for _, problem in unhealthy_processes([x], asked=False)] == []
        [(_, problem)] = unhealthy_processes([x], asked=False, strict=True)
        assert "5 times" in problem
        await trio.sleep(400)
        assert flapping(x) == ""
        assert unhealthy_processes([x], asked=False, strict=True) == []
