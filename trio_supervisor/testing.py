"""Programs for tests without trio: a supervisor in a thread of its own.

The pytest plugin of this package has them as the fixture ``programs``. Tests that run in trio use
``open_supervisor`` itself; docs/testing.md shows both.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar, Unpack

import trio

from trio_supervisor.core.errors import NotRunning, StateUnreachable
from trio_supervisor.core.process.reasons import reason
from trio_supervisor.core.process.states import State
from trio_supervisor.runtime.embedding.block import open_supervisor
from trio_supervisor.runtime.output.backlog import Backlog
from trio_supervisor.runtime.output.subscriptions import BUFFER_BYTES, LineAssembler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from trio_supervisor.core.config.keywords import UnconditionalOptions
    from trio_supervisor.core.process.exit import Exit
    from trio_supervisor.runtime.embedding.definitions import CommandWords
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor

    #: What tells that a program is ready; see ``Programs.start``.
    Ready = str | re.Pattern[str] | int | Callable[[], object] | None

__all__ = ["NotReady", "Programs", "SupervisedProgram", "supervised_programs"]

T = TypeVar("T")

#: Default seconds for a program to become ready: generous, because only failures take that long.
READY_WITHIN = 30.0
#: Seconds at the end after which programs that have not stopped are killed.
STOP_WITHIN = 10.0
#: Seconds between two looks at what cannot be waited for: a port, a function of the test.
LOOK_INTERVAL = 0.02
#: Lines of a program that a failure shows: the last ones.
SHOWN_LINES = 50


class NotReady(AssertionError):
    """A program was not ready or did not write the expected line; the text shows its output."""


class SupervisedProgram:
    """A program of a test. Made by ``Programs.start``."""

    def __init__(
        self, process: Process, token: trio.lowlevel.TrioToken, ready: Ready, timeout: float
    ) -> None:
        self._process = process
        self._token = token
        self._ready = ready
        self._timeout = timeout
        self._record = _Recorder()
        for channel in (process.stdout, process.stderr):
            channel.subscriptions.add(self._record)

    def __repr__(self) -> str:
        return f"<SupervisedProgram {self.name}: {self.state}>"

    @property
    def name(self) -> str:
        return self._process.name

    @property
    def pid(self) -> int:
        """0 if it does not run."""
        return self._process.pid

    @property
    def state(self) -> State:
        return self._process.state

    @property
    def lines(self) -> list[str]:
        """Lines that the program has written so far, to stdout and stderr, including those before a
        restart."""
        return list(self._record.lines)

    @property
    def output(self) -> str:
        """The last lines as one text."""
        return "\n".join(self.lines[-SHOWN_LINES:]) or "(nothing)"

    def mark(self) -> int:
        """The present end of its output, for ``since`` of ``wait_for_line``."""
        return len(self._record.lines)

    def wait_for_line(
        self,
        text: str | re.Pattern[str],
        *,
        since: int | None = None,
        timeout: float = READY_WITHIN,
    ) -> str:
        """Return the first line that contains ``text``, or that the pattern is found in.

        ``since`` is a mark; None means the start of the present child, so that a line from before a
        crash or restart does not count. Raises NotReady, with its output: after ``timeout``
        seconds, or as soon as the program has ended and is not started again.
        """
        return self._call(lambda: self._line(text, since, timeout))

    def wait(self, *, timeout: float = READY_WITHIN) -> Exit:
        """Return how it has ended, when it is not started again. Raises NotReady."""

        async def wait() -> Exit:
            with trio.move_on_after(timeout):
                return await self._process.wait()
            raise self._failure(f"has not ended within {timeout} seconds")

        return self._call(wait)

    def signal(self, number: int | str) -> None:
        """Send a signal, given by number or name. Raises NotRunning."""
        self._call_sync(lambda: self._process.signal(number))

    def kill(self, signal: int | str = "KILL", *, timeout: float = READY_WITHIN) -> None:
        """Send a signal that ends it, given by number or name, and return when it has ended.

        Unless ``autorestart`` says otherwise it is started again: ``wait_until_ready`` waits for
        that. Raises NotRunning, or NotReady, with its output, after ``timeout``
        seconds.
        """

        async def kill() -> None:
            child = self._process.pid
            self._process.signal(signal)
            with trio.move_on_after(timeout):
                while self._process.pid == child:
                    await self._process.changed()
                return
            raise self._failure(f"has not ended within {timeout} seconds after signal {signal}")

        self._call(kill)

    def restart(self) -> None:
        """Stop it, start it again and wait until it is ready. Raises RequestError or NotReady."""
        self._call(self._process.restart)
        self.wait_until_ready()

    def start(self) -> None:
        """Start it again after ``stop`` and wait until it is ready, with the same errors."""
        self._call(self._process.start)
        self.wait_until_ready()

    def stop(self) -> None:
        """Stop it, if it runs, and call off a restart that is due. Its lines are kept."""

        async def stop() -> None:
            with contextlib.suppress(NotRunning):
                await self._process.stop()

        self._call(stop)

    def wait_until_ready(self) -> None:
        """Return when it is ready, as ``Programs.start`` describes it, for instance after a crash.

        Raises NotReady.
        """
        ready, timeout = self._ready, self._timeout
        if isinstance(ready, (str, re.Pattern)):
            self.wait_for_line(ready, timeout=timeout)
            return
        if ready is None:
            self._call(lambda: self._running(timeout))
            return
        is_ready: Callable[[], object] = _accepts(ready) if isinstance(ready, int) else ready
        what = f"port {ready}" if isinstance(ready, int) else f"{ready!r}"
        deadline = time.monotonic() + timeout
        while not is_ready():
            if self._call_sync(lambda: self.over):
                raise self._failure("has ended")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready ({what}) within {timeout} seconds")
            time.sleep(LOOK_INTERVAL)

    async def _running(self, within: float) -> None:
        with trio.move_on_after(within):
            try:
                await self._process.wait_for("RUNNING")
            except StateUnreachable:
                if self.state is not State.EXITED:  # which it is after RUNNING only
                    raise self._failure("could not be started") from None
            return
        raise self._failure(f"was not RUNNING within {within} seconds")

    async def _line(self, text: str | re.Pattern[str], since: int | None, within: float) -> str:
        pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
        record = self._record
        with trio.move_on_after(within):
            while True:
                over = self.over
                begin = record.begin_of_last if over else record.begin
                for line in record.lines[begin if since is None else since :]:
                    if pattern.search(line):
                        return line
                if over:
                    raise self._failure(f"has ended without writing {pattern.pattern!r}")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(record.news.park)
                    nursery.start_soon(self._process.waiters.changed)
                    await trio.lowlevel.checkpoint()
                    nursery.cancel_scope.cancel()
        raise self._failure(f"wrote no {pattern.pattern!r} within {within} seconds")

    @property
    def over(self) -> bool:
        """Whether it does not run and nothing is about to start it."""
        stopped = self.state is State.STOPPED and self._process.started > 0
        restarting = self._process.pending_restarts > 0
        return self._process.removed or (
            (stopped and not restarting) or self._process.record.ended_for_good
        )

    def _failure(self, what: str) -> NotReady:
        why = reason(self._process.config, self._process.record)
        state = f" ({why})" if why else ""
        return NotReady(f"{self.name} {what}{state}; it wrote:\n{self.output}")

    def _call(self, function: Callable[[], Awaitable[T]]) -> T:
        return trio.from_thread.run(function, trio_token=self._token)

    def _call_sync(self, function: Callable[[], T]) -> T:
        return trio.from_thread.run_sync(function, trio_token=self._token)


class Programs:
    """The programs of a test. Call its methods, and those of programs, from the test's thread."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._token = trio.lowlevel.current_trio_token()
        self._started: dict[str, SupervisedProgram] = {}
        self.done = trio.Event()

    def __getitem__(self, name: str) -> SupervisedProgram:
        """The program of that name that was started last."""
        return self._started[name]

    def __iter__(self) -> Iterator[SupervisedProgram]:
        return iter(tuple(self._started.values()))

    def start(
        self,
        name: str,
        command: CommandWords,
        *,
        ready: Ready = None,
        timeout: float = READY_WITHIN,
        **options: Unpack[UnconditionalOptions],
    ) -> SupervisedProgram:
        """Start a program and wait until it is ready.

        ``ready`` is a text or pattern that a line of its output contains, the number of a TCP port
        on 127.0.0.1 that accepts connections, or a function that returns something true; None means
        that it is ready when it is RUNNING. Raises NotReady, with its output, after ``timeout``
        seconds or as soon as the program has ended for good, and RequestError or ConfigError.

        Here ``ready`` is no condition as in a configuration. The other options are those of
        ``Supervisor.add_program``; by default stop signals go to its process group, and
        ``startsecs`` is 0 and stderr goes to stdout. A program of the same name that has ended is
        replaced.
        """
        if isinstance(ready, int) and _accepts(ready)():
            raise NotReady(f"port {ready} is taken already, by another program than {name}")
        program = trio.from_thread.run(
            self._begin, name, command, options, ready, timeout, trio_token=self._token
        )
        self._started[name] = program
        try:
            program.wait_until_ready()
        except BaseException:
            program.stop()
            raise
        return program

    def end(self) -> None:
        """Stop all programs."""
        trio.from_thread.run_sync(self.done.set, trio_token=self._token)

    async def _begin(
        self,
        name: str,
        command: CommandWords,
        options: UnconditionalOptions,
        ready: Ready,
        timeout: float,  # noqa: ASYNC109  # kept for later waits
    ) -> SupervisedProgram:
        with_all: UnconditionalOptions = {
            "startsecs": 0,
            "stopasgroup": True,
            "redirect_stderr": True,
            **options,
            "autostart": False,
        }
        before = self._started.get(name)
        if before is not None and before.over:
            await self._supervisor.remove(name)
        process = self._supervisor.add_program(name, command, **with_all)
        program = SupervisedProgram(process, self._token, ready, timeout)
        try:
            await process.start(wait=False)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._supervisor.remove(name)
            raise
        return program


