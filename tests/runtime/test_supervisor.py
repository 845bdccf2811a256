"""Many groups: order, shutdown, and what can be asked of all."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import (
    FakeChild,
    FakeLauncher,
    RecordingBus,
    ignore_all_but_kill,
    log_lines,
    program,
)
from trio_supervisor.core.config.model import (
    AUTO,
    ChannelConfig,
    Config,
    DaemonConfig,
    Diff,
    FastCgiSocket,
    GroupConfig,
    GroupKind,
    PoolConfig,
    Severity,
)
from trio_supervisor.core.diagnostics import Diagnostic
from trio_supervisor.core.errors import (
    AlreadyAdded,
    BadName,
    CantReread,
    ConfigError,
    ShuttingDown,
    StillRunning,
)
from trio_supervisor.core.events import Event, ProcessState
from trio_supervisor.core.plan import StepKind
from trio_supervisor.core.process.states import DaemonState, State
from trio_supervisor.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def group(name: str, *members: str, priority: int = 999, **options: object) -> GroupConfig:
    """Members are written ``name`` or ``name/priority``; none: one process of the group's name."""
    processes = []
    for member in members or (name,):
        process, _, own = member.partition("/")
        processes.append(program(process, priority=int(own or 999), **options))
    return GroupConfig(name=name, processes=tuple(processes), priority=priority)


#: The configuration, in group order.
ORDERED = (
    group("p10", priority=10),
    group("het", "h3/3", "h1/1", "h2/2", priority=15),
    group("p20", priority=20),
    group("p30", priority=30),
    group("multi", *sorted(f"multi_{n}" for n in range(11)), priority=40),
    group("aaa"),
    group("zzz"),
)
START_ORDER = [
    "p10", "h1", "h2", "h3", "p20", "p30", "multi_0", "multi_1", "multi_10",
    *(f"multi_{n}" for n in range(2, 10)), "aaa", "zzz",
]  # fmt: skip


class Stage:
    """A supervisor with fake children, and all that it says."""

    def __init__(self, config: Config, reload: Callable[[], Config] | None) -> None:
        self.launcher = FakeLauncher()
        self.events: list[Event] = []
        self.lines: list[str] = []
        log = log_lines(self.lines)
        self.supervisor = Supervisor(
            config,
            log=log,
            environment={"PATH": "/bin:/usr/bin"},
            reload=reload,
            bus=RecordingBus(self.events, log),
            launch=self.launcher,
            wall_clock=lambda: 1_700_000_000.0,
        )
        self.finished = trio.Event()

    def child(self, name: str) -> FakeChild:
        return next(c for c in reversed(self.launcher.children) if c.spec.label == name)

    def signalled(self) -> list[str]:
        """Processes in the order in which they got their stop signal."""
        return [line.split()[2] for line in self.lines if line.startswith("DEBG killing ")]


@asynccontextmanager
async def supervised(
    *groups: GroupConfig,
    reload: Callable[[], Config] | None = None,
    daemon: DaemonConfig | None = None,
    messages: tuple[Diagnostic, ...] = (),
) -> AsyncIterator[Stage]:
    daemon = DaemonConfig() if daemon is None else daemon
    stage = Stage(Config(daemon=daemon, groups=groups, messages=messages), reload)

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        await stage.supervisor.run(task_status=task_status)
        stage.finished.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        await wait_all_tasks_blocked()
        yield stage
        for child in stage.launcher.children:
            child.die()
        nursery.cancel_scope.cancel()


@pytest.mark.behaviour("process.md#start-order", "process.md#autostart")
async def test_processes_start_by_priority_and_name(autojump_clock: MockClock) -> None:
    async with supervised(*ORDERED) as stage:
        await wait_all_tasks_blocked()
        assert [child.spec.label for child in stage.launcher.children] == START_ORDER
        assert trio.current_time() == pytest.approx(0)


