"""The journal on disk as the event loop uses it: entries wait here, a thread writes them.

A second after an entry came, all that wait are given to the disk worker as one job, unless the last
one is not done yet. Nothing waits for the disk. What cannot be written, because the disk is full or
the file is locked, is tried again every second; beyond MOST_WAITING the oldest are lost and
counted. Imported only for a configuration with ``journal=``.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.diagnostics import Severity
from trio_supervisor.runtime.journal.database import Database, JournalUnusable
from trio_supervisor.runtime.logs.worker import DiskWorker
from trio_supervisor.runtime.system.threads import in_thread, in_thread_if_possible

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from trio_supervisor.core.journal.entry import JournalEntry

    Log = Callable[[Severity, str], None]

T = TypeVar("T")

#: Seconds between two transactions.
INTERVAL = 1.0
#: Seconds that a start waits for the file to be opened, and a query for its answer.
PATIENCE = 2.0
#: Seconds that the end waits for the last transaction.
CLOSE_TIMEOUT = 1.0
#: Entries that wait for the disk at most.
MOST_WAITING = 10_000
#: What a disk can do wrong.
ERRORS = (OSError, sqlite3.Error, ValueError)


@dataclass(slots=True)
class Batch:
    """What one transaction writes, and how that has ended."""

    entries: dict[int, JournalEntry]
    dropped: list[int]
    last_number: int
    is_done: bool = False
    error: Exception | None = None


class DiskJournal:
    """The queue of entries, and the database in its thread."""

    def __init__(self, database: Database, log: Log) -> None:
        self.path = database.path
        self.lost = 0
        """Entries that could not be written and are not tried any more."""
        self._database = database
        self.log = log
        self._worker = DiskWorker()
        self._waiting: dict[int, JournalEntry] = {}
        self._dropped: list[int] = []
        """Numbers of entries to delete, because others repeat them."""
        self._last_number = database.reserved
        self._news = trio.Event()
        self._batch: Batch | None = None
        self._failing = False
        self._token: trio.lowlevel.TrioToken | None = None
        self._told_remark = ""
        self._tell_remark()

    @property
    def is_after_crash(self) -> bool:
        """Whether the daemon before has not closed the file."""
        return self._database.is_after_crash

    @property
    def reserved(self) -> int:
        """The last number that may be in use."""
        return self._database.reserved

    def change(
        self, number: int, entries: Collection[JournalEntry], dropped: tuple[int, ...]
    ) -> None:
        """Have entries written soon and others deleted; ``number`` is the last one in use."""
        self._last_number = number
        for entry in entries:
            self._waiting[entry.number] = entry
        for old in dropped:
            self._waiting.pop(old, None)
            # The file may have it all the same, as it was before it counted more.
            self._dropped.append(old)
        self._keep_bounds()
        self._news.set()

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        self._token = trio.lowlevel.current_trio_token()
        while True:
            await self._news.wait()
            self._news = trio.Event()
            await trio.sleep(INTERVAL)
            self._write()

    async def read(
        self,
        names: Collection[str] = (),
        since: float | None = None,
        kind: str | None = None,
        limit: int | None = None,
    ) -> list[JournalEntry]:
        """Return entries of the file, oldest first; none if it cannot be read in time.

        Those that are to be deleted are left out.
        """
        gone = self._to_delete()
        # More than the limit, because of these.
        most = None if limit is None else limit + len(gone)
        found = await self._ask(partial(self._database.read, names, since, kind, most)) or []
        gone |= self._to_delete()
        return [entry for entry in found if entry.number not in gone]

    async def find(self, number: int) -> JournalEntry | None:
        """Return an entry of the file; None if it has none, or cannot be read in time."""
        return await self._ask(partial(self._database.find, number))

    async def close(self) -> None:
        """Write the last entries and close the file, unless the disk hangs."""
        await self._settle()
        self._write()
        await self._settle()
        if self._batch is None or self._batch.is_done:
            self._worker.submit(partial(self._database.close, self._last_number))
            await self._settle()
        if self._waiting or self.lost:
            count = len(self._waiting) + self.lost
            self.log(Severity.WARN, f"journal {self.path}: {count} entries are not in the file")

    def _to_delete(self) -> set[int]:
        return {*self._dropped, *(() if self._batch is None else self._batch.dropped)}

    async def _ask(self, question: Callable[[], T]) -> T | None:
        with trio.move_on_after(PATIENCE):
            try:
                return await in_thread(question, abandon_on_cancel=True)
            except ERRORS as error:
                self.log(Severity.WARN, f"journal {self.path} cannot be read: {error}")
        return None

    async def _settle(self) -> None:
        await in_thread_if_possible(self._worker.settle, CLOSE_TIMEOUT)

    def _write(self) -> None:
        """Give what waits to the thread, unless it is busy; look at what it has done before."""
        if self._batch is not None:
            if not self._batch.is_done:
                return
            self._conclude(self._batch)
            self._batch = None
        if not self._waiting and not self._dropped:
            return
        self._batch = Batch(self._waiting, self._dropped, self._last_number)
        self._waiting, self._dropped = {}, []
        self._worker.submit(partial(self._carry_out, self._batch))

    def _carry_out(self, batch: Batch) -> None:
        """Write a batch; called in the thread."""
        try:
            self._database.write(batch.entries.values(), batch.dropped, batch.last_number)
        except ERRORS as error:
            batch.error = error
        batch.is_done = True
        # As a rule the next entries come later, and the event loop need not be woken before.
        told = not self._failing and self._database.remark == self._told_remark
        if self._token is not None and (batch.error is not None or self._waiting or not told):
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._look_again)

    def _look_again(self) -> None:
        self._news.set()

    def _conclude(self, batch: Batch) -> None:
        """Keep what could not be written for the next try, and log the change."""
        if batch.error is not None:
            self._waiting = {**batch.entries, **self._waiting}
            for number in self._dropped:  # since the batch was made
                self._waiting.pop(number, None)
            self._dropped = batch.dropped + self._dropped
            self._keep_bounds()
            if not self._failing:
                text = f"journal {self.path} cannot be written, tried again: {batch.error}"
                self.log(Severity.WARN, text)
        elif self._failing:
            self.log(Severity.INFO, f"journal {self.path} is written again, {self.lost} lost")
        self._failing = batch.error is not None
        self._tell_remark()

    def _keep_bounds(self) -> None:
        while len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
            self.lost += 1
        del self._dropped[:-MOST_WAITING]

    def _tell_remark(self) -> None:
        if self._database.remark not in ("", self._told_remark):
            self._told_remark = self._database.remark
            self.log(Severity.WARN, f"journal: {self._told_remark}")


async def open_disk(path: str, maxbytes: int, log: Log) -> DiskJournal | None:
    """Open the journal's file; None, with a line in the log, if that is not possible in time."""
    with trio.move_on_after(PATIENCE) as scope:
        try:
            database = await in_thread(Database, path, maxbytes, abandon_on_cancel=True)
        except (JournalUnusable, *ERRORS) as error:
            log(Severity.WARN, f"journal {path} is not kept on disk: {error}")
            return None
    if scope.cancelled_caught:
        log(Severity.WARN, f"journal {path} is not kept on disk: its disk does not answer")
        return None
    return DiskJournal(database, log)
