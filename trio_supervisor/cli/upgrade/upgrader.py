"""Upgrades a running daemon: checks the next program, waits for the right moment, and lets go.

Theory of operation
-------------------
1. *Check.* The state is read while everything runs, and given to the program on disk, which is run
   with ``--upgrade-check``. If that fails, takes too long or cannot be run, the upgrade is refused;
   until here nothing has changed. The client is answered now.
2. *Wait* until nothing is under way that would be lost (``runtime/handover/departure.py``).
3. *Let go*: the tasks end, the state is read again, and the program is replaced (``program.py``).
   Should that fail, the same program goes on with the state as the next one would have.

A shutdown, a restart or an exit that ends the supervisor wins until the tasks are let go of. What
arrives later (signals, connections, exits, output) waits for the next program.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import partial
from signal import SIGKILL
from typing import TYPE_CHECKING

import trio

from trio_supervisor._version import __version__
from trio_supervisor.cli.upgrade.departure import encoded_state
from trio_supervisor.cli.upgrade.program import arguments, memory_file
from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.errors import Failed, ShuttingDown
from trio_supervisor.core.handover.codec import NotPlain
from trio_supervisor.core.process.states import DaemonState
from trio_supervisor.runtime.guards import run_logged
from trio_supervisor.runtime.handover.departure import CannotLetGo, when_ready
from trio_supervisor.runtime.output.pipe import CHUNK, read_available
from trio_supervisor.runtime.spawn.command import FoundCommand
from trio_supervisor.runtime.spawn.forking import SpawnError
from trio_supervisor.runtime.spawn.spec import SpawnSpec

if TYPE_CHECKING:
    from trio_supervisor.cli.upgrade.point import UpgradePoint
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.runtime.spawn.child import Child

#: Seconds that the check of the next program may take.
CHECK_TIMEOUT = 30.0
#: Seconds that are waited for what is under way: a client waits for a state for 60 at most.
PATIENCE = 90.0
#: Most bytes that are read of what the check says.
MOST_OUTPUT = 64 * 1024


class Upgrader:
    """Carries out the upgrades of one incarnation of a daemon."""

    def __init__(self, point: UpgradePoint) -> None:
        self._point = point
        self._supervisor = point.supervisor

    async def begin(self, nursery: trio.Nursery, cause: Cause) -> str:
        """Check the next program, begin to hand over, and return its version.

        Raises Failed, after a line in the log, or ShuttingDown.
        """
        supervisor, upgrades = self._supervisor, self._supervisor.upgrades
        if upgrades.is_under_way:
            supervisor.log(Severity.WARN, "upgrade refused: another one is under way already")
            raise Failed("an upgrade is under way already")
        if supervisor.state is not DaemonState.RUNNING:
            raise ShuttingDown
        upgrades.is_under_way, upgrades.failure = True, ""
        cause = supervisor.journal.request("", "upgrade", cause)
        try:
            version = await self._check(cause)
        except UpgradeImpossible as error:
            self._refuse(str(error))
            raise Failed(f"the upgrade is refused: {error}") from None
        except BaseException:
            upgrades.is_under_way = False
            raise
        supervisor.log(Severity.INFO, f"upgrading from version {__version__} to {version}")
        finish = partial(self._finish, cause)
        nursery.start_soon(run_logged, finish, "upgrade", supervisor.log)
        return version

    async def _finish(self, cause: Cause) -> None:
        try:
            await when_ready(self._supervisor, self._point.connections, PATIENCE)
        except CannotLetGo as error:
            self._refuse(str(error))
            return
        except BaseException:
            self._supervisor.upgrades.is_under_way = False
            raise
        self._point.leave(cause)

    def _refuse(self, why: str) -> None:
        upgrades = self._supervisor.upgrades
        upgrades.is_under_way, upgrades.failure = False, why
        text = f"upgrade given up: {why}"
        if self._supervisor.state is DaemonState.RUNNING:
            text = f"upgrade refused, everything keeps running: {why}"
        self._supervisor.log(Severity.CRITICAL, text)

    async def _check(self, cause: Cause) -> str:
        """Run the next program's check. Raises UpgradeImpossible."""
        try:
            state = memory_file(encoded_state(self._point, cause))
        except NotPlain as error:
            raise UpgradeImpossible(str(error)) from None
        except (OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or "no memory"
            raise UpgradeImpossible(f"the state cannot be written: {reason}") from None
        try:
            child = await self._point.launcher(self._spec(state))
        except SpawnError as error:
            raise UpgradeImpossible(f"the program cannot be run: {error}") from None
        finally:
            os.close(state)
        return await self._verdict(child)

    def _spec(self, state: int) -> SpawnSpec:
        words = (*arguments(), "--upgrade-check")
        steps = {"process group": True, "signals": False, "directory": self._point.origin}
        return SpawnSpec(
            label="--upgrade-check",
            command=FoundCommand(words, words[0]),
            environment=dict(os.environ),
            steps=steps,
            uid=None,
            redirect_stderr=False,
            stdin=state,
        )

    async def _verdict(self, child: Child) -> str:
        """Return the version that a check prints. Raises UpgradeImpossible."""
        output, errors, ended = bytearray(), bytearray(), None
        try:
            with trio.move_on_after(CHECK_TIMEOUT):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_read, child.stdout, output)
                    nursery.start_soon(_read, child.stderr, errors)
                    ended = await child.wait()
        finally:
            if ended is None:
                with suppress(OSError):
                    child.send_group_signal(SIGKILL)
                with trio.CancelScope(shield=True), trio.move_on_after(1):
                    await child.wait()
            child.close()
            for fd in (child.stdout, child.stderr):
                if fd is not None:
                    trio.lowlevel.notify_closing(fd)
                    os.close(fd)
        if ended is None:
            raise UpgradeImpossible(f"its check has not ended within {CHECK_TIMEOUT:g} seconds")
        try:
            return str(json.loads(output)["version"])
        except (ValueError, KeyError, TypeError):
            said = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
            told = [line for line in said if line.startswith("Error: ")] or said[-1:]
            why = told[0].removeprefix("Error: ") if told else f"{ended}"
            raise UpgradeImpossible(f"the check of the program has failed: {why}") from None


class UpgradeImpossible(Exception):
    """Nothing was changed; the text says why."""


async def _read(fd: int | None, into: bytearray) -> None:
    """Read to the end of a pipe, and keep the beginning."""
    if fd is None:
        return
    while True:
        await trio.lowlevel.wait_readable(fd)
        data = read_available(fd, CHUNK)
        if data == b"":
            return
        into += (data or b"")[: MOST_OUTPUT - len(into)]