@pytest.mark.behaviour("process.md#start-order", "process.md#requests-for-several-processes")
async def test_start_all_and_stop_all_order(autojump_clock: MockClock) -> None:
    async with supervised(*ORDERED) as stage:
        sup = stage.supervisor
        results = await sup.stop(sup.processes())
        assert stage.signalled() == START_ORDER[::-1]
        assert len(results) == len(START_ORDER)
        assert all(result.error is None for result in results)
        stage.launcher.children.clear()
        await sup.start(sup.processes())
        assert [child.spec.label for child in stage.launcher.children] == START_ORDER
        assert await sup.start(sup.processes()) == []


@pytest.mark.behaviour("process.md#requests-for-several-processes")
async def test_group_start_is_parallel(autojump_clock: MockClock) -> None:
    async with supervised(group("g", "a", "b", "c", startsecs=2, autostart=False)) as stage:
        sup = stage.supervisor
        results = await sup.start(sup.group("g").processes.values())
        assert trio.current_time() == pytest.approx(2)
        assert {(r.process.name, r.error) for r in results} == {(n, None) for n in "abc"}


@pytest.mark.behaviour("process.md#shutdown-order", "process.md#shutdown")
async def test_groups_are_shut_down_one_after_the_other(autojump_clock: MockClock) -> None:
    async with supervised(*ORDERED) as stage:
        await trio.sleep(2)

        def take_two_seconds(child: FakeChild, number: int) -> None:
            nursery.start_soon(die_later, child)

        async def die_later(child: FakeChild) -> None:
            await trio.sleep(2)
            child.die(0)

        async with trio.open_nursery() as nursery:
            stage.child("p20").on_signal = take_two_seconds
            stage.supervisor.request_shutdown()
            await trio.sleep(1)
            assert stage.signalled() == [*START_ORDER[: START_ORDER.index("p20") - 1 : -1]]
            assert stage.child("h1").alive
            await stage.finished.wait()
        assert stage.signalled() == START_ORDER[::-1]
        assert trio.current_time() == pytest.approx(4)
        waiting = [line for line in stage.lines if "to die" in line]
        assert waiting == [f"INFO waiting for {', '.join(START_ORDER)} to die"]
        names = [event.name for event in stage.events]
        stopping = names.index("SUPERVISOR_STATE_CHANGE_STOPPING")
        assert "PROCESS_STATE_STOPPING" not in names[:stopping]
        assert names.count("SUPERVISOR_STATE_CHANGE_STOPPING") == 1


@pytest.mark.behaviour(
    "process.md#shutdown-order", "process.md#signals-to-the-daemon", "process.md#shutdown"
)
async def test_idle_groups_cost_nothing(autojump_clock: MockClock) -> None:
    idle = [group(f"z{n}", autostart=False) for n in range(6)]
    async with supervised(group("a"), *idle) as stage:
        stage.supervisor.request_shutdown()
        await stage.finished.wait()
        assert trio.current_time() == pytest.approx(0)
    async with supervised(*idle) as stage:
        stage.supervisor.request_shutdown()
        await stage.finished.wait()
        assert not any("to die" in line for line in stage.lines)


@pytest.mark.behaviour("process.md#shutdown")
async def test_nothing_is_spawned_during_a_shutdown(autojump_clock: MockClock) -> None:
    async with supervised(
        group("failing", priority=1),
        group("exiting", priority=5),
        group("slow", priority=100, stopwaitsecs=6),
    ) as stage:
        await trio.sleep(1.5)
        stage.child("failing").die(1)
        stage.child("slow").on_signal = ignore_all_but_kill
        stage.supervisor.request_shutdown()
        await wait_all_tasks_blocked()
        stage.child("exiting").die(3)
        await stage.finished.wait()
        states = {p.name: p.state for p in stage.supervisor.processes()}
        assert states == {
            "failing": State.EXITED,
            "exiting": State.EXITED,
            "slow": State.STOPPED,
        }
        assert len(stage.launcher.children) == 3
        assert trio.current_time() == pytest.approx(7.5)


@pytest.mark.behaviour("process.md#shutdown")
async def test_escalation_at_shutdown(autojump_clock: MockClock) -> None:
    async with supervised(group("x", stopwaitsecs=4)) as stage:
        await trio.sleep(1.5)
        stage.child("x").on_signal = ignore_all_but_kill
        stage.supervisor.request_shutdown()
        await stage.finished.wait()
        assert trio.current_time() == pytest.approx(5.5)
        assert stage.child("x").signals == [signal.SIGTERM, signal.SIGKILL]
        assert stage.lines.count("INFO waiting for x to die") == 2


