"""Watches the children of one process that has ``ready`` or ``health``.

Theory of operation
-------------------
The driver calls a monitor at these points of a child's life, one child after another:

    ``equipped``  before the spawn: the child gets its notify socket, or a descriptor to write to
    ``spawned``   begins the record of readiness and health (``core/process/probing.py``)
    ``serve``     starts the tasks below in the nursery of the child; its end cancels them
    ``ended``     closes what the child was given

One task waits for readiness: it tries a probe again and again, or reads a descriptor, or waits for
a line of output. One reads the notify socket. One waits until the process is RUNNING and then
checks its health. All of them only note in the record what they have found, and tell the driver,
which alone acts on the child. So a check that hangs holds up nothing: a stop, the timeout and the
end of the child happen beside it, and cancel it.
"""

from __future__ import annotations

import contextlib
import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import trio

from trio_supervisor.core.config.model import OnUnhealthy, Severity
from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.config.probes import DescriptorNewline, LogLine, Notify
from trio_supervisor.core.errors import RequestError
from trio_supervisor.core.events import ProcessHealthy, ProcessUnhealthy
from trio_supervisor.core.journal.entry import What
from trio_supervisor.core.journal.evidence import bounded
from trio_supervisor.core.process.cause import PROBE
from trio_supervisor.core.process.line_match import LineMatch
from trio_supervisor.core.process.log_lines import ProcessLine
from trio_supervisor.core.process.probing import (
    TRY_PAUSE,
    TRY_TIMEOUT,
    Verdict,
    extended,
    failures_allowed,
    ill_words,
    late_words,
    probe_record,
    start_deadline,
    unheard_words,
)
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.output.pipe import read_available
from trio_supervisor.runtime.output.subscriptions import BUFFER_BYTES, OutputStream
from trio_supervisor.runtime.probes.attempt import Prober
from trio_supervisor.runtime.probes.notify_socket import NotifySocket
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.spawn.side_command import SideCommands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.config.probes import Probe
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.core.process.notification import Notification
    from trio_supervisor.core.process.probing import ProbeRecord
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.output.channel import OutputChannel
    from trio_supervisor.runtime.process.waiters import StateWaiters
    from trio_supervisor.runtime.spawn.spec import SpawnSpec

#: Bytes to read at once from the descriptor of ``fd:N``.
READ_SIZE = 4096


class Monitored(Protocol):
    """The driver of the process, as its monitor uses it."""

    def rescheduled(self) -> None:
        """Follow the deadline of the record, which has changed."""

    def restart(self, cause: Cause, dump_signal: int | None) -> None:
        """Stop the child and start another one, whatever ``autorestart`` says."""


