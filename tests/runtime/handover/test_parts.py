"""A supervisor is let go and another one, in the same process, goes on with its state.

Children are real, and the state goes through its encoded form, as at an upgrade.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import socket
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.fakes import log_lines, program
from tests.kit.puppet import Theatre
from trio_supervisor.core.config.depends_on import Dependencies, Dependency
from trio_supervisor.core.config.model import (
    Autorestart,
    ChannelConfig,
    Config,
    DaemonConfig,
    FastCgiSocket,
    GroupConfig,
    GroupKind,
    LogFormat,
    PoolConfig,
    Readiness,
)
from trio_supervisor.core.config.probes import DescriptorNewline, LogLine, Notify
from trio_supervisor.core.events import ProcessCommunication, ProcessState, RemoteCommunication
from trio_supervisor.core.handover.versions import decoded, encoded
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.states import ListenerState, State
from trio_supervisor.runtime.events.bus import Bus
from trio_supervisor.runtime.handover.departure import CannotLetGo, settle_logs, when_ready
from trio_supervisor.runtime.handover.parts import let_go_of_sockets, state_of, take_over
from trio_supervisor.runtime.logs import missing
from trio_supervisor.runtime.logs.log_opening import LogOpening
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
from trio_supervisor.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.events import Event
    from trio_supervisor.core.handover.state import HandedState
    from trio_supervisor.runtime.events.pool import Pool
    from trio_supervisor.runtime.logs.log_opening import LogRequest, OpenLog
    from trio_supervisor.runtime.process.process import Process


class NoServers:
    """No HTTP servers, so no requests."""

    def hold(self) -> None:
        pass

    def release(self) -> None:
        pass

    def busy(self, seconds: float = 0.0) -> str:
        return ""


class Line:
    """A line of supervisors, each of which goes on with the state of the one before."""

    def __init__(self, nursery: trio.Nursery, config: Config) -> None:
        self.log: list[str] = []
        self._nursery = nursery
        self.launcher = ProcessLauncher(0.05)
        self.now = self._made(config)
        self.ended = trio.Event()

    def process(self, name: str) -> Process:
        return self.now.process(name)

    async def begin(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self.ended = trio.Event()
        await self.now.run(task_status=task_status)
        self.ended.set()

    async def next(self, while_nobody_looks: Callable[[], object] = lambda: None) -> Supervisor:
        """Hand over to another supervisor."""
        await when_ready(self.now, NoServers(), 20)
        self.now.let_go()
        await self.ended.wait()
        assert settle_logs(self.now) == ""
        handed = state_of(self.now)
        data = encoded(handed, trio.current_time(), time.monotonic())
        let_go_of_sockets(self.now)
        while_nobody_looks()
        again = decoded(data, trio.current_time(), time.monotonic())
        self.launcher.close()
        self.launcher = ProcessLauncher(0.05)
        self.now = self._made(Config(daemon=again.supervisor.config.daemon))
        take_over(self.now, again, self.launcher.registry, lambda: None)
        await self._nursery.start(self.begin)
        return self.now

    def _made(self, config: Config) -> Supervisor:
        log = log_lines(self.log)
        return Supervisor(config, log=log, environment={}, bus=Bus(log), launch=self.launcher)


@asynccontextmanager
async def supervisors(
    *groups: GroupConfig, daemon: DaemonConfig | None = None, handed: HandedState | None = None
) -> AsyncIterator[Line]:
    """``handed`` is what the first one goes on with; None: nothing."""
    config = Config(daemon=daemon or DaemonConfig(), groups=groups)
    before = set(os.listdir("/proc/self/fd"))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            line = Line(nursery, config)
            if handed is not None:
                take_over(line.now, handed, line.launcher.registry, lambda: None)
            await nursery.start(line.begin)
            yield line
            await line.now.shutdown()
        line.launcher.close()
    assert set(os.listdir("/proc/self/fd")) <= before  # every descriptor was handed over or closed


def group(*processes: ProcessConfig, **options: object) -> GroupConfig:
    return GroupConfig(processes[0].name, processes, **options)  # type: ignore[arg-type]  # data


def logged(path: Path) -> ChannelConfig:
    return ChannelConfig(logfile=str(path))


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  # of several objects, one after the other
        await trio.sleep(0.005)


async def test_a_child_goes_on_with_its_pipes_and_its_pid(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    log = tmp_path / "log"
    config = program("x", command=theatre.command, stdout=logged(log), startsecs=0)
    async with supervisors(group(config)) as line:
        puppet = await theatre.next()
        await line.process("x").wait_for(State.RUNNING)
        await puppet.do("write b'half a '")
        began = line.process("x").uptime
        for number in range(3):
            await line.next()
            x = line.process("x")
            assert (x.state, x.pid, x.history.spawns) == (State.RUNNING, puppet.pid, 1)
            await puppet.do(f"write b'line {number} '")
            x.send_stdin(b"word%d" % number)
            assert await puppet.do("read 5") == repr(b"word%d" % number)
        assert line.process("x").uptime > began
        await until(lambda: log.read_bytes() == b"half a line 0 line 1 line 2 ")
        assert line.process("x").stdout.tail.count == 28
        await theatre.aclose()


async def test_an_exit_while_nobody_looks_is_seen_with_its_last_words(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    log = tmp_path / "log"
    config = program(
        "x", command=theatre.command, stdout=logged(log), autorestart=Autorestart.NEVER, startsecs=0
    )
    async with supervisors(group(config)) as line:
        puppet = await theatre.next()
        await line.process("x").wait_for(State.RUNNING)

        def die() -> None:
            os.kill(puppet.pid, signal.SIGKILL)
            os.waitid(os.P_PID, puppet.pid, os.WEXITED | os.WNOWAIT)

        await puppet.do("write b'last words'")
        await line.next(die)
        x = line.process("x")
        assert await x.wait() == Exit(None, signal.SIGKILL)
        assert log.read_bytes() == b"last words"
        await theatre.aclose()


@pytest.mark.behaviour("upgrade.md#filters-and-protocols-go-on-in-the-middle")
async def test_filters_go_on_in_the_middle_of_what_they_look_for(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    log = tmp_path / "log"
    out = ChannelConfig(logfile=str(log), capture_maxbytes=100, events_enabled=True)
    config = program("x", command=theatre.command, stdout=out, startsecs=0)
    async with supervisors(group(config), daemon=DaemonConfig(strip_ansi=True)) as line:
        puppet = await theatre.next()
        await line.process("x").wait_for(State.RUNNING)
        pieces = [
            b"plain \x1b[3",
            b"1mred<!--XSUPERV",
            b"ISOR:BEGIN-->se",
            b"cret<!--XSUPERVISOR:E",
            b"ND-->\xc3",
            b"\xa4 end\n",
        ]
        captured: list[bytes] = []

        def see(event: Event) -> None:
            if isinstance(event, ProcessCommunication):
                captured.append(event.data)

        line.now._host.bus.observe(see)
        for piece in pieces:
            await puppet.do(f"write {piece!r}")
            (await line.next())._host.bus.observe(see)
        await until(lambda: log.read_bytes() == "plain redä end\n".encode())
        assert captured == [b"secret"]
        await theatre.aclose()


@pytest.mark.behaviour("upgrade.md#filters-and-protocols-go-on-in-the-middle")
async def test_a_line_of_a_log_format_goes_on(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    log = tmp_path / "log"
    config = program(
        "x",
        command=theatre.command,
        stdout=logged(log),
        startsecs=0,
        log_format=LogFormat.PREFIX,
    )
    async with supervisors(group(config)) as line:
        puppet = await theatre.next()
        await line.process("x").wait_for(State.RUNNING)
        await puppet.do("write b'one '")
        await line.next()
        await puppet.do("write b'line\\n'")
        await until(lambda: log.exists() and log.read_text().endswith(" x stdout one line\n"))
        assert log.read_text().count("\n") == 1
        await theatre.aclose()


@pytest.mark.behaviour("upgrade.md#filters-and-protocols-go-on-in-the-middle")
async def test_stdin_that_the_child_has_not_read_is_delivered_later(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    config = program("x", command=theatre.command, startsecs=0)
    async with supervisors(group(config)) as line:
        puppet = await theatre.next()
        await line.process("x").wait_for(State.RUNNING)
        data = bytes(range(256)) * 1024
        line.process("x").send_stdin(data)
        line.process("x").close_stdin()
        pending = line.process("x").stdin_pending
        assert 0 < pending < len(data)
        await line.next()
        await until(lambda: line.process("x").stdin_pending == pending)
        digest = await puppet.do(
            "eval __import__('hashlib').sha256(sys.stdin.buffer.read()).hexdigest()"
        )
        assert digest == repr(hashlib.sha256(data).hexdigest())
        await theatre.aclose()


@pytest.mark.behaviour("upgrade.md#logs-are-opened-again")
async def test_a_log_that_cannot_be_opened_again_costs_no_pipe(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    log = tmp_path / "x.log"
    config = program("x", command=theatre.command, startsecs=0, stdout=logged(log))
    async with supervisors(group(config)) as line:
        puppet = await theatre.next()
        await line.process("x").wait_for(State.RUNNING)
        log.unlink()
        log.mkdir()
        await line.next()
        await until(lambda: any("output is dropped until it works" in text for text in line.log))
        line.process("x").send_stdin(b"still there")
        assert await puppet.do("eval os.read(0, 100)") == repr(b"still there")
        await line.next()
        line.process("x").send_stdin(b"again")
        assert await puppet.do("eval os.read(0, 100)") == repr(b"again")
        await theatre.aclose()


class NoDescriptors:
    """Logs cannot be opened, until ``end``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._open = LogOpening._open
        self.attempts = 0

    def begin(self) -> None:
        self._monkeypatch.setattr(LogOpening, "_open", self._refuse)

    def end(self) -> None:
        self._monkeypatch.setattr(LogOpening, "_open", self._open)

    def _refuse(self, request: LogRequest) -> OpenLog:
        self.attempts += 1
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), request.path)


