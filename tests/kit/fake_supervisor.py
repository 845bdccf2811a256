"""A supervisor without processes: it behaves as the web and RPC layers see the real one.

Starts and stops happen at once, or when the test lets them: a process whose ``gate`` is set waits
there before it changes its state.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import trio

from trio_supervisor.core.config.access import Credentials
from trio_supervisor.core.config.model import (
    Config,
    Diff,
    GroupConfig,
    GroupKind,
    ProcessConfig,
    RpcInterface,
    Severity,
)
from trio_supervisor.core.errors import (
    AbnormalTermination,
    AlreadyAdded,
    AlreadyStarted,
    BadName,
    NoFile,
    NotRunning,
    RequestError,
    ShuttingDown,
    StillRunning,
)
from trio_supervisor.core.plan import Plan, PlanStep, StepKind
from trio_supervisor.core.process.record import ProcessRecord
from trio_supervisor.core.process.states import (
    RUNNING_STATES,
    SIGNALLABLE_STATES,
    STOPPED_STATES,
    DaemonState,
    State,
)
from trio_supervisor.runtime.events.bus import Bus
from trio_supervisor.runtime.events.history import EventHistory
from trio_supervisor.runtime.events.subscription import BUFFER_SIZE, EventStream, EventStreams
from trio_supervisor.runtime.groups import operations
from trio_supervisor.runtime.inspect.sampler import UsageSampler
from trio_supervisor.runtime.journal.journal import Journal
from trio_supervisor.runtime.logs.growth import LogWrites
from trio_supervisor.runtime.output.subscriptions import Subscriptions
from trio_supervisor.runtime.output.tail_buffer import TailBuffer
from trio_supervisor.runtime.upgrades import Upgrades

if TYPE_CHECKING:
    from trio_supervisor.core.events import Event
    from trio_supervisor.core.journal.chain import Why
    from trio_supervisor.core.journal.entry import JournalEntry
    from trio_supervisor.runtime.groups.operations import StepResult
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor

#: The wall clock of every fake supervisor.
NOW = 1_700_000_000.0
BOB = Credentials("bob", "p:w")


@dataclass
class FakeChannel:
    name: str
    logfile: str | None = None
    broken: bool = False
    tail: TailBuffer = field(default_factory=TailBuffer)
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    written: dict[float, int] = field(default_factory=dict)
    """Bytes of the last so many seconds."""

    has_format: bool = False
    stretches: list[tuple[int, float, float]] = field(default_factory=list)

    def written_since(self, seconds: float) -> int:
        return self.written[seconds]

    @property
    def written_to_log(self) -> int:
        return self.tail.count

    def stretches_since(self, offset: int) -> list[tuple[int, float, float]]:
        return self.stretches

    async def clear(self) -> None:
        if self.broken:
            raise PermissionError(13, "Permission denied", self.logfile)
        if self.logfile is not None:
            os.truncate(self.logfile, 0)

    async def reopen(self) -> None:
        if self.broken:
            raise PermissionError(13, "Permission denied", self.logfile)


@dataclass
class FakeProcess:
    config: ProcessConfig
    group: str
    kind: GroupKind = GroupKind.PLAIN
    state: State = State.STOPPED
    pid: int = 0
    started: float = 0.0
    stopped: float = 0.0
    exit_status: int = 0
    spawn_error: str = ""
    phase: str = ""
    is_being_made: bool = False
    waiting: str = ""
    failure: RequestError | None = None
    """What the next start raises."""
    gate: trio.Event | None = None
    coordination: None = None
    is_dead: bool = False
    signals: list[int] = field(default_factory=list)
    stdin: bytes = b""
    refreshes: int = 0
    record: ProcessRecord = field(default_factory=ProcessRecord)

    def __setattr__(self, name: str, value: object) -> None:
        """What is set here is in the record too."""
        object.__setattr__(self, name, value)
        if hasattr(self, "record") and name in ProcessRecord.__slots__:
            setattr(self.record, name, value)

    def __post_init__(self) -> None:
        for name in ("state", "pid", "started", "stopped", "exit_status", "spawn_error"):
            setattr(self.record, name, getattr(self, name))
        self.stdout = FakeChannel("stdout")
        self.stderr = FakeChannel("stderr")

    @property
    def history(self) -> ProcessRecord:
        return self.record

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def full_name(self) -> str:
        return self.name if self.name == self.group else f"{self.group}:{self.name}"

    @property
    def key(self) -> tuple[str, str]:
        return self.group, self.name

    @property
    def uptime(self) -> float:
        return NOW - self.started if self.state in SIGNALLABLE_STATES else 0.0

    @property
    def stopping(self) -> bool:
        return self.state is State.STOPPING

    @property
    def driver(self) -> FakeProcess:
        return self

    def run(self, pid: int = 4242) -> None:
        self.state, self.pid, self.started = State.RUNNING, pid, NOW - 65

    async def start_once(self, *, wait: bool = True) -> None:
        if isinstance(self.failure, NoFile):
            raise self.failure
        if self.state in RUNNING_STATES:
            raise AlreadyStarted(self.full_name)
        if self.state is State.STOPPING:
            raise AbnormalTermination(self.full_name)
        if self.failure is not None:
            raise self.failure
        self.state = State.STARTING
        if wait and self.gate is not None:
            await self.gate.wait()
        await trio.lowlevel.checkpoint()
        self.run()

    async def start_without_dependencies(self, *, wait: bool = True) -> None:
        await self.start_once(wait=wait)

    async def stop(self, *, wait: bool = True) -> None:
        if self.state is State.STOPPING:
            if wait:
                await self.ended()
            return
        if self.state not in RUNNING_STATES:
            raise NotRunning(self.full_name)
        self.state = State.STOPPING
        if not wait:
            return
        if self.gate is not None:
            await self.gate.wait()
        await trio.lowlevel.checkpoint()
        self.state, self.pid, self.stopped = State.STOPPED, 0, NOW

    async def restart_once(
        self, *, wait: bool = True, check: Callable[[], object] = lambda: None
    ) -> None:
        with suppress(NotRunning):
            await self.stop()
        check()
        await self.start_once(wait=wait)

    async def ended(self) -> None:
        while self.state not in STOPPED_STATES:
            await trio.lowlevel.checkpoint()

    def signal(self, signal: int) -> None:
        if self.state not in SIGNALLABLE_STATES:
            raise NotRunning(self.full_name)
        self.signals.append(signal)

    async def refresh(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.state is not State.RUNNING:
            raise NotRunning(self.full_name)
        if self.failure is not None:
            raise self.failure
        self.refreshes += 1

    def send_stdin(self, data: bytes) -> None:
        if not self.pid:
            raise NotRunning(self.full_name)
        self.stdin += data


@dataclass
class FakeGroup:
    config: GroupConfig
    processes: dict[str, FakeProcess]
    pool: None = None

    @property
    def name(self) -> str:
        return self.config.name


@dataclass
class FakeResult:
    process: FakeProcess
    error: RequestError | None = None


def _begin_anew(path: str) -> None:
    Path(path).unlink()
    Path(path).write_bytes(b"new\n")


@dataclass
class FakeActivity:
    path: str | None
    broken: bool = False

    async def settled(self) -> None: ...

    async def clear(self) -> None:
        if self.broken:
            raise PermissionError(13, "Permission denied", self.path)
        if self.path is not None:
            _begin_anew(self.path)

    async def reopen(self) -> None:
        if self.broken:
            raise PermissionError(13, "Permission denied", self.path)


@dataclass
class FakeDependencies:
    """Nothing depends on anything."""

    graph: None = None


@dataclass
class FakeActive:
    dependencies: FakeDependencies = field(default_factory=FakeDependencies)


class FakeSupervisor:
    """Made of names such as ``cat`` or ``grp:ga``."""

    def __init__(
        self,
        *names: str,
        rpcinterfaces: tuple[str, ...] = ("supervisor",),
        autostart: bool = True,
    ) -> None:
        members: dict[str, list[ProcessConfig]] = {}
        for full_name in names:
            group, _, process = full_name.partition(":")
            config = ProcessConfig(process or group, "/bin/cat", autostart=autostart)
            members.setdefault(group, []).append(config)
        self.candidates = tuple(
            GroupConfig(name=name, processes=tuple(programs)) for name, programs in members.items()
        )
        self.config = Config(
            groups=self.candidates,
            rpcinterfaces=tuple(RpcInterface(space, "module:factory") for space in rpcinterfaces),
        )
        self.state = DaemonState.RUNNING
        self.started = NOW - 65
        self.event_history = EventHistory(self.wall_clock)
        self.journal = Journal(self.wall_clock)
        self.usage = UsageSampler(cast("Callable[[], list[Process]]", self.processes))
        self.groups: dict[str, FakeGroup] = {}
        for candidate in self.candidates:
            self.add_group(candidate.name)
        self.activity: FakeActivity | None = None
        self.log_writes = LogWrites()
        self.lines: list[str] = []
        self.communications: list[tuple[str, str]] = []
        self.found = Diff()
        self.failure: RequestError | None = None
        """What the next reread or restart raises."""
        self.bus = Bus(self.log)
        self.streams = EventStreams(self.bus, self.wall_clock)
        self.events_buffer = BUFFER_SIZE
        self.active = FakeActive()
        self.upgrades = Upgrades()

    @property
    def uptime(self) -> float:
        return NOW - self.started

    @property
    def real(self) -> Supervisor:
        """The same object, for those who expect the real one."""
        return cast("Supervisor", self)

    def wall_clock(self) -> float:
        return NOW

    def log(self, severity: Severity, text: str) -> None:
        self.lines.append(f"{severity.name} {text}")

    def publish(self, event: Event) -> None:
        self.bus.publish(event)

    def events(self, *types: str | type[Event]) -> EventStream[Any]:
        return self.streams.open(types, self.events_buffer)

    def processes(self) -> list[FakeProcess]:
        return [p for group in self.groups.values() for p in group.processes.values()]

    def process(self, name: str) -> FakeProcess:
        group, colon, process = name.partition(":")
        processes = self.groups[group].processes if group in self.groups else {}
        if (process if colon else name) not in processes:
            raise BadName(name)
        return processes[process if colon else name]

    def group(self, name: str) -> FakeGroup:
        if name not in self.groups:
            raise BadName(name)
        return self.groups[name]

    async def start_once(
        self, processes: Iterable[FakeProcess], *, wait: bool = True
    ) -> list[FakeResult]:
        results = []
        for process in [p for p in processes if p.state not in RUNNING_STATES]:
            try:
                await process.start_once(wait=wait)
            except RequestError as error:
                results.append(FakeResult(process, error))
            else:
                results.append(FakeResult(process))
        return results

    async def stop(
        self, processes: Iterable[FakeProcess], *, wait: bool = True
    ) -> list[FakeResult]:
        applied = [p for p in processes if p.state in (*RUNNING_STATES, State.STOPPING)]
        for process in applied:
            await process.stop(wait=wait)
        return [FakeResult(process) for process in applied]

    async def restart_once(
        self,
        processes: Iterable[FakeProcess],
        *,
        wait: bool = True,
        check: Callable[[], object] = lambda: None,
    ) -> list[FakeResult]:
        processes = list(processes)
        await self.stop(processes)
        check()
        return await self.start_once(processes, wait=wait)

    def signal(self, processes: Iterable[FakeProcess], signal: int) -> list[FakeResult]:
        applied = [p for p in processes if p.state in SIGNALLABLE_STATES]
        for process in applied:
            process.signal(signal)
        return [FakeResult(process) for process in applied]

    async def refresh(self, processes: Iterable[FakeProcess]) -> list[FakeResult]:
        results = []
        for process in processes:
            try:
                await process.refresh()
            except RequestError as error:
                results.append(FakeResult(process, error))
            else:
                results.append(FakeResult(process))
        return results

    async def reopen_logs(self) -> None:
        if self.activity is not None:
            await self.activity.reopen()
        await self.reopen_logs_of(self.processes())

    async def reopen_logs_of(self, processes: Iterable[FakeProcess]) -> None:
        for process in processes:
            for channel in (process.stdout, process.stderr):
                try:
                    await channel.reopen()
                except OSError as error:
                    self.log(Severity.CRITICAL, f"could not reopen {channel.logfile}: {error}")

    async def why(self, name: str) -> Why:
        process = self.process(name)
        return await self.journal.why(process.full_name, process.config, process.record)

    async def history(
        self,
        names: Collection[str] = (),
        *,
        since: float | None = None,
        kind: str | None = None,
        limit: int | None = None,
    ) -> list[JournalEntry]:
        return await self.journal.select(names, since, kind, limit)

    async def reread(self) -> Diff:
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        return self.found

    async def update(self) -> list[StepResult]:
        found = await self.reread()
        kinds = (
            (StepKind.STOP, found.removed),
            (StepKind.REPLACE, found.changed),
            (StepKind.START, found.added),
        )
        steps = (PlanStep(kind, name) for kind, names in kinds for name in names)
        return await operations.apply(Plan(tuple(steps)), self)

    def is_active(self, name: str) -> bool:
        return name in self.groups

    def is_current(self, name: str) -> bool:
        wanted = next((group for group in self.candidates if group.name == name), None)
        return name in self.groups and self.groups[name].config == wanted

    def require_running(self) -> None:
        if self.state is not DaemonState.RUNNING:
            raise ShuttingDown

    def add_group(self, name: str) -> None:
        if name in self.groups:
            raise AlreadyAdded(name)
        for group in self.candidates:
            if group.name == name:
                processes = {p.name: FakeProcess(p, name) for p in group.processes}
                self.groups[name] = FakeGroup(group, processes)
                return
        raise BadName(name)

    def remove_group(self, name: str) -> None:
        if any(p.state not in STOPPED_STATES for p in self.group(name).processes.values()):
            raise StillRunning(name)
        del self.groups[name]

    async def remove_stopped(self, name: str) -> None:
        self.remove_group(name)

    async def remove(self, name: str) -> None:
        await self.stop(self.group(name).processes.values())
        self.remove_group(name)

    def request_shutdown(self) -> None:
        self.state = DaemonState.SHUTDOWN

    async def reload(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        self.state = DaemonState.RESTARTING

    def send_remote_communication(self, type: str, data: str) -> None:
        self.communications.append((type, data))