@pytest.mark.behaviour("process.md#a-signal-that-cannot-be-delivered")
async def test_shutdown_does_not_wait_for_unknown(autojump_clock: MockClock) -> None:
    async with supervised(group("x")) as stage:
        await trio.sleep(1.5)

        def refuse(child: FakeChild, number: int) -> None:
            raise PermissionError(1, "Operation not permitted")

        stage.child("x").on_signal = refuse
        stage.supervisor.request_shutdown()
        await stage.finished.wait()
        assert stage.supervisor.process("x").state is State.UNKNOWN


async def test_an_update_from_python_follows_the_file(autojump_clock: MockClock) -> None:
    before = group("gone"), group("changes"), group("stays")
    after = group("changes", startsecs=2), group("new"), group("stays")
    async with supervised(*before, reload=lambda: Config(groups=after)) as stage:
        sup = stage.supervisor
        stays = sup.process("stays")
        assert [(step.kind, step.group) for step in (await sup.plan()).steps] == [
            (StepKind.STOP, "gone"),
            (StepKind.REPLACE, "changes"),
            (StepKind.START, "new"),
        ]
        assert set(sup.groups) == {"gone", "changes", "stays"}  # planned, not done
        results = await sup.update()
        assert [result.error for result in results] == [None] * 3
        assert set(sup.groups) == {"changes", "new", "stays"}
        assert sup.process("stays") is stays
        assert stage.signalled() == ["gone", "changes"]
        assert await sup.update() == []


async def test_a_step_that_fails_keeps_no_other_from_its_turn(autojump_clock: MockClock) -> None:
    before = group("busy"), group("gone")
    async with supervised(*before, reload=lambda: Config(groups=(group("new"),))) as stage:
        sup = stage.supervisor
        busy = sup.process("busy")
        stage.child("busy").on_signal = ignore_all_but_kill

        stopped = "busy", State.STOPPED

        def start_again(event: Event) -> None:
            if isinstance(event, ProcessState) and (event.process, event.state) == stopped:
                busy.begin()

        sup._host.bus.observe(start_again)  # before any task sees that it has stopped
        results = {result.step.group: result.error for result in await sup.update()}
        assert isinstance(results.pop("busy"), StillRunning)
        assert results == {"gone": None, "new": None}


@pytest.mark.behaviour("process.md#restart-requests")
async def test_a_restart_of_a_stopping_process_waits_for_its_end_and_starts_it(
    autojump_clock: MockClock,
) -> None:
    async with supervised(group("a", stopwaitsecs=5)) as stage:
        sup = stage.supervisor
        for restart in (sup.process("a").restart, partial(sup.restart, sup.processes())):
            await sup.process("a").wait_for(State.RUNNING)
            stage.child("a").on_signal = ignore_all_but_kill
            before = sup.process("a").pid
            await sup.process("a").stop(wait=False)
            assert sup.process("a").state is State.STOPPING
            await restart()
            assert sup.process("a").state is State.RUNNING
            assert sup.process("a").pid != before


@pytest.mark.behaviour("http.md#groups-and-configuration")
async def test_groups_at_run_time(autojump_clock: MockClock) -> None:
    before, added = group("a"), group("b")
    configs = [Config(groups=(before, added))]
    async with supervised(before, reload=lambda: configs[-1]) as stage:
        sup = stage.supervisor
        assert await sup.reread() == Diff(added=("b",))
        sup.add_group("b")
        await wait_all_tasks_blocked()
        assert sup.process("b").state is State.STARTING  # started by itself
        with pytest.raises(AlreadyAdded):
            sup.add_group("b")
        with pytest.raises(BadName):
            sup.add_group("nope")
        with pytest.raises(StillRunning):
            sup.remove_group("b")
        await sup.process("b").stop()
        sup.remove_group("b")
        with pytest.raises(BadName):
            sup.remove_group("b")
        names = [e.name for e in stage.events if e.name.startswith("PROCESS_GROUP")]
        assert names == ["PROCESS_GROUP_ADDED"] * 2 + ["PROCESS_GROUP_REMOVED"]


