"""Ends what an earlier daemon, which was killed, has left: ``survive = kill``.

The programs stop in the order of a shutdown, each with its own signals and times. What has not
ended a few seconds after SIGKILL, because the kernel holds it up, and what may not be signalled is
told and left alone, so that the start goes on in any case.
"""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.config.stopping import KillMode
from trio_supervisor.core.journal.entry import ENDED, NOT_ENDED, What
from trio_supervisor.core.leftovers import options_of, stop_turns
from trio_supervisor.core.plan import turn_ends
from trio_supervisor.core.process.signals import signal_name
from trio_supervisor.core.process.stop import StopSequence
from trio_supervisor.runtime.process.left_behind import lives
from trio_supervisor.runtime.process.signalling import PAUSING
from trio_supervisor.runtime.spawn.members import members_of_group, signal_member
from trio_supervisor.runtime.spawn.owned import OwnedTree, find_owned
from trio_supervisor.runtime.spawn.sweep import LEAST_PATIENCE, LOOK_INTERVAL, Sweep
from trio_supervisor.runtime.system.threads import in_thread_if_possible

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Config, ProcessConfig
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.core.process.member import Member
    from trio_supervisor.core.process.start import Key
    from trio_supervisor.core.process.stop import StopStep
    from trio_supervisor.runtime.cgroups.subtree import Subtree
    from trio_supervisor.runtime.journal.journal import Journal
    from trio_supervisor.runtime.spawn.owned import Owned
    from trio_supervisor.runtime.spawn.sweep import Finder

#: Seconds that a process gets to end after SIGKILL.
KILL_PATIENCE = 5.0


async def end_leftovers(
    config: Config,
    journal: Journal,
    cgroups: Subtree | None,
    log: Callable[[Severity, str], None],
    cause: Cause,
) -> None:
    """End all leftovers of the configuration; return when they have ended or were given up.

    ``cause`` is that of the entries of the journal.
    """
    path = config.path or ""
    found = await in_thread_if_possible(find_owned, path)
    options = options_of(config, found)
    turns = stop_turns(config, found)
    ends = [math.inf] * len(turns)
    if config.daemon.stop_timeout is not None:
        patience = [max(StopSequence.of(options[key]).patience for key in turn) for turn in turns]
        ends = turn_ends(patience, config.daemon.stop_timeout)
    began = trio.current_time()
    for turn, end in zip(turns, ends, strict=True):
        async with trio.open_nursery() as nursery:
            for key in turn:
                finders: list[Finder] = []
                if options[key].stopping.kill_mode is not KillMode.PROCESS:
                    finders.append(OwnedTree(path, key))
                if options[key].stopping.kill_mode is KillMode.CGROUP and cgroups is not None:
                    finders.append(cgroups.node_of(options[key], key[0]))
                program = _Program(key, options[key], found[key], finders, log)
                nursery.start_soon(program.end, began + end, journal, cause)


class _Program:
    """The leftovers of one program."""

    def __init__(
        self,
        key: Key,
        config: ProcessConfig,
        owned: Owned,
        finders: list[Finder],
        log: Callable[[Severity, str], None],
    ) -> None:
        """``finders`` find what has to end beside the main processes."""
        self._name = full_name(key[1], key[0])
        self._config = config
        self._owned = owned
        self._finders = finders
        self._log = log
        self._left: set[Member] = set()
        """Those that were given up."""

    async def end(self, latest: float, journal: Journal, cause: Cause) -> None:
        """End the main processes, then what they have started, and record it.

        SIGKILL is sent no later than at ``latest``.
        """
        mains = self._owned.mains(self._config.stopping.kill_mode)
        async with trio.open_nursery() as nursery:
            for main in mains:
                nursery.start_soon(self._stop, main, latest)
        for finder in self._finders:
            await self._sweep(finder, latest)
        told = self._owned.members if self._finders else mains
        ended = [member.pid for member in told if member not in self._left]
        left = sorted(member.pid for member in self._left)
        for new, pids in ((ENDED, ended), (NOT_ENDED, left)):
            if pids:
                evidence = {"pids": ", ".join(map(str, pids))}
                journal.record(self._name, What.LEFTOVER, cause, new=new, evidence=evidence)

    async def _stop(self, main: Member, latest: float) -> None:
        began = trio.current_time()
        within = max(0.0, latest - began)
        try:
            for after, step in StopSequence.of(self._config).signals_within(within):
                if await _ends(main, began + after):
                    break
                await self._signal(main, step)
            if await _ends(main, trio.current_time() + KILL_PATIENCE):
                self._log(Severity.INFO, f"{self._of(main)} has ended")
                return
            why = "does not end although it was killed"
        except OSError as error:
            why = f"cannot be signalled: {error.strerror}"
        self._give_up(main, why)

    async def _signal(self, main: Member, step: StopStep) -> None:
        """Signal it, or its process group. Raises OSError if it may not be signalled itself."""
        name = f"SIG{signal_name(step.signal).removeprefix('SIG')}"
        text = f"killing {self._of(main)} with {name}"
        members = []
        if step.group:
            members = await in_thread_if_possible(members_of_group, main.pid)
        others = [member for member in members if member != main]
        signal_member(main, step.signal, lambda: self._log(Severity.WARN, text))
        for member in others:
            self._try_signal(member, step.signal)
        if step.signal not in PAUSING:
            for member in (main, *others):  # a paused process would keep the signal pending
                self._try_signal(member, signal.SIGCONT)

    def _try_signal(self, member: Member, number: int) -> None:
        try:
            signal_member(member, number)
        except OSError as error:
            self._log(Severity.WARN, f"{self._of(member)} cannot be signalled: {error.strerror}")

    async def _sweep(self, finder: Finder, latest: float) -> None:
        sweep = Sweep(self._name, 0, finder, self._log)
        sweep.refused |= self._left
        patience = self._config.stopwaitsecs
        with trio.move_on_after(max(LEAST_PATIENCE, patience) + KILL_PATIENCE) as limit:
            await sweep.run(patience, lambda: latest)
        self._left |= sweep.refused
        if limit.cancelled_caught:
            for member in await in_thread_if_possible(lambda: finder.members(main_lives=False)):
                if member not in self._left:
                    self._give_up(member, "does not end although it was killed")

    def _give_up(self, member: Member, why: str) -> None:
        self._left.add(member)
        self._log(Severity.CRITICAL, f"{self._of(member)} {why}; it is left alone")

    def _of(self, member: Member) -> str:
        return f"{self._name} of an earlier daemon (pid {member.pid})"


async def _ends(member: Member, until: float) -> bool:
    """Wait for its end; return whether it has ended at this time, which may be past."""
    while await in_thread_if_possible(lives, member):
        if trio.current_time() >= until:
            return False
        await trio.sleep(LOOK_INTERVAL)
    return True