class _Recorder:
    """All lines of one program, and where those of its last children begin."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.begin = 0
        """Where the lines of the present child begin, or of the next one."""
        self.begin_of_last = 0
        """Where those of the last child began that has ended."""
        self.news = trio.lowlevel.ParkingLot()
        self.backlog: Backlog[bytes] = Backlog(BUFFER_BYTES, "drop_oldest")
        """Empty: all is kept."""
        self._assembler = LineAssembler(BUFFER_BYTES)

    def feed(self, data: bytes) -> None:
        self._add(self._assembler.feed(data))

    def child_ended(self) -> None:
        self._add(self._assembler.finish())
        self.begin_of_last, self.begin = self.begin, len(self.lines)

    def end(self) -> None:
        self._add(self._assembler.finish())

    def _add(self, lines: list[str]) -> None:
        self.lines += lines
        self.news.unpark_all()


def _accepts(port: int) -> Callable[[], bool]:
    """A function that tells whether this TCP port of the machine accepts connections."""

    def accepts() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    return accepts


@contextlib.contextmanager
def supervised_programs() -> Iterator[Programs]:
    """A context manager, usually in a fixture, that stops its programs at the end.

    Nothing outlives it: what a program leaves in its process group is killed when it has ended, and
    all are killed if the process of the tests is killed itself.
    """
    begun: Future[Programs] = Future()

    async def main() -> None:
        async with open_supervisor(
            stop_within=STOP_WITHIN, kill_groups=True, die_with_parent=True
        ) as supervisor:
            programs = Programs(supervisor)
            begun.set_result(programs)
            await programs.done.wait()

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as error:
            if begun.done():
                raise
            begun.set_exception(error)

    thread = threading.Thread(target=run, name="supervised programs")
    thread.start()
    programs = begun.result()
    try:
        yield programs
    finally:
        programs.end()
        thread.join()