@pytest.mark.behaviour("process.md#sets-of-states")
async def test_a_group_that_is_not_at_rest_is_kept(autojump_clock: MockClock) -> None:
    """Also in BACKOFF and in STOPPING."""
    async with supervised(group("failing", startretries=20), group("slow")) as stage:
        sup = stage.supervisor
        stage.child("failing").die(1)
        await sup.process("failing").wait_for(State.BACKOFF)
        stage.child("slow").on_signal = ignore_all_but_kill
        await sup.process("slow").stop(wait=False)
        for name, state in (("failing", State.BACKOFF), ("slow", State.STOPPING)):
            assert sup.process(name).state is state
            with pytest.raises(StillRunning):
                sup.remove_group(name)
        await sup.process("slow").wait_for(State.STOPPED)
        sup.remove_group("slow")


@pytest.mark.parametrize("nocleanup", [False, True])
async def test_automatic_logs_are_removed_with_their_program(
    autojump_clock: MockClock, tmp_path: Path, nocleanup: bool
) -> None:
    daemon = DaemonConfig(childlogdir=str(tmp_path), nocleanup=nocleanup)
    own, auto = ChannelConfig(str(tmp_path / "own.log")), ChannelConfig(AUTO)
    config = group("a", stdout=auto, stderr=own), group("b", stdout=auto, redirect_stderr=True)
    async with supervised(*config, daemon=daemon) as stage:
        await wait_all_tasks_blocked()
        a, b = (f"{stage.supervisor.process(name).stdout.logfile}" for name in "ab")
        open(f"{a}.1", "w").close()  # noqa: ASYNC230 - a backup
        await stage.supervisor.remove("a")
        left = {str(tmp_path / "own.log"), b}
        if nocleanup:
            left |= {a, f"{a}.1"}
        assert {os.path.join(tmp_path, name) for name in os.listdir(tmp_path)} == left
        assert not [line for line in stage.lines if "cannot remove" in line]


