"""The journal of a supervisor: who and what changed the state of which process, and when.

``record`` is called wherever something happens, and returns the number of the entry, so that what
follows can name its cause. It neither waits nor raises. A reload goes on with the same journal.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor._version import __version__
from trio_supervisor.core.diagnostics import Severity
from trio_supervisor.core.journal.chain import FORGOTTEN, Why, chain_of, continued, what_starts
from trio_supervisor.core.journal.entry import ADOPTED, NO_FACTS, UPGRADED, JournalEntry, What
from trio_supervisor.core.journal.evidence import bounded, evidence_of, secrets_of
from trio_supervisor.core.journal.memory import JournalMemory, select
from trio_supervisor.core.journal.request_line import request_line
from trio_supervisor.core.process.cause import BOOT, Cause, CauseKind
from trio_supervisor.core.process.states import DaemonState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from trio_supervisor.core.config.identity import EnvironmentFile
    from trio_supervisor.core.config.model import DaemonConfig, Diff, ProcessConfig
    from trio_supervisor.core.journal.entry import Fact, Facts
    from trio_supervisor.core.process.record import ProcessRecord, Transition
    from trio_supervisor.runtime.journal.disk import DiskJournal

#: The kernel's identifier of this boot (random(4)).
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Journal:
    """Writes the entries and numbers them."""

    def __init__(
        self,
        wall_clock: Callable[[], float] = time.time,
        monotonic_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.memory = JournalMemory()
        self.number = 0
        """Number of the last entry; 0 before the first."""
        self._restarted_by = 0
        """Number of the entry about the restart of the supervisor that is under way."""
        self._wall_clock = wall_clock
        self._monotonic_clock = monotonic_clock
        self._boot = _boot_id()
        self._disk: DiskJournal | None = None
        self._output = True
        """Whether entries have the last lines of unexpected ends."""
        self._secrets_of_files: dict[tuple[EnvironmentFile, ...], tuple[str, ...]] = {}
        """What was last read from environment files, or inherited beside it."""
        self._log: Callable[[Severity, str], None] | None = None
        """Gets a line about each request; None: there are no such lines."""

    async def open(self, daemon: DaemonConfig, log: Callable[[Severity, str], None]) -> None:
        """Go on with the file that the configuration names, if any; called at each start.

        Numbers go on after those in the file.
        """
        self._output = daemon.journal_output
        self.tell_requests(daemon, log)
        if self._disk is not None and self._disk.path == daemon.journal:
            self._disk.log = log  # that of the supervisor before a restart is closed
            return
        await self.close()
        if daemon.journal is not None:
            # Imported here because sqlite3 takes memory, and few configurations have a file.
            from trio_supervisor.runtime.journal.disk import open_disk

            self._disk = await open_disk(daemon.journal, daemon.journal_maxbytes, log)
        if self._disk is not None:
            self.number = max(self.number, self._disk.reserved)

    def tell_requests(self, daemon: DaemonConfig, log: Callable[[Severity, str], None]) -> None:
        """From now on, log who asks for what if the configuration is an extended one."""
        self._log = log if daemon.extended else None

    @property
    def writer(self) -> Callable[[], Awaitable[None]] | None:
        """Writes the entries to the file until it is cancelled; None if there is no file."""
        return None if self._disk is None else self._disk.run

    async def close(self) -> None:
        """Close the file, if there is one."""
        disk, self._disk = self._disk, None
        if disk is not None:
            await disk.close()

    @property
    def lost(self) -> int:
        """Entries that could not be written to the file."""
        return 0 if self._disk is None else self._disk.lost

    def record(
        self,
        process: str,
        what: What,
        cause: Cause,
        *,
        old: str = "",
        new: str = "",
        evidence: Facts = NO_FACTS,
    ) -> int:
        """Add an entry and return its number. ``process`` is a full name; empty: the daemon.

        ``evidence`` must be free of secrets; ``bounded`` in ``core/journal/evidence.py`` masks and
        cuts what comes from a program or a client.
        """
        self.number += 1
        now = self._wall_clock()
        entry = JournalEntry(
            self.number,
            now,
            self._monotonic_clock(),
            self._boot,
            process,
            what,
            old,
            new,
            cause,
            evidence,
            first=now,
        )
        changed, dropped = self.memory.add(entry)
        if self._disk is not None:
            self._disk.change(self.number, changed, dropped)
        if self._log is not None and (line := request_line(entry)):
            self._log(Severity.INFO, line)
        return self.number

    def looked_up(self, config: ProcessConfig, environment: Mapping[str, str]) -> None:
        """Remember which values are secret in an environment that was looked up for a child."""
        if config.identity.environment_files:
            self._secrets_of_files[config.identity.environment_files] = secrets_of(environment)

    def secrets(self, config: ProcessConfig) -> tuple[str, ...]:
        """Return the values of variables of a program that no entry may have."""
        of_files = self._secrets_of_files.get(config.identity.environment_files, ())
        return secrets_of(config.environment) + of_files

    def record_transition(self, process: str, config: ProcessConfig, transition: Transition) -> int:
        """Add the entry about a change of state and return its number."""
        return self.record(
            process,
            What.STATE,
            transition.cause,
            old=transition.old._name_,  # ``name`` takes two more calls
            new=transition.new._name_,
            evidence=evidence_of(transition, partial(self.secrets, config), output=self._output),
        )

    def request(self, process: str, action: str, cause: Cause) -> Cause:
        """Add the entry about a request; return the cause of what follows from it.

        A request that is part of something with an entry, such as a change of the configuration,
        has none of its own.
        """
        if cause.entry:
            return cause
        return cause.of(self.record(process, What.REQUEST, cause, new=action))

    def started(self, file: str | None) -> int:
        """Add the entry about the start of the supervisor and return its number.

        After a restart the request to restart is its cause. ``file`` is its configuration.
        """
        facts: dict[str, Fact] = {"pid": os.getpid(), "version": __version__}
        if file is not None:
            facts["file"] = file
        if not self._restarted_by and self._disk is not None and self._disk.is_after_crash:
            facts["after_crash"] = True
        cause = BOOT.of(self._restarted_by)
        self._restarted_by = 0
        return self.record("", What.DAEMON, cause, new=DaemonState.RUNNING.name, evidence=facts)

    def adopted(self, file: str | None, before: int, programs: int) -> int:
        """Add the entry about a start that goes on with programs, and return its number.

        ``file`` is the configuration, ``before`` the pid of the daemon that was killed.
        """
        facts: dict[str, Fact] = {"pid": os.getpid(), "before": before, "programs": programs}
        if file is not None:
            facts["file"] = file
        cause = Cause(CauseKind.ADOPTION)
        return self.record("", What.DAEMON, cause, new=ADOPTED, evidence=facts)

    def still(self, process: str, last: Transition, pid: int, reason: str, cause: Cause) -> int:
        """Add the entry about the state of a process that was taken over; return its number.

        ``last`` is the transition to that state, ``pid``: 0 means that it has no child, ``reason``
        says why it does not run, and may be empty.
        """
        facts: dict[str, Fact] = {"pid": pid, "reason": reason, "since": last.at}
        evidence = {fact: value for fact, value in facts.items() if value}
        name = last.new.name
        return self.record(process, What.STATE, cause, old=name, new=name, evidence=evidence)

    def upgraded(self, version: str, request: Cause) -> int:
        """Add the entry about an upgrade and return its number.

        ``version`` is that of the program before, ``request`` what asked for it.
        """
        facts: dict[str, Fact] = {"from": version, "version": __version__, "pid": os.getpid()}
        cause = Cause(CauseKind.UPGRADE, request.who, request.entry)
        return self.record("", What.DAEMON, cause, new=UPGRADED, evidence=facts)

    def leaving(self, state: DaemonState, cause: Cause) -> Cause:
        """Add the entry about a shutdown or restart; return the cause of the stops."""
        number = self.record("", What.DAEMON, cause, old=DaemonState.RUNNING.name, new=state.name)
        if state is DaemonState.RESTARTING:
            self._restarted_by = number
        return Cause(CauseKind.SHUTDOWN, cause.who, number)

    def group(
        self,
        cause: Cause,
        action: str,
        name: str,
        file: str | None,
        options: tuple[str, ...] = (),
    ) -> Cause:
        """Add the entry about a group that is added or removed; return the cause of what follows.

        ``file`` is the configuration that says so, ``options`` are the names of those changed.
        """
        facts: dict[str, Fact] = {"group": name}
        if file is not None:
            facts["file"] = file
        if options:
            facts["options"] = ", ".join(options)
        number = self.record("", What.CONFIGURATION, cause, new=action, evidence=bounded(facts))
        return cause.of(number)

    def scaled(self, cause: Cause, program: str, old: int, new: int) -> Cause:
        """Add the entry about another number of processes; return the cause of what follows."""
        facts: dict[str, Fact] = {"group": program, "processes": f"{old} to {new}"}
        number = self.record("", What.CONFIGURATION, cause, new="scaled", evidence=bounded(facts))
        return cause.of(number)

    def reread(self, found: Diff, cause: Cause) -> None:
        """Add the entry about a configuration that was read again and differs from what runs."""
        changes = {"added": found.added, "changed": found.changed, "removed": found.removed}
        facts = {what: ", ".join(names) for what, names in changes.items() if names}
        if facts:
            self.record("", What.REQUEST, cause, new="reread", evidence=bounded(facts))

    def clock_set_back(self, seconds: float) -> None:
        """Add the entry about a system clock that was set back."""
        cause = Cause(CauseKind.CLOCK)
        self.record("", What.CLOCK, cause, evidence={"seconds": round(seconds, 3)})

    async def select(
        self,
        names: Collection[str] = (),
        since: float | None = None,
        kind: str | None = None,
        limit: int | None = None,
    ) -> list[JournalEntry]:
        """Return entries, oldest first; see ``select`` in ``core/journal/memory.py``."""
        found = select(self.memory.all(), names, since, kind, limit)
        if self._disk is None:
            return found
        # What is in memory is newer: it counts how often something has happened.
        known = {entry.number for entry in found}
        read = await self._disk.read(names, since, kind, limit)
        earlier = [entry for entry in read if entry.number not in known]
        found = sorted([*earlier, *found], key=lambda entry: entry.number)
        return found if limit is None else found[max(0, len(found) - limit) :]

    async def why(self, process: str, config: ProcessConfig, record: ProcessRecord) -> Why:
        """Explain the state of a process."""
        chain, root = chain_of(self.memory.of(process), self.memory.find)
        while root == FORGOTTEN and self._disk is not None:
            earlier = await self._disk.find(chain[-1].cause.entry)
            if earlier is None:
                break
            chain, root = continued(chain, {earlier.number: earlier}.get)
        following = what_starts(config, record, trio.current_time())
        return Why(process, record.state, chain, root, following)


def _boot_id() -> str:
    try:
        with open(BOOT_ID, "rb") as file:  # as text it would load a module, see ``cli/privileges``
            return file.read().decode().strip()
    except (OSError, ValueError):  # no /proc
        return ""
