"""Children without processes, and a host that writes everything down, for the engine's tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import (
    ChannelConfig,
    DaemonConfig,
    GroupConfig,
    ProcessConfig,
    Severity,
)
from trio_supervisor.core.events import Event, ProcessState
from trio_supervisor.core.process.exit import Exit, ResourceUsage
from trio_supervisor.runtime.events.bus import Bus
from trio_supervisor.runtime.groups.group import Group
from trio_supervisor.runtime.host import Host
from trio_supervisor.runtime.journal.journal import Journal
from trio_supervisor.runtime.logs.sinks import Sinks
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.spawn.spec import SpawnSpec

if TYPE_CHECKING:
    from trio_supervisor.core.process.member import Member
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.spawn.child import Carry

FIRST_PID = 1000
#: A command that exists everywhere; fakes never run it.
COMMAND = "/bin/sh"


class FakeChild:
    """A child that does what the test says: it dies when told to, and records its signals."""

    def __init__(self, pid: int, spec: SpawnSpec) -> None:
        self.pid = pid
        self.spec = spec
        self.signals: list[int] = []
        self.group_signals: list[int] = []
        self.resumed = 0
        self.on_signal: Callable[[FakeChild, int], None] = die_of_it
        self.closed = False
        self.stdin: int | None
        self.stdin_reader, self.stdin = os.pipe()
        self.stdout, self.stdout_writer = os.pipe()
        self.stderr: int | None = None
        self.stderr_writer: int | None = None
        if not spec.redirect_stderr:
            self.stderr, self.stderr_writer = os.pipe()
        for fd in (self.stdin, self.stdout, self.stderr):
            if fd is not None:
                os.set_blocking(fd, False)
        self.cannot_be_killed = ""
        self.usage: ResourceUsage | None = None
        self._exit: Exit | None = None
        self._died = trio.Event()

    def die(self, code: int | None = 0, signal: int | None = None) -> None:
        """End with an exit code, or by a signal."""
        if self._exit is None:
            self._exit = Exit(None if signal is not None else code, signal)
            self._died.set()
            for fd in (self.stdin_reader, self.stdout_writer, self.stderr_writer):
                if fd is not None:
                    os.close(fd)

    @property
    def alive(self) -> bool:
        return self._exit is None

    def write(self, data: bytes) -> None:
        os.write(self.stdout_writer, data)

    def close_stdout(self) -> None:
        """Close it and live on."""
        os.close(self.stdout_writer)
        self.stdout_writer = os.open(os.devnull, os.O_WRONLY)

    def serve(self, nursery: trio.Nursery, carry: Carry) -> None:
        carry(nursery, self.pid)

    async def wait(self) -> Exit:
        while self._exit is None:  # no checkpoint for a dead child, as with a real one
            await self._died.wait()
        return self._exit

    async def left_in_group(self) -> set[Member]:
        return set()

    def poll(self) -> Exit | None:
        return self._exit

    def send_signal(self, number: int) -> None:
        if not self.alive:
            raise ProcessLookupError(3, "No such process")
        self.signals.append(number)
        self.on_signal(self, number)

    def send_group_signal(self, number: int) -> None:
        self.group_signals.append(number)
        self.send_signal(number)

    def would_end_by(self, number: int) -> bool:
        return self.on_signal is die_of_it

    def resume(self, *, group: bool) -> None:
        if not self.alive:
            raise ProcessLookupError(3, "No such process")
        self.resumed += 1

    def hold(self, *, held: bool = True) -> None:
        """Nothing reaps it."""

    def close(self) -> None:
        self.closed = True


def die_of_it(child: FakeChild, number: int) -> None:
    """An ordinary program: every signal that can kill it does."""
    if number not in (0, signal.SIGCONT, signal.SIGUSR1):
        child.die(signal=number)


def ignore_all_but_kill(child: FakeChild, number: int) -> None:
    """A stubborn program."""
    if number == signal.SIGKILL:
        child.die(signal=number)


def refuse(child: FakeChild, number: int) -> None:
    """A child we may not signal: it became another user."""
    raise PermissionError(1, "Operation not permitted")


class FakeLauncher:
    """Makes FakeChilds; ``prepare`` is called with each new one, ``failures`` come first."""

    def __init__(self) -> None:
        self.children: list[FakeChild] = []
        self.failures: list[SpawnError] = []
        self.times: list[float] = []
        self.gate: trio.Event | None = None
        """When set to an event, spawning takes until it is set."""
        self.prepare: Callable[[FakeChild], None] = lambda child: None

    async def __call__(self, spec: SpawnSpec) -> FakeChild:
        self.times.append(trio.current_time())
        if self.gate is not None:
            await self.gate.wait()
        else:
            await trio.lowlevel.checkpoint()
        if spec.logs is not None:
            spec.logs.open()
        if self.failures:
            raise self.failures.pop(0)
        child = FakeChild(FIRST_PID + len(self.children), spec)
        self.children.append(child)
        self.prepare(child)
        return child

    @property
    def last(self) -> FakeChild:
        return self.children[-1]

    def close(self) -> None:
        for child in self.children:
            child.die()


class RecordingBus(Bus):
    """Keeps what is published, without being a subscriber: those use up serial numbers."""

    def __init__(self, published: list[Event], report: Callable[[Severity, str], None]) -> None:
        super().__init__(report)
        self._published = published

    def publish(self, event: Event) -> None:
        self._published.append(event)
        super().publish(event)


class Recorder:
    """A host with fake children; keeps events and log lines."""

    def __init__(self, daemon: DaemonConfig | None = None) -> None:
        self.launcher = FakeLauncher()
        self.events: list[Event] = []
        self.lines: list[str] = []
        self.now = 1_700_000_000.0
        log = log_lines(self.lines)
        bus = RecordingBus(self.events, log)
        self.host = Host(
            daemon=DaemonConfig() if daemon is None else daemon,
            log=log,
            sinks=Sinks(log),
            bus=bus,
            launch=self.launcher,
            wall_clock=lambda: self.now,
            journal=Journal(lambda: self.now),
            environment={"PATH": "/bin:/usr/bin"},
        )

    def process(self, **options: object) -> tuple[Group, Process]:
        """A group of one process called x, without logs unless the options name some."""
        group = self.group(program("x", **options))
        return group, group.processes["x"]

    def group(self, *processes: ProcessConfig) -> Group:
        return Group(GroupConfig(name=processes[0].name, processes=processes), self.host)

    @property
    def moves(self) -> list[str]:
        """State events without the names: ``STARTING from_state:STOPPED tries:0``."""
        return [
            f"{event.name.removeprefix('PROCESS_STATE_')} {event.payload().split(' ', 2)[2]}"
            for event in self.events
            if isinstance(event, ProcessState)
        ]


def program(name: str, /, **options: object) -> ProcessConfig:
    """A process without log files unless the options say otherwise."""
    quiet = ChannelConfig(logfile=None)
    values: dict[str, object] = {"command": COMMAND, "stdout": quiet, "stderr": quiet, **options}
    return ProcessConfig(name=name, **values)  # type: ignore[arg-type]  # options are test data


LEVELS = {
    Severity.CRITICAL: "CRIT",
    Severity.ERROR: "ERRO",
    Severity.WARN: "WARN",
    Severity.INFO: "INFO",
    Severity.DEBUG: "DEBG",
    Severity.TRACE: "TRAC",
    Severity.BLATHER: "BLAT",
}


def log_lines(lines: list[str]) -> Callable[[Severity, str], None]:
    """An activity log that is a list of ``LEVL text``."""
    return lambda severity, text: lines.append(f"{LEVELS[severity]} {text}")