async def test_automatic_logs_that_cannot_be_removed_cost_a_line(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    logs = os.path.join(tmp_path, "logs")
    os.mkdir(logs)
    config = group("a", stdout=ChannelConfig(AUTO))
    async with supervised(config, daemon=DaemonConfig(childlogdir=logs)) as stage:
        await wait_all_tasks_blocked()
        os.rename(logs, tmp_path / "moved")
        await stage.supervisor.remove("a")
        assert (
            "WARN cannot remove the automatic logs of a: No such file or directory" in stage.lines
        )


async def test_a_program_that_cannot_be_made_is_its_own_trouble(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Also at start, and it recovers."""
    path, logs = tmp_path / "f.sock", tmp_path / "logs"
    path.write_text("not a socket")
    socket = FastCgiSocket(f"unix://{path}")
    groups = (
        group("fcgi", socket=socket),
        group("logs", stdout=ChannelConfig(AUTO)),
        group("good"),
    )
    async with supervised(*groups, daemon=DaemonConfig(childlogdir=str(logs))) as stage:
        sup = stage.supervisor
        await sup.process("good").wait_for(State.RUNNING)
        for name, why in (
            (
                "fcgi",
                f"cannot create FastCGI socket: [Errno 17] a file that is not a socket is "
                f"there: '{path}'",
            ),
            (
                "logs",
                f"unknown error making dispatchers for 'logs': ENOENT: {logs}: cannot create "
                "a log in this childlogdir: No such file or directory",
            ),
        ):
            await sup.process(name).wait_for(State.BACKOFF)
            assert sup.process(name).spawn_error == why
        path.unlink()
        logs.mkdir()
        for name in ("fcgi", "logs"):
            await sup.process(name).wait_for(State.RUNNING)
        (log,) = logs.iterdir()
        assert sup.process("logs").stdout.logfile == str(log)
        await sup.remove("logs")
        assert list(logs.iterdir()) == []
        logs.rmdir()
        sup.active.candidates = (groups[1],)
        sup.add_group("logs")
        await sup.process("logs").wait_for(State.BACKOFF)


@pytest.mark.behaviour("process.md#control-sockets")
async def test_what_a_reread_changes_in_the_daemon_itself(autojump_clock: MockClock) -> None:
    new = DaemonConfig(identifier="new", strip_ansi=True, loglevel=Severity.DEBUG, minfds=7)
    async with supervised(group("a"), reload=lambda: Config(daemon=new)) as stage:
        await stage.supervisor.reread()
        running = stage.supervisor.config.daemon
        assert (running.identifier, running.strip_ansi) == ("new", True)
        assert (running.loglevel, running.minfds) == (Severity.INFO, 1024)
        assert [line for line in stage.lines if "needed" in line or "force" in line] == [
            "INFO the new strip_ansi is in force",
            "INFO the new identifier is in force",
            "INFO changed, but a reload is needed: loglevel",
            "INFO changed, but a new start is needed: minfds",
        ]


async def test_a_reread_logs_only_what_the_last_one_did_not(autojump_clock: MockClock) -> None:
    """Tools reread every few minutes, and the log must stay readable."""
    first, second = Diagnostic(Severity.WARN, "first"), Diagnostic(Severity.INFO, "second")
    new = DaemonConfig(minfds=7)
    waits = "INFO changed, but a new start is needed: minfds"
    rereads = [
        ((first,), new, [waits]),
        ((first, second), new, ["INFO second"]),
        ((second,), new, []),
        ((first, second), new, ["WARN first"]),
        ((), DaemonConfig(), []),
        ((), new, [waits]),
    ]
    loads = iter([Config(daemon=daemon, messages=messages) for messages, daemon, _ in rereads])
    async with supervised(messages=(first,), reload=lambda: next(loads)) as stage:
        for _, _, logged in rereads:
            before = len(stage.lines)
            await stage.supervisor.reread()
            assert stage.lines[before:] == logged


@pytest.mark.behaviour("process.md#restart-of-the-daemon")
async def test_a_restart_with_a_bad_configuration_is_refused(
    autojump_clock: MockClock,
) -> None:

    def reload() -> Config:
        raise ConfigError("no command", section="program:broken")

    async with supervised(group("a"), reload=reload) as stage:
        with pytest.raises(CantReread, match="no command in section 'program:broken'"):
            await stage.supervisor.reload()
        assert stage.supervisor.state is DaemonState.RUNNING
        assert stage.child("a").alive
        assert sum(line.startswith("CRIT") for line in stage.lines) == 1


@pytest.mark.behaviour("process.md#an-exit-request-overrides-a-restart")
async def test_an_exit_request_turns_a_restart_into_a_shutdown(
    autojump_clock: MockClock,
) -> None:
    async with supervised(group("a"), reload=lambda: Config()) as stage:
        await trio.sleep(1.5)
        stage.child("a").on_signal = ignore_all_but_kill
        await stage.supervisor.reload()
        assert stage.supervisor.successor is not None
        stage.supervisor.request_shutdown()
        await stage.finished.wait()
        assert stage.supervisor.state is DaemonState.SHUTDOWN
        assert stage.supervisor.successor is None


async def test_names_of_processes(autojump_clock: MockClock) -> None:
    async with supervised(group("cat"), group("grp", "ga", "gb"), group("c", "a:b")) as stage:
        find = stage.supervisor.process
        assert find("cat").full_name == "cat"
        assert find("cat:cat").full_name == "cat"
        assert find("grp:ga").full_name == "grp:ga"
        assert find("c:a:b").name == "a:b"
        for name in ("ga", "grp", "grp:", "grp:*", "grp:zz", "nogrp:*", "", "cat:"):
            with pytest.raises(BadName) as caught:
                find(name)
            assert str(caught.value) == f"BAD_NAME: {name}"


@pytest.mark.behaviour("process.md#start-order")
async def test_order_of_start_up_events(autojump_clock: MockClock) -> None:
    """Groups, then RUNNING, then the first spawn."""
    pool = GroupConfig(
        name="pool",
        kind=GroupKind.POOL,
        priority=-1,
        pool=PoolConfig(frozenset({"EVENT"})),
        processes=(program("l"),),
    )
    async with supervised(pool, group("a", priority=1)) as stage:
        assert [event.name for event in stage.events[:4]] == [
            "PROCESS_GROUP_ADDED",
            "PROCESS_GROUP_ADDED",
            "SUPERVISOR_STATE_CHANGE_RUNNING",
            "PROCESS_STATE_STARTING",
        ]
        assert [child.spec.label for child in stage.launcher.children] == ["l", "a"]


def listeners(**options: object) -> GroupConfig:
    return GroupConfig(
        name="pool",
        kind=GroupKind.POOL,
        priority=-1,
        pool=PoolConfig(frozenset({"PROCESS_STATE_STOPPED"})),
        processes=(program("l", startsecs=0, **options),),
    )


async def test_a_pool_may_work_off_its_events_before_it_is_stopped(
    autojump_clock: MockClock,
) -> None:
    """Supervisor loses the last STOPPED events."""
    async with supervised(listeners(), group("a", startsecs=0), group("b", startsecs=0)) as stage:
        listener = stage.child("l")
        listener.write(b"READY\n")
        await wait_all_tasks_blocked()
        stage.supervisor.request_shutdown()
        for name in "ba":
            heard = b""
            while f"processname:{name} ".encode() not in heard:
                await trio.lowlevel.wait_readable(listener.stdin_reader)
                heard += os.read(listener.stdin_reader, 1 << 16)
            assert listener.signals == []
            listener.write(b"RESULT 2\nOKREADY\n")
        await stage.finished.wait()
        assert listener.signals == [signal.SIGTERM]
        assert trio.current_time() == pytest.approx(0)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        pytest.param(b"READY\n", 1, id="never-answers"),
        pytest.param(b"", 1, id="never-ready"),
        pytest.param(b"zzzzzz", 0, id="UNKNOWN"),
    ],
)
async def test_a_pool_that_does_not_work_holds_up_no_shutdown(
    autojump_clock: MockClock, said: bytes, seconds: float
) -> None:
    async with supervised(listeners(), group("a", startsecs=0)) as stage:
        stage.child("l").write(said)
        await wait_all_tasks_blocked()
        stage.supervisor.request_shutdown()
        await stage.finished.wait()
        assert trio.current_time() == pytest.approx(seconds)


@pytest.mark.behaviour("process.md#states-of-the-daemon", "process.md#shutdown")
async def test_nothing_is_started_that_nobody_would_stop(autojump_clock: MockClock) -> None:
    """In a shutdown under way, after it, or in a group that is gone."""
    async with supervised(group("a", autostart=False), group("b", autostart=False)) as stage:
        sup = stage.supervisor
        a, b = sup.processes()
        sup.remove_group("b")
        with pytest.raises(BadName):
            await b.start()
        assert b.state is State.STOPPED
        sup.request_shutdown()
        with pytest.raises(ShuttingDown):
            await a.start()
        with pytest.raises(ShuttingDown):
            sup.add(group("c"))
        await stage.finished.wait()
        with pytest.raises(ShuttingDown):
            await a.start()
        assert a.state is State.STOPPED
        assert stage.launcher.children == []


async def test_autostart_leaves_out_what_was_removed_meanwhile(autojump_clock: MockClock) -> None:
    async with supervised() as stage:
        sup = stage.supervisor
        stage.launcher.gate = trio.Event()
        sup.add(group("slow"))
        sup.add(group("g", "p", "q"))
        sup.remove_group("g")
        await trio.sleep(60)
        stage.launcher.gate.set()
        assert [event.process for event in stage.events if isinstance(event, ProcessState)] == [
            "slow"
        ]


async def test_one_hanging_spawn_does_not_hold_up_the_others(autojump_clock: MockClock) -> None:
    async with supervised(group("a", autostart=False), group("b", autostart=False)) as stage:
        sup = stage.supervisor
        stage.launcher.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: sup.start(sup.processes()))
            await trio.sleep(1)
            assert len(stage.launcher.times) == 2
            stage.launcher.gate.set()