@pytest.mark.behaviour("upgrade.md#logs-are-opened-again")
async def test_output_waits_for_a_log_that_lacks_a_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, however much the child writes, and a further upgrade waits."""
    monkeypatch.setattr(missing, "RETRY", 0.02)
    theatre, lack = Theatre(tmp_path), NoDescriptors(monkeypatch)
    log = tmp_path / "x.log"
    config = program("x", command=theatre.command, startsecs=0, stdout=logged(log))
    async with supervisors(group(config)) as line:
        puppet = await theatre.next()
        await line.process("x").wait_for(State.RUNNING)
        await line.next(lack.begin)
        await until(lambda: any("output waits until it works" in text for text in line.log))
        await puppet.do("write b'first\\n'")
        await until(lambda: line.process("x").stdout.targets.missing[0].kept)
        with pytest.raises(CannotLetGo, match=r"the log \S+x.log cannot be opened"):
            await when_ready(line.now, NoServers(), 0)
        await until(lambda: lack.attempts > 3)
        lack.end()
        await until(lambda: log.exists() and log.read_text() == "first\n")
        await line.next(lack.begin)
        much = "lambda: (os.write(1, b'x' * 1_000_000), os._exit(3))"
        await puppet.do(f"run import threading; threading.Thread(target={much}).start()")
        await until(lambda: line.process("x").stdout.targets.missing[0].kept)
        lack.end()
        await until(lambda: line.process("x").state is not State.RUNNING)
        assert log.read_text() == "first\n" + "x" * 1_000_000
        await theatre.aclose()


@pytest.mark.behaviour("upgrade.md#logs-are-opened-again")
@pytest.mark.parametrize("is_over", [True, False])
async def test_the_last_words_of_a_child_wait_for_a_log_that_lacks_a_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_over: bool
) -> None:
    """They are lost only if that lasts, and then it is told."""
    monkeypatch.setattr(missing, "RETRY", 600)
    monkeypatch.setattr(missing, "AT_END", 30 if is_over else 0.1)
    theatre, lack = Theatre(tmp_path), NoDescriptors(monkeypatch)
    log = tmp_path / "x.log"
    config = program("x", command=theatre.command, startsecs=0, stdout=logged(log))
    async with supervisors(group(config)) as line:
        puppet = await theatre.next()
        await line.process("x").wait_for(State.RUNNING)
        await line.next(lack.begin)
        attempts = lack.attempts
        await puppet.do("write b'last words\\n'")
        puppet.kill()
        await until(lambda: lack.attempts > attempts)
        if is_over:
            lack.end()
        await until(lambda: line.process("x").state is not State.RUNNING)
        told = [text for text in line.log if "x.log" in text]
        assert (log.exists() and log.read_text() == "last words\n") is is_over
        assert ("no bytes were dropped" in told[-1]) is is_over
        assert ("closed; 11 bytes were dropped" in told[-1]) is not is_over
        await theatre.aclose()


@pytest.mark.behaviour("upgrade.md#filters-and-protocols-go-on-in-the-middle")
async def test_a_listener_goes_on_in_the_middle_of_an_event(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    stdout = logged(tmp_path / "l.log")
    config = program("l", command=theatre.command, startsecs=0, stdout=stdout)
    pool = GroupConfig(
        "l",
        (config,),
        kind=GroupKind.POOL,
        pool=PoolConfig(frozenset({"REMOTE_COMMUNICATION"}), buffer_size=10),
    )
    async with supervisors(pool) as line:
        puppet = await theatre.next()
        await line.process("l").wait_for(State.RUNNING)
        await puppet.do("write b'READY\\n'")

        def dispatcher() -> Pool:
            found = line.now.groups["l"].pool
            assert found is not None
            return found

        def listener() -> ListenerState:
            return dispatcher().listeners[0][1]

        def waiting() -> int:
            return dispatcher().buffer.count

        await until(lambda: listener() is ListenerState.READY)
        for number in range(3):
            line.now.publish(RemoteCommunication("type", f"data {number}"))
        await until(lambda: listener() is ListenerState.BUSY)
        await puppet.do("write b'RESULT '")
        await line.next()
        assert listener() is ListenerState.BUSY
        await puppet.do("write b'2\\nO'")
        await line.next()
        await puppet.do("write b'KREADY\\n'")
        await until(lambda: waiting() == 1)
        both = await puppet.do("eval os.read(0, 4096).decode()")
        assert both.count("poolserial:") == 2
        assert both.index("poolserial:0 ") < both.index("poolserial:1 ")
        await line.next()
        await puppet.do("write b'RESULT 2\\nOKREADY\\n'")
        await until(lambda: waiting() == 0)
        assert "poolserial:2 " in await puppet.do("eval os.read(0, 4096).decode()")
        await puppet.do("write b'RESULT 2\\nOKREADY\\n'")
        await until(lambda: listener() is ListenerState.READY)
        await line.next()
        line.now.publish(RemoteCommunication("type", "early"))  # before its logs are open
        assert "poolserial:3 " in await puppet.do("eval os.read(0, 4096).decode()")
        await theatre.aclose()


@pytest.mark.behaviour("upgrade.md#times-go-on")
async def test_timers_go_on(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    backoff = program("b", command="/bin/false", startsecs=5, startretries=1)
    starting = program("s", command=theatre.command, startsecs=1)
    stopping = program("d", command=theatre.command, startsecs=0, stopwaitsecs=0.8)
    async with supervisors(group(stopping), group(starting), group(backoff)) as line:
        puppet = await theatre.next()
        await theatre.next()
        d = line.process("d")
        await d.wait_for(State.RUNNING)
        deaf = puppet if puppet.pid == d.pid else None
        assert deaf is not None or d.pid
        await puppet.do("ignore 15")
        line.process("d").request_stop()
        await line.process("b").wait_for(State.BACKOFF)
        await line.next()
        assert line.process("s").state is State.STARTING
        assert line.process("b").state is State.BACKOFF
        await line.process("b").wait_for(State.FATAL)
        await line.process("s").wait_for(State.RUNNING)
        await line.process("d").ended()
        await theatre.aclose()


@pytest.mark.behaviour("upgrade.md#times-go-on")
async def test_processes_that_wait_for_others_go_on_waiting(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    db = program("db", command=theatre.command, startsecs=0, autostart=False)
    needs = Dependencies((Dependency("db", None, soft=False),))
    web = program("web", command="/bin/sleep 100", startsecs=0, dependencies=needs)
    async with supervisors(group(db), group(web)) as line:
        puppet = await theatre.next()
        await line.process("web").wait_for(State.RUNNING)
        del puppet
        line.process("web").request_stop()
        await line.process("web").ended()
        await line.process("db").stop()
        line.process("web").begin()
        await until(lambda: line.process("web").waiting)
        waiting = line.process("web").waiting
        assert waiting.startswith("waiting for db")
        await line.next()
        assert line.process("web").waiting == waiting
        line.process("db").begin()
        await theatre.next()
        await line.process("web").wait_for(State.RUNNING)
        await theatre.aclose()


@pytest.mark.parametrize("kind", ["fd", "log", "notify"])
async def test_readiness_is_waited_for_by_the_next_one(tmp_path: Path, kind: str) -> None:
    theatre = Theatre(tmp_path)
    conditions: dict[str, DescriptorNewline | LogLine | Notify]
    conditions = {"fd": DescriptorNewline(3), "log": LogLine("it is up"), "notify": Notify()}
    config = program(
        "x", command=theatre.command, startsecs=0, readiness=Readiness(conditions[kind], 60)
    )
    say = {
        "fd": ("eval os.write(3, b'so')", "eval os.write(3, b'on\\n')"),
        "log": ("write b'... it i'", "write b's up ...'"),
        "notify": (
            _notify("STATUS=loading"),
            _notify("READY=1"),
        ),
    }[kind]
    async with supervisors(group(config)) as line:
        puppet = await theatre.next()
        for words, state in zip(say, (State.STARTING, State.RUNNING), strict=True):
            await puppet.do(words)
            await until(partial(_is, line, state))
            await line.next()
        assert line.process("x").state is State.RUNNING
        await theatre.aclose()


def _is(line: Line, state: State) -> bool:
    return line.process("x").state is state


def _notify(message: str) -> str:
    return (
        "eval socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)"
        f".sendto({message.encode()!r}, os.environ['NOTIFY_SOCKET'])"
    )


async def test_a_fastcgi_socket_stays_open(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    path = tmp_path / "f.sock"
    config = program(
        "x", command=theatre.command, startsecs=0, socket=FastCgiSocket(f"unix://{path}")
    )
    async with supervisors(group(config, kind=GroupKind.FCGI)) as line:
        puppet = await theatre.next()
        await line.process("x").wait_for(State.RUNNING)
        inode = os.lstat(path).st_ino

        def connect() -> None:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))

        await line.next(connect)
        connect()
        assert os.lstat(path).st_ino == inode
        await puppet.do("eval socket.socket(fileno=0).accept()")
        await theatre.aclose()


async def test_history_journal_and_numbers_go_on(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    config = program("x", command=theatre.command, startsecs=0)
    async with supervisors(group(config)) as line:
        await theatre.next()
        await line.process("x").wait_for(State.RUNNING)
        before = line.now
        mark, entries = before.event_history.mark, before.journal.memory.all()
        await line.next()
        assert line.now.event_history.mark == mark
        assert line.now.journal.memory.all() == entries
        assert line.now.journal.number == before.journal.number
        assert line.now.started == before.started
        why = await line.now.why("x")
        assert [entry.new for entry in why.chain] == ["RUNNING", "STARTING", "RUNNING"]
        async with line.now.events(ProcessState) as events:
            await line.process("x").stop()
            serials = [(await events.receive()).serial for _ in range(2)]
        assert serials == [before._host.bus._serials.following + n for n in range(2)]
        await theatre.aclose()