class Monitor:
    """Readiness and health of one process."""

    def __init__(
        self,
        config: ProcessConfig,
        group: str,
        host: Host,
        record: ProcessRecord,
        waiters: StateWaiters,
        outputs: Sequence[OutputChannel],
        stop: Callable[[Cause], None],
    ) -> None:
        """``outputs`` are searched by ``log:``; ``stop`` requests a stop of the process."""
        self._config = config
        self._group = group
        self._host = host
        self._record = record
        self._waiters = waiters
        self._outputs = outputs
        self._stop = stop
        self._prober = Prober(SideCommands(config, group, host))
        self._socket: NotifySocket | None = None
        self._ready_end: int | None = None
        """Our end of the pipe of ``fd:N``."""
        self._signs_of_life = 0
        """Number of ``WATCHDOG=1`` so far."""
        self._searches: dict[str, LineSearch] = {}
        """By the names of the outputs in which ``log:`` looks."""
        self._alive = trio.lowlevel.ParkingLot()
        """Where the watchdog waits for a message of the program."""

    @contextlib.contextmanager
    def equipped(self, spec: SpawnSpec) -> Iterator[SpawnSpec]:
        """Add to a description of the child what it needs to report; for the time of its launch.

        Raises SpawnError.
        """
        self.ended()
        config, environment, steps = self._config, {**spec.environment}, {**spec.steps}
        condition, health = config.readiness.condition, config.health
        with ExitStack() as launch:
            try:
                if isinstance(condition, Notify) or isinstance(health.check, Notify):
                    self._socket = self.socket_at(self._host.notify_directory().new_path())
                    environment["NOTIFY_SOCKET"] = self._socket.path
                if isinstance(health.check, Notify):
                    environment["WATCHDOG_USEC"] = str(round(health.interval * 1e6))
                if isinstance(condition, DescriptorNewline):
                    self._ready_end, theirs = os.pipe()
                    launch.callback(os.close, theirs)
                    os.set_blocking(self._ready_end, False)
                    steps["descriptor"] = condition.number
                    spec = replace(spec, descriptor=theirs)
            except OSError as error:
                self.ended()
                what = "notify socket" if isinstance(condition, Notify) else "readiness"
                text = f"cannot prepare the {what} of '{config.name}': {error.strerror or error}"
                raise SpawnError(text) from error
            try:
                yield replace(spec, environment=environment, steps=steps)
            except BaseException:
                self.ended()
                raise

    def spawned(self) -> None:
        """Begin the record of a new child."""
        self._searches.clear()
        record = self._record
        record.probes = probe_record(self._config, record.spawned_at)
        record.deadline = start_deadline(self._config, self._probes, record.spawned_at)

    @property
    def lateness(self) -> str:
        """Return why the start has failed, after its deadline; empty if it is RUNNING."""
        probes = self._probes
        if probes.is_ready:
            return ""
        return late_words(self._config, probes, self._record.spawned_at)

    def fail_start(self, deadline: float) -> None:
        """Record that the child was not ready in time and is sent its stop signal now.

        The process stays STARTING until the child has ended; the next signal is due at
        ``deadline``.
        """
        self._probes.failure = failure = self.lateness
        self._record.deadline = deadline
        self._log(Severity.WARN, f"is {failure}; it is stopped")
        self._waiters.wake()

    def serve(self, nursery: trio.Nursery, driver: Monitored) -> None:
        """Start the tasks that watch a child; the nursery is cancelled at its end."""
        if self._record.probes is None:  # handed over by an earlier supervisor
            self._record.probes = probe_record(self._config, self._record.spawned_at)
        if self._socket is not None:
            nursery.start_soon(self._socket.messages, self._taker(driver))
        if self._record.state is State.STARTING:
            self._await_readiness(nursery, driver)
        match self._config.health.check:
            case None:
                pass
            case Notify():
                nursery.start_soon(self._watch_messages, driver)
            case check:
                nursery.start_soon(self._check_health, check, driver)

    def take_over(
        self,
        socket: NotifySocket | None,
        ready_end: int | None,
        searched: Mapping[str, tuple[bytes, bytes]],
    ) -> None:
        """Go on with what a child was given by an earlier supervisor.

        ``searched`` has, for each output in which ``log:`` looks, the beginning of the last line
        and what was not searched yet.
        """
        self._socket, self._ready_end = socket, ready_end
        if isinstance(self._config.readiness.condition, LogLine):
            for name, (rest, unsearched) in searched.items():
                line = self._config.readiness.condition
                self._searches[name] = LineSearch(line, rest, unsearched)

    def handed_over(
        self,
    ) -> tuple[NotifySocket | None, int | None, dict[str, tuple[bytes, bytes]]]:
        """Return the same of the present child."""
        searched = {
            name: (search.match.rest, search.waiting) for name, search in self._searches.items()
        }
        return self._socket, self._ready_end, searched

    def detach(self) -> None:
        """Forget the notify socket, which stays open for another supervisor."""
        if self._socket is not None:
            self._socket.detach()

    def ended(self) -> None:
        """Close what the last child was given."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._ready_end is not None:
            trio.lowlevel.notify_closing(self._ready_end)
            os.close(self._ready_end)
            self._ready_end = None

    @property
    def _probes(self) -> ProbeRecord:
        probes = self._record.probes
        assert probes is not None
        return probes

    def socket_at(self, path: str, descriptor: int | None = None) -> NotifySocket:
        """Make a notify socket at this path, or take over one that is bound there."""

        def report(text: str) -> None:
            self._log(Severity.WARN, text)

        return NotifySocket(path, self._config.uid, report, descriptor)

    # readiness

    def _await_readiness(self, nursery: trio.Nursery, driver: Monitored) -> None:
        match self._config.readiness.condition:
            case None | Notify():
                pass
            case DescriptorNewline():
                if self._ready_end is not None:
                    nursery.start_soon(self._read_newline, self._ready_end, driver)
            case LogLine() as line if not self._probes.is_ready:
                for output in self._outputs:
                    nursery.start_soon(self._search, output, line, driver)
            case LogLine():
                pass
            case probe:
                nursery.start_soon(self._try_until_ready, probe, driver)

    async def _try_until_ready(self, probe: Probe, driver: Monitored) -> None:
        while True:
            answer = await self._prober.attempt(probe, TRY_TIMEOUT)
            if not answer:
                self._become_ready(driver)
                return
            self._probes.answer = answer
            await trio.sleep(TRY_PAUSE)

    async def _read_newline(self, fd: int, driver: Monitored) -> None:
        while True:
            await trio.lowlevel.wait_readable(fd)
            data = read_available(fd, READ_SIZE)
            if data == b"":
                self._probes.answer = "closed without a newline"
                self._log(Severity.WARN, f"{self._config.readiness.condition} was closed")
                return
            if data and b"\n" in data:
                self._become_ready(driver)
                return

    async def _search(self, output: OutputChannel, line: LogLine, driver: Monitored) -> None:
        """Wait for the line; a program that writes faster than it can be searched has to wait."""
        search = self._searches.get(output.name)
        if search is None:  # else that of a child that was handed over
            search = self._searches[output.name] = LineSearch(line)
        output.subscriptions.add(search.chunks)
        steps = search.match.steps(search.unsearched)
        try:
            while True:
                for is_found in steps:
                    if is_found:
                        self._become_ready(driver)
                        return
                    await trio.lowlevel.checkpoint()
                steps = search.match.steps(await anext(search.chunks))
        except StopAsyncIteration:
            return
        finally:
            if not self._host.letting_go:
                output.subscriptions.remove(search.chunks)
            elif any(steps):
                self._become_ready(driver)

    def _become_ready(self, driver: Monitored) -> None:
        record, probes = self._record, self._probes
        if record.state is State.STARTING and not probes.is_ready and not probes.failure:
            probes.is_ready = True
            probes.answer = ""
            record.deadline = start_deadline(self._config, probes, record.spawned_at)
            driver.rescheduled()
            self._waiters.wake()

    # messages

    def _taker(self, driver: Monitored) -> Callable[[Notification], None]:
        return lambda message: self._take(message, driver)

    def _take(self, message: Notification, driver: Monitored) -> None:
        record = self._record
        if message.status is not None:
            self._probes.status = message.status
        if message.extension and record.state in (State.STARTING, State.STOPPING):
            now = trio.current_time()
            record.deadline = extended(record.deadline, message.extension, now)
            if not self._probes.failure:
                self._probes.expires = extended(self._probes.expires, message.extension, now)
            driver.rescheduled()
        if message.ready and isinstance(self._config.readiness.condition, Notify):
            self._become_ready(driver)
        if isinstance(self._config.health.check, Notify):
            if message.ill and self._is_checked:
                self._judge("the program asks for it (WATCHDOG=trigger)", driver)
            elif message.alive:
                self._signs_of_life += 1
                self._alive.unpark_all()

    # health

    @property
    def _is_checked(self) -> bool:
        """Whether a check makes sense now: not while the process starts, stops or dumps."""
        return self._record.state is State.RUNNING and self._record.restart_cause is None

    async def _check_health(self, check: Probe, driver: Monitored) -> None:
        health = self._config.health
        while True:
            await self._waiters.until(lambda: self._is_checked)
            began = trio.current_time()
            answer = await self._prober.attempt(check, health.timeout)
            if self._is_checked:
                self._judge(answer, driver)
            await trio.sleep_until(began + health.interval)

    async def _watch_messages(self, driver: Monitored) -> None:
        interval = self._config.health.interval
        while True:
            await self._waiters.until(lambda: self._is_checked)
            before = self._signs_of_life
            with trio.move_on_after(interval):
                await self._alive.park()
            if self._signs_of_life == before and self._socket is not None:
                # If the daemon itself was stopped, the messages are there, but nothing read them.
                self._socket.read_waiting(self._taker(driver))
            if self._is_checked:
                is_heard = self._signs_of_life != before
                self._judge("" if is_heard else unheard_words(interval), driver)

    def _judge(self, answer: str, driver: Monitored) -> None:
        """Take the result of a check into account; act only if the verdict changes."""
        health, probes, old = self._config.health, self._probes, self._probes.health
        now = self._host.wall_clock()
        probes.health = new = old.after(answer, failures_allowed(health), now)
        self._waiters.wake()
        if new.verdict is old.verdict:
            return
        is_ill = new.verdict is Verdict.UNHEALTHY
        words = ill_words(health, new) if is_ill else str(health.check)
        cause = PROBE.of(
            self._host.journal.record(
                full_name(self._config.name, self._group),
                What.VERDICT,
                PROBE.of(self._record.entry),
                old=old.verdict.value,
                new=new.verdict.value,
                evidence=bounded({"check": words}, self._host.journal.secrets(self._config)),
            )
        )
        event = ProcessUnhealthy if is_ill else ProcessHealthy
        names = self._config.name, self._group
        self._host.publish(event(*names, self._record.pid, old.verdict.value, words))
        if not is_ill:
            self._log(Severity.INFO, f"is healthy ({words})")
            return
        action = health.on_unhealthy
        self._log(Severity.WARN, f"is unhealthy ({words}){_THEN[action]}")
        if action is OnUnhealthy.RESTART:
            driver.restart(cause, health.dump_signal)
        elif action is OnUnhealthy.STOP:
            with contextlib.suppress(RequestError):  # UNKNOWN now, as the log says
                self._stop(cause)

    def _log(self, severity: Severity, text: str) -> None:
        name, record = full_name(self._config.name, self._group), self._record
        line = ProcessLine(f"{self._config.name}: {text}", name, record.pid, record.state)
        self._host.log(severity, line)


#: What follows, for the log.
_THEN = {
    OnUnhealthy.RESTART: "; it is restarted",
    OnUnhealthy.STOP: "; it is stopped",
    OnUnhealthy.NONE: "",
}


class LineSearch:
    """Looks for a line in one output."""

    def __init__(self, line: LogLine, rest: bytes = b"", unsearched: bytes = b"") -> None:
        """``rest`` is the beginning of a line that was seen, ``unsearched`` what came after it."""
        self.match = LineMatch(line, rest)
        self.unsearched = unsearched
        self.chunks = OutputStream(BUFFER_BYTES, "block", until_exit=False)

    @property
    def waiting(self) -> bytes:
        """The output that was not searched yet."""
        return b"".join(self.chunks.backlog.waiting())
