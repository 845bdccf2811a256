"""Commands that belong to a program, beside its main process: checks of its health, and hooks.

They run as the program's user, in its directory, with its environment and limits, without a shell,
and with an empty stdin. stdout and stderr are one pipe.

Theory of operation
-------------------
A command must hold up nobody but the task that waits for it, and that task must be able to leave at
once. So a *job* launches the command, reads its output and reaps it, in a system task of trio. When
the time is over, or the waiting task is cancelled, the job kills the process group, if it is not
still being launched, and goes on alone until the child is reaped. A process that the kernel does
not let die (a hanging network file system) would pile up with each further check; therefore
``SideCommands`` starts no command while an earlier one of the same program has not been reaped.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from functools import partial
from signal import SIGKILL
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import RequestError
from trio_supervisor.runtime.guards import run_logged
from trio_supervisor.runtime.output.pipe import CHUNK, read_available, read_rest
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.spawn.spec import spawn_spec
from trio_supervisor.runtime.spawn.starter import completed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.process.exit import Exit
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.spawn.child import Child
    from trio_supervisor.runtime.spawn.spec import SpawnSpec

#: Bytes that are kept of the end of the output.
KEPT_OUTPUT = 1024


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """Exit of a command."""

    exit: Exit | None
    """None means that it was killed because its time was over."""
    output: str
    """The end of what it wrote to stdout and stderr."""

    @property
    def succeeded(self) -> bool:
        """Whether it exited with status 0."""
        return self.exit is not None and self.exit.code == 0

    @property
    def last_line(self) -> str:
        """The last line of its output that is not empty."""
        return next((line for line in reversed(self.output.splitlines()) if line.strip()), "")


class CommandNotRun(Exception):
    """A command could not be started; ``str()`` says why."""


class SideCommands:
    """Runs the commands of one process, one at a time."""

    __slots__ = ("_config", "_group", "_host", "_job")

    def __init__(self, config: ProcessConfig, group: str, host: Host) -> None:
        self._config = config
        self._group = group
        self._host = host
        self._job: _Job | None = None

    @property
    def is_running(self) -> bool:
        """Whether a command was started and has not been reaped."""
        return self._job is not None and not self._job.over.is_set()

    async def run(
        self,
        line: str,
        *,
        within: float,
        environment: Mapping[str, str] | None = None,
        output: Callable[[bytes], object] = lambda data: None,
    ) -> CommandEnd:
        """Run a command line, and return how it ended.

        ``within`` is in seconds; after that, and when the caller is cancelled, the command is
        killed with its process group, for which nothing waits. ``environment`` comes on top of that
        of the program. ``output`` is called with what it writes, as it arrives.

        Raises CommandNotRun.
        """
        with trio.move_on_after(within) as scope:
            if self._job is not None:
                await self._job.over.wait()
        if scope.cancelled_caught:
            raise CommandNotRun("the command before it was killed and has not ended yet")
        complete = partial(self._complete, self._spec(line), environment or {})
        job = self._job = _Job(complete, self._host, output)
        what = f"command of {self._config.name}"
        trio.lowlevel.spawn_system_task(partial(run_logged, job.run, what, self._host.log))
        try:
            with trio.CancelScope(deadline=scope.deadline):
                await job.over.wait()
        finally:
            job.kill()
        return job.outcome()

    async def _complete(self, spec: SpawnSpec, environment: Mapping[str, str]) -> SpawnSpec:
        """Add the variables that must be looked up, and those of the command. Raises SpawnError."""
        spec = await completed(spec, self._config, self._host)
        return replace(spec, environment={**spec.environment, **environment})

    def _spec(self, line: str) -> SpawnSpec:
        """Describe the child. Raises CommandNotRun."""
        config = replace(self._config, command=line, redirect_stderr=True)
        try:
            return spawn_spec(
                config,
                self._group,
                inherited=self._host.environment,
                server_url=self._host.server_url,
                owner=self._host.owner,
                stdin=None,
            )
        except RequestError as error:
            raise CommandNotRun(error.detail) from error


class _Job:
    """One command, from its launch until it is reaped."""

    def __init__(
        self,
        complete: Callable[[], Awaitable[SpawnSpec]],
        host: Host,
        output: Callable[[bytes], object],
    ) -> None:
        """``complete`` describes the child; it may raise SpawnError."""
        self.over = trio.Event()
        self._complete = complete
        self._host = host
        self._pass_on = output
        self._child: Child | None = None
        self._is_unwanted = False
        self._exit: Exit | None = None
        self._error = ""
        self._tail = bytearray()

    def kill(self) -> None:
        """Kill it with its group if it has not ended; a child that is being made is killed then.

        What it has written before is taken.
        """
        if self._child is not None and not (self._is_unwanted or self.over.is_set()):
            self._take_rest(self._child)
        self._is_unwanted = True
        if self._child is not None:
            with suppress(OSError):  # it has just ended, or has become another user
                self._child.send_group_signal(SIGKILL)

    def outcome(self) -> CommandEnd:
        """Return how it ended. Raises CommandNotRun."""
        if self._error:
            raise CommandNotRun(self._error)
        return CommandEnd(self._exit, self._tail.decode(errors="replace"))

    async def run(self) -> None:
        """Launch it, read its output and reap it."""
        try:
            await self._launch()
            if self._child is not None:
                await self._accompany(self._child)
        finally:
            self.over.set()

    async def _launch(self) -> None:
        try:
            stdin = os.open(os.devnull, os.O_RDONLY)
        except OSError as error:
            self._error = f"no stdin for it: {error.strerror}"
            return
        try:
            spec = await self._complete()
            self._child = await self._host.launch(replace(spec, stdin=stdin))
        except SpawnError as error:
            self._error = str(error)
        finally:
            os.close(stdin)

    async def _accompany(self, child: Child) -> None:
        try:
            if self._is_unwanted:
                self.kill()
            async with trio.open_nursery() as nursery:
                if child.stdout is not None:
                    nursery.start_soon(self._read, child.stdout)
                ended = await child.wait()
                nursery.cancel_scope.cancel()
            self._take_rest(child)
            if not self._is_unwanted:
                self._exit = ended
        finally:
            self.kill()
            child.poll()  # if the program ends now: leave no zombie to an embedding one
            child.close()
            for fd in (child.stdin, child.stdout, child.stderr):
                if fd is not None:
                    trio.lowlevel.notify_closing(fd)
                    os.close(fd)

    def _take_rest(self, child: Child) -> None:
        if child.stdout is not None:
            for data in read_rest(child.stdout):
                self._take(data)

    async def _read(self, fd: int) -> None:
        while True:
            await trio.lowlevel.wait_readable(fd)
            data = read_available(fd, CHUNK)
            if data == b"":
                return
            if data:
                self._take(data)
            await trio.lowlevel.checkpoint()

    def _take(self, data: bytes) -> None:
        if not self._is_unwanted:
            self._tail += data
            del self._tail[:-KEPT_OUTPUT]
            self._pass_on(data)
