"""Readiness and health of a process with fake children, under the virtual clock."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.fakes import Recorder, ignore_all_but_kill
from tests.kit.running import running
from trio_supervisor.core.config.model import Autorestart, Health, OnUnhealthy, Readiness
from trio_supervisor.core.config.probes import parse_health, parse_ready
from trio_supervisor.core.config.restarting import RestartLimit, RestartOptions
from trio_supervisor.core.errors import AbnormalTermination, SpawnFailed
from trio_supervisor.core.events import Extended
from trio_supervisor.runtime.embedding import definitions
from trio_supervisor.runtime.inspect.health import unhealthy_processes
from trio_supervisor.runtime.probes import attempt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from tests.kit.fakes import FakeChild
    from trio_supervisor.core.config.probes import Probe
    from trio_supervisor.runtime.process.process import Process


class Answers:
    """What probes answer, in place of connections: an empty text is success."""

    def __init__(self) -> None:
        self.answer = "connection refused"
        self.times: list[float] = []
        self.hangs = False

    async def attempt(self, probe: Probe, within: float) -> str:
        self.times.append(trio.current_time())
        if self.hangs:
            await trio.sleep(within)
            return f"no answer within {within:g} seconds"
        await trio.lowlevel.checkpoint()
        return self.answer


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    answers = Answers()

    async def answer(self: object, probe: Probe, within: float) -> str:
        return await answers.attempt(probe, within)

    monkeypatch.setattr(attempt.Prober, "attempt", answer)
    return answers


class World:
    """One process, its children and what the supervisor says of it."""

    def __init__(self, recorder: Recorder, process: Process, clock: MockClock) -> None:
        self.recorder = recorder
        self.process = process
        self.clock = clock

    @property
    def child(self) -> FakeChild:
        return self.recorder.launcher.last

    @property
    def state(self) -> str:
        return self.process.state.name

    async def pass_time(self, seconds: float) -> None:
        """Let time go by in steps, so that what is due happens in its order."""
        await wait_all_tasks_blocked()
        end = trio.current_time() + seconds
        while trio.current_time() < end - 1e-9:
            self.clock.jump(min(0.25, end - trio.current_time()))
            await wait_all_tasks_blocked()

    async def start(self) -> None:
        self.process.request_start()
        await wait_all_tasks_blocked()


@asynccontextmanager
async def world(clock: MockClock, **options: object) -> AsyncIterator[World]:
    recorder = Recorder()
    group, process = recorder.process(**options)
    async with running(group, recorder.host):
        yield World(recorder, process, clock)
    recorder.host.close()


def ready(text: str = "tcp:1", timeout: float = 60.0) -> Readiness:
    return Readiness(parse_ready(text), timeout)


def health(text: str = "tcp:1", **options: object) -> Health:
    return Health(parse_health(text), **options)  # type: ignore[arg-type]  # test data


@pytest.mark.behaviour("policies.md#running-means-ready-and-alive-for-startsecs")
async def test_running_when_ready_and_alive_for_startsecs(
    mock_clock: MockClock, answers: Answers
) -> None:
    async with world(mock_clock, readiness=ready(), startsecs=5) as w:
        await w.start()
        await w.pass_time(3)
        assert w.state == "STARTING"
        assert answers.times[:4] == [0.0, 0.5, 1.0, 1.5]
        answers.answer = ""
        await w.pass_time(1.5)
        assert w.state == "STARTING"
        tries = len(answers.times)
        await w.pass_time(1)
        assert w.state == "RUNNING"
        await w.pass_time(100)
        assert len(answers.times) == tries
        line = "INFO success: x entered RUNNING state, it is ready (tcp:1) and has stayed up for "
        assert f"{line}5 seconds (startsecs)" in w.recorder.lines


@pytest.mark.behaviour("policies.md#running-means-ready-and-alive-for-startsecs")
async def test_ready_later_than_startsecs(mock_clock: MockClock, answers: Answers) -> None:
    async with world(mock_clock, readiness=ready(), startsecs=1) as w:
        await w.start()
        await w.pass_time(30)
        assert w.state == "STARTING"
        assert w.process.record.probes is not None
        assert w.process.record.probes.answer == "connection refused"
        answers.answer = ""
        await w.pass_time(0.5)
        assert w.state == "RUNNING"


@pytest.mark.behaviour("policies.md#not-ready-in-time")
async def test_not_ready_in_time_is_a_failed_start(mock_clock: MockClock, answers: Answers) -> None:
    async with world(mock_clock, readiness=ready(timeout=10), stopwaitsecs=3) as w:
        w.recorder.launcher.prepare = stubborn
        await w.start()
        await w.pass_time(9.75)
        assert w.child.signals == []
        await w.pass_time(0.25)
        assert w.child.signals == [signal.SIGTERM]
        assert w.state == "STARTING"
        await w.pass_time(3)
        assert w.state == "BACKOFF"
        why = "not ready within 10 seconds (tcp:1: connection refused)"
        assert w.process.spawn_error == why
        assert f"WARN x: is {why}; it is stopped" in w.recorder.lines
        answers.answer = ""
        await w.pass_time(3)
        assert w.state == "RUNNING"
        assert w.process.record.failed_starts == 1


def stubborn(child: FakeChild) -> None:
    child.on_signal = ignore_all_but_kill


@pytest.mark.behaviour("policies.md#not-ready-in-time")
async def test_clients_learn_why_it_is_not_running(mock_clock: MockClock, answers: Answers) -> None:
    async with world(mock_clock, readiness=ready(timeout=2), startretries=0) as w:
        outcomes: list[str] = []

        async def start() -> None:
            try:
                await w.process.start()
            except SpawnFailed as error:
                outcomes.append(str(error))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            await w.pass_time(2)
        assert "not ready within 2 seconds (tcp:1: connection refused)" in outcomes[0]
        assert w.state == "FATAL"


@pytest.mark.behaviour("policies.md#ready-timeout")
async def test_without_a_timeout_it_may_take_for_ever(
    mock_clock: MockClock, answers: Answers
) -> None:
    async with world(mock_clock, readiness=ready(timeout=0)) as w:
        await w.start()
        mock_clock.jump(1e6)
        await wait_all_tasks_blocked()
        assert w.state == "STARTING"
        assert w.child.signals == []


@pytest.mark.behaviour("policies.md#a-stop-while-it-is-not-ready")
async def test_a_stop_while_it_waits(mock_clock: MockClock, answers: Answers) -> None:
    answers.hangs = True
    async with world(mock_clock, readiness=ready()) as w:
        await w.start()
        await w.pass_time(1)
        w.process.request_stop()
        assert w.child.signals == [signal.SIGTERM]
        await wait_all_tasks_blocked()
        assert w.state == "STOPPED"
        with pytest.raises(AbnormalTermination):
            w.process.attempt.check("x")


@pytest.mark.behaviour("policies.md#a-stop-while-it-is-not-ready")
async def test_a_stop_while_a_late_child_is_stopped_repeats_no_signal(
    mock_clock: MockClock, answers: Answers
) -> None:
    async with world(mock_clock, readiness=ready(timeout=2), stopwaitsecs=4) as w:
        w.recorder.launcher.prepare = stubborn
        await w.start()
        await w.pass_time(3)
        assert w.child.signals == [signal.SIGTERM]
        w.process.request_stop()
        assert w.state == "STOPPING"
        assert w.child.signals == [signal.SIGTERM]
        await w.pass_time(2.75)
        assert w.child.signals == [signal.SIGTERM]
        await w.pass_time(0.25)
        assert w.child.signals == [signal.SIGTERM, signal.SIGKILL]
        assert w.state == "STOPPED"
        await w.pass_time(100)
        assert w.state == "STOPPED"


@pytest.mark.behaviour("policies.md#not-ready-in-time")
async def test_an_end_before_it_is_ready(mock_clock: MockClock, answers: Answers) -> None:
    async with world(mock_clock, readiness=ready(), startsecs=0, startretries=0) as w:
        await w.start()
        await w.pass_time(2)
        w.child.die(0)
        await wait_all_tasks_blocked()
        assert w.state == "FATAL"
        assert w.process.spawn_error == "Exited before it was ready: tcp:1"


@pytest.mark.behaviour("policies.md#ready-by-a-line-of-output")
@pytest.mark.parametrize(
    ("condition", "pieces"),
    [
        ("log:is up", [b"it i", b"s up"]),
        ("log:~^up in [0-9]+ ms$", [b"not up in 5 ms\nup in", b" 5 ms\n"]),
    ],
)
async def test_ready_by_a_line_of_output(
    mock_clock: MockClock, condition: str, pieces: list[bytes]
) -> None:
    async with world(mock_clock, readiness=ready(condition), startsecs=0) as w:
        await w.start()
        for piece in pieces:
            assert w.state == "STARTING"
            w.child.write(piece)
            await w.pass_time(1)
        assert w.state == "RUNNING"


@pytest.mark.behaviour("policies.md#ready-by-a-line-of-output")
async def test_lines_of_an_earlier_child_do_not_count(mock_clock: MockClock) -> None:
    async with world(mock_clock, readiness=ready("log:up", timeout=0), startsecs=9) as w:
        await w.start()
        w.child.write(b"up\n")
        await w.pass_time(1)
        assert w.process.record.probes is not None
        assert w.process.record.probes.is_ready
        w.child.die(1)
        await w.pass_time(1)
        assert not w.process.record.probes.is_ready
        await w.pass_time(20)
        assert w.state == "STARTING"


@pytest.mark.behaviour("policies.md#ready-by-a-descriptor")
async def test_ready_by_a_descriptor(mock_clock: MockClock) -> None:
    theirs: list[int] = []
    async with world(mock_clock, readiness=ready("fd:7"), startsecs=0) as w:
        w.recorder.launcher.prepare = lambda child: theirs.append(duplicate(child))
        await w.start()
        assert w.child.spec.steps["descriptor"] == 7
        os.write(theirs[0], b"almost")
        await wait_all_tasks_blocked()
        assert w.state == "STARTING"
        os.write(theirs[0], b"\nrest")
        await w.pass_time(0.25)
        assert w.state == "RUNNING"
        os.close(theirs[0])


def duplicate(child: FakeChild) -> int:
    assert child.spec.descriptor is not None
    return os.dup(child.spec.descriptor)


@pytest.mark.behaviour("policies.md#ready-by-a-descriptor")
async def test_a_descriptor_that_is_closed_is_told_once(mock_clock: MockClock) -> None:
    async with world(mock_clock, readiness=ready("fd:3", timeout=5)) as w:
        await w.start()
        await w.pass_time(4)
        assert w.state == "STARTING"
        assert w.recorder.lines.count("WARN x: fd:3 was closed") == 1
        await w.pass_time(1)
        assert "not ready within 5 seconds (fd:3: closed without a newline)" in str(
            w.process.spawn_error
        )


def notify(child: FakeChild, message: str, *descriptors: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(child.spec.environment["NOTIFY_SOCKET"])
        socket.send_fds(sender, [message.encode()], list(descriptors))


@pytest.mark.behaviour("policies.md#ready-by-a-message")
async def test_ready_by_a_message(mock_clock: MockClock) -> None:
    async with world(mock_clock, readiness=ready("notify"), startsecs=0) as w:
        await w.start()
        path = w.child.spec.environment["NOTIFY_SOCKET"]
        directory = os.path.dirname(path)
        assert "WATCHDOG_USEC" not in w.child.spec.environment
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert os.stat(directory).st_mode & 0o777 == 0o711
        notify(w.child, "STATUS=loading\x1b 5 %\nX_FOO=1")
        await w.pass_time(0.25)
        assert w.state == "STARTING"
        assert w.process.record.probes is not None
        assert w.process.record.probes.status == r"loading\x1b 5 %"
        notify(w.child, "MAINPID=1\nREADY=1")
        await w.pass_time(0.25)
        assert w.state == "RUNNING"
        w.child.die(1)
        await w.pass_time(1)
        assert w.child.spec.environment["NOTIFY_SOCKET"] != path
        assert not os.path.exists(path)  # noqa: ASYNC240 - on a tmpfs
    assert not os.path.exists(directory)  # noqa: ASYNC240 - on a tmpfs


@pytest.mark.behaviour("policies.md#messages-of-programs")
async def test_a_barrier_is_answered_when_the_messages_before_it_are_read(
    mock_clock: MockClock,
) -> None:
    async with world(mock_clock, readiness=ready("notify"), startsecs=0) as w:
        await w.start()
        read, write = os.pipe()
        notify(w.child, "READY=1")
        notify(w.child, "BARRIER=1", write)
        os.close(write)
        await w.pass_time(0.25)
        assert w.state == "RUNNING"
        assert os.read(read, 1) == b""
        os.close(read)


@pytest.mark.behaviour("policies.md#messages-of-programs")
async def test_messages_extend_the_timeouts_of_start_and_stop(mock_clock: MockClock) -> None:
    options = {"readiness": ready("notify", timeout=5), "stopwaitsecs": 2}
    async with world(mock_clock, **options) as w:
        w.recorder.launcher.prepare = stubborn
        await w.start()
        notify(w.child, "EXTEND_TIMEOUT_USEC=1000000")  # less than is left
        await w.pass_time(4)
        notify(w.child, "EXTEND_TIMEOUT_USEC=6000000")
        await w.pass_time(5.75)
        assert w.child.signals == []
        notify(w.child, "READY=1")
        await w.pass_time(0.25)
        assert w.state == "RUNNING"
        w.process.request_stop()
        notify(w.child, "EXTEND_TIMEOUT_USEC=30000000\nSTOPPING=1")
        await w.pass_time(29.75)
        assert w.child.signals == [signal.SIGTERM]
        await w.pass_time(0.5)
        assert w.child.signals == [signal.SIGTERM, signal.SIGKILL]


@pytest.mark.behaviour("policies.md#messages-of-programs")
async def test_more_messages_than_allowed_wait_and_long_ones_are_ignored(
    mock_clock: MockClock,
) -> None:
    async with world(mock_clock, readiness=ready("notify")) as w:
        await w.start()
        probes = w.process.record.probes
        assert probes is not None
        notify(w.child, "READY=1\nX=" + "x" * 5000)
        await wait_all_tasks_blocked()
        assert not probes.is_ready
        assert "WARN x: a message of more than 4096 bytes is ignored" in w.recorder.lines
        for number in range(1, 65):
            notify(w.child, f"STATUS={number}")
            await wait_all_tasks_blocked()
        assert probes.status == "63"
        await w.pass_time(1)
        assert probes.status == "64"


HEALTHY, UNHEALTHY = "healthy", "unhealthy"


def verdicts(w: World) -> list[str]:
    return [
        event.payload().replace("processname:x groupname:x ", "")
        for event in w.recorder.events
        if isinstance(event, Extended)
    ]


def is_healthy(process: Process) -> bool:
    return not unhealthy_processes([process], asked=True)


def verdict(process: Process) -> str:
    assert process.record.probes is not None
    return process.record.probes.health.verdict.value


@pytest.mark.behaviour("policies.md#verdicts")
async def test_verdicts(mock_clock: MockClock, answers: Answers) -> None:
    options = {"health": health(on_unhealthy=OnUnhealthy.NONE), "startsecs": 2}
    async with world(mock_clock, **options) as w:
        await w.start()
        await w.pass_time(1.75)
        assert answers.times == []
        await w.pass_time(0.25)
        assert answers.times == [2.0]
        assert (verdict(w.process), is_healthy(w.process)) == ("unknown", False)
        await w.pass_time(20)
        assert answers.times == [2.0, 12.0, 22.0]
        assert verdict(w.process) == UNHEALTHY
        answers.answer = ""
        await w.pass_time(10)
        assert (verdict(w.process), is_healthy(w.process)) == (HEALTHY, True)
        answers.answer = "status 500"
        await w.pass_time(20)
        assert verdict(w.process) == HEALTHY
        await w.pass_time(10)
        assert verdict(w.process) == UNHEALTHY
        assert w.child.signals == []
        never = "has never succeeded: is the check right?"
        assert verdicts(w) == [
            f"from_verdict:unknown pid:1000\ntcp:1: connection refused, 3 times in a row; {never}",
            "from_verdict:unhealthy pid:1000\ntcp:1",
            "from_verdict:healthy pid:1000\ntcp:1: status 500, 3 times in a row",
        ]


@pytest.mark.behaviour("policies.md#restart-for-ill-health")
@pytest.mark.parametrize("autorestart", Autorestart)
async def test_a_restart_for_ill_health(
    mock_clock: MockClock, answers: Answers, autorestart: Autorestart
) -> None:
    options = {"health": health(failures=2, interval=5.0), "autorestart": autorestart}
    async with world(mock_clock, **options) as w:
        answers.answer = ""
        await w.start()
        await w.pass_time(2)
        answers.answer = "connection refused"
        await w.pass_time(10)
        assert w.child.spec is not None
        assert len(w.recorder.launcher.children) == 2
        first, second = w.recorder.launcher.children
        assert (first.signals, second.signals) == ([signal.SIGTERM], [])
        assert w.recorder.moves[2:] == [
            "STOPPING from_state:RUNNING pid:1000",
            "STOPPED from_state:STOPPING pid:1000",
            "STARTING from_state:STOPPED tries:0",
            "RUNNING from_state:STARTING pid:1001",
        ]
        assert w.process.record.automatic_restarts == 1
        why = "tcp:1: connection refused, 2 times in a row"
        assert f"WARN x: is unhealthy ({why}); it is restarted" in w.recorder.lines
        assert verdict(w.process) == "unknown"


@pytest.mark.behaviour("policies.md#restart-for-ill-health")
async def test_restarts_for_ill_health_count_for_the_limit(
    mock_clock: MockClock, answers: Answers
) -> None:
    limit = RestartOptions(restart_limit=RestartLimit(2, 600.0))
    options = {"health": health(failures=1), "restarting": limit, "autorestart": Autorestart.NEVER}
    async with world(mock_clock, **options) as w:
        await w.start()
        await w.pass_time(60)
        assert w.state == "FATAL"
        assert len(w.recorder.launcher.children) == 3
        assert w.process.spawn_error == "restarted 2 times within 600 seconds"


@pytest.mark.behaviour("policies.md#restart-for-ill-health")
async def test_a_stop_calls_off_a_restart_for_ill_health(
    mock_clock: MockClock, answers: Answers
) -> None:
    async with world(mock_clock, health=health(failures=1), stopwaitsecs=5) as w:
        w.recorder.launcher.prepare = stubborn
        await w.start()
        await w.pass_time(2)
        assert w.state == "STOPPING"
        w.process.request_stop()
        assert w.child.signals == [signal.SIGTERM]
        await w.pass_time(100)
        assert w.state == "STOPPED"
        assert len(w.recorder.launcher.children) == 1


@pytest.mark.behaviour("policies.md#restart-for-ill-health")
async def test_a_shutdown_calls_off_a_restart_for_ill_health(
    mock_clock: MockClock, answers: Answers
) -> None:
    async with world(mock_clock, health=health(failures=1)) as w:
        w.recorder.launcher.prepare = stubborn
        await w.start()
        await w.pass_time(2)
        w.recorder.host.accepting = False
        w.process.shut_down()
        await w.pass_time(100)
        assert w.state == "STOPPED"
        assert len(w.recorder.launcher.children) == 1


@pytest.mark.behaviour("policies.md#dump_signal")
@pytest.mark.parametrize("dies", [False, True])
async def test_the_dump_signal(mock_clock: MockClock, answers: Answers, dies: bool) -> None:
    options = {
        "health": health(failures=1, interval=1.0, dump_signal=signal.SIGUSR1),
        "autorestart": Autorestart.NEVER,
    }
    async with world(mock_clock, **options) as w:
        await w.start()
        await w.pass_time(1)
        first = w.child
        assert (w.state, first.signals) == ("RUNNING", [signal.SIGUSR1])
        checks = len(answers.times)
        await w.pass_time(1.75)
        assert (w.state, first.signals) == ("RUNNING", [signal.SIGUSR1])
        assert len(answers.times) == checks
        if dies:
            first.die(signal=signal.SIGABRT)
        await w.pass_time(0.25)
        assert first.signals == [signal.SIGUSR1, *([] if dies else [signal.SIGTERM])]
        assert len(w.recorder.launcher.children) == 2
        assert f"{'EXITED' if dies else 'STOPPED'} from" in " ".join(w.recorder.moves)


@pytest.mark.behaviour("policies.md#dump_signal")
async def test_a_stop_during_the_dump(mock_clock: MockClock, answers: Answers) -> None:
    checks = health(failures=1, dump_signal=signal.SIGUSR1)
    async with world(mock_clock, health=checks) as w:
        await w.start()
        await w.pass_time(1.5)
        w.process.request_stop()
        assert w.child.signals == [signal.SIGUSR1, signal.SIGTERM]
        await w.pass_time(50)
        assert w.state == "STOPPED"
        assert len(w.recorder.launcher.children) == 1


@pytest.mark.behaviour("policies.md#on_unhealthy")
async def test_on_unhealthy_stop(mock_clock: MockClock, answers: Answers) -> None:
    options = {"health": health(failures=1, on_unhealthy=OnUnhealthy.STOP)}
    async with world(mock_clock, **options) as w:
        await w.start()
        await w.pass_time(100)
        assert w.state == "STOPPED"
        assert len(w.recorder.launcher.children) == 1


@pytest.mark.behaviour("policies.md#verdicts")
async def test_a_check_that_hangs_holds_up_no_stop(mock_clock: MockClock, answers: Answers) -> None:
    answers.hangs = True
    async with world(mock_clock, health=health(timeout=1000.0)) as w:
        await w.start()
        await w.pass_time(5)
        assert len(answers.times) == 1
        w.process.request_stop()
        await wait_all_tasks_blocked()
        assert w.state == "STOPPED"


@pytest.mark.behaviour("policies.md#watchdog")
async def test_the_watchdog(mock_clock: MockClock) -> None:
    options = {"health": health("notify", interval=4.0, failures=9), "startsecs": 1}
    async with world(mock_clock, **options) as w:
        await w.start()
        environment = w.child.spec.environment
        assert environment["WATCHDOG_USEC"] == "4000000"
        assert "WATCHDOG_PID" not in environment
        await w.pass_time(4)
        assert verdict(w.process) == "unknown"
        notify(w.child, "WATCHDOG=1")
        await w.pass_time(3.75)
        assert verdict(w.process) == HEALTHY
        notify(w.child, "WATCHDOG=1")
        await w.pass_time(3.75)
        assert w.child.signals == []
        first = w.child
        await w.pass_time(0.5)
        assert first.signals == [signal.SIGTERM]
        line = "is unhealthy (notify: no WATCHDOG=1 within 4 seconds); it is restarted"
        assert f"WARN x: {line}" in w.recorder.lines


@pytest.mark.behaviour("policies.md#watchdog")
async def test_messages_that_nothing_could_read_count(mock_clock: MockClock) -> None:
    """As after the daemon itself was stopped (SIGSTOP) or the machine slept."""
    async with world(mock_clock, health=health("notify", interval=4.0)) as w:
        await w.start()
        await w.pass_time(2)
        notify(w.child, "WATCHDOG=1")
        mock_clock.jump(100)
        await wait_all_tasks_blocked()
        assert (verdict(w.process), w.child.signals) == (HEALTHY, [])


@pytest.mark.behaviour("policies.md#watchdog")
async def test_a_program_can_ask_to_be_restarted(mock_clock: MockClock) -> None:
    async with world(mock_clock, health=health("notify")) as w:
        await w.start()
        await w.pass_time(2)
        first = w.child
        notify(w.child, "WATCHDOG=trigger")
        await w.pass_time(0.25)
        assert first.signals == [signal.SIGTERM]


async def test_programs_without_policies_have_no_record(mock_clock: MockClock) -> None:
    async with world(mock_clock) as w:
        await w.start()
        await w.pass_time(2)
        assert w.process.record.probes is None
        assert is_healthy(w.process)


@pytest.mark.behaviour("policies.md#policies-of-tasks")
async def test_a_task_that_serves_a_port(mock_clock: MockClock, answers: Answers) -> None:
    runs: list[float] = []

    async def serve() -> None:
        runs.append(trio.current_time())
        await trio.sleep_forever()

    recorder = Recorder()
    config = definitions.task("x", serve, {"ready": "tcp:1", "health": "tcp:1", "startsecs": 0})
    group = recorder.group(*config.processes)
    async with running(group, recorder.host):
        w = World(recorder, group.processes["x"], mock_clock)
        await w.start()
        await w.pass_time(5)
        assert w.state == "STARTING"
        answers.answer = ""
        await w.pass_time(1)
        assert w.state == "RUNNING"
        answers.answer = "connection refused"
        await w.pass_time(31)
        assert len(runs) == 2
        assert w.process.record.automatic_restarts == 1
