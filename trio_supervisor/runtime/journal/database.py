"""The file of the journal: an SQLite database that only one daemon writes.

Everything here blocks, and is called in worker threads, one call at a time but for ``read``. The
module is imported only for a configuration with ``journal=``, because sqlite3 takes memory.

The last number in use is kept with a reserve: after a crash, in which the entries of the last
second are lost, their numbers are not given to others.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import stat
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.journal.entry import JournalEntry, What
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.runtime.system.opening import open_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import Any

#: Marks the file as ours: "tsvj".
APPLICATION = 0x7473766A
#: Version of the tables.
VERSION = 1
#: The smallest limit that is used: an empty database takes a part of it.
SMALLEST = 256 * 1024
#: The part of the limit that entries may take; the rest is for the write-ahead log.
SHARE = 0.6
#: The part of the entries that is deleted, the oldest, when the limit is reached.
PRUNED = 0.1
#: Entries that are written between two looks at the size; they take less than SMALLEST allows.
CHECKED_EVERY = 50
#: Numbers in reserve: more than a thousand programs that crash once a second need in two seconds.
RESERVE = 10_000
#: Seconds that a write waits for another program that has locked the database.
LOCK_TIMEOUT = 0.5
#: Files beside the database that SQLite writes.
COMPANIONS = ("-wal", "-shm", "-journal")
#: Most bytes that are read of a lock file, which has the pid of its daemon.
PID_SIZE = 32

_TABLES = """
CREATE TABLE IF NOT EXISTS entries(
    number INTEGER PRIMARY KEY, time REAL, monotonic REAL, boot TEXT, process TEXT, what TEXT,
    old TEXT, new TEXT, kind TEXT, cause INTEGER, who TEXT, evidence TEXT, count INTEGER, first REAL
);
CREATE TABLE IF NOT EXISTS numbers(reserved INTEGER);
"""
_INSERT = f"INSERT OR REPLACE INTO entries VALUES ({', '.join('?' * 14)})"
_WHAT = {what.value: what for what in What}
_KINDS = {kind.value: kind for kind in CauseKind}


class JournalUnusable(Exception):
    """The file cannot be the journal; the text says why."""


class Database:
    """An open database. The constructor raises JournalUnusable, OSError or sqlite3.Error."""

    def __init__(self, path: str, maxbytes: int) -> None:
        self.path = path
        self.remark = ""
        """What is unusual about the file, for the log; empty if nothing is."""
        self.reserved = 0
        """No number up to this one is free."""
        self.is_after_crash = False
        """Whether the daemon before has not closed the file."""
        self._unchecked = 0
        """Entries that were written since the size was looked at."""
        self._maxbytes = max(maxbytes, SMALLEST)
        self._file = -1
        """Keeps the file open: closing any descriptor of it would release the locks of SQLite."""
        self._lock = _locked(f"{path}.lock")
        try:
            self._open()
        except BaseException:
            self._close_files()
            raise

    def write(
        self, entries: Iterable[JournalEntry], dropped: Iterable[int], last_number: int
    ) -> None:
        """Write entries and delete others, in one transaction.

        A damaged file is moved away, and a new one begun. Raises OSError and sqlite3.Error; then
        nothing was written.
        """
        try:
            self._write(entries, dropped, last_number)
        except sqlite3.OperationalError:  # a full disk, a lock: the file is well
            raise
        except sqlite3.DatabaseError as error:
            self._replace(error)
            self._write(entries, dropped, last_number)

    def close(self, last_number: int) -> None:
        """Close the file; the next daemon begins after this number."""
        with suppress(sqlite3.Error):
            self._database.execute("UPDATE numbers SET reserved = ?", (last_number,))
        self._close_files()

    def read(
        self, names: Collection[str], since: float | None, kind: str | None, limit: int | None
    ) -> list[JournalEntry]:
        """Return entries as ``select`` in ``core/journal/memory.py`` does.

        Raises sqlite3.Error. May be called while another thread writes.
        """
        tests, values = ["1"], list[object]()
        if kind is not None:
            tests.append("(what = ? OR kind = ?)")
            values += [kind, kind]
        with closing(self._reader()) as database:
            if since is not None:
                [first] = database.execute(
                    "SELECT min(number) FROM entries WHERE time >= ?", (since,)
                ).fetchone()
                if first is None:
                    return []
                tests.append("number >= ?")
                values.append(first)
            rows = database.execute(
                f"SELECT * FROM entries WHERE {' AND '.join(tests)} ORDER BY number DESC", values
            )
            found: list[JournalEntry] = []
            for row in rows:
                if limit is not None and len(found) >= limit:
                    break
                if not names or not _names(row).isdisjoint(names):
                    found += _entries([row])
        return found[::-1]

    def find(self, number: int) -> JournalEntry | None:
        """Return the entry with that number; None if there is none. Raises sqlite3.Error."""
        with closing(self._reader()) as database:
            rows = database.execute("SELECT * FROM entries WHERE number = ?", (number,))
            return next(_entries(rows), None)

    def _open(self) -> None:
        for name in COMPANIONS:
            with suppress(FileNotFoundError):
                if not stat.S_ISREG(os.lstat(self.path + name).st_mode):
                    raise JournalUnusable(f"{self.path}{name} is not a regular file")
        self._file = open_file(self.path, os.O_RDWR | os.O_CREAT, 0o600, follow=False)
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            raise JournalUnusable(f"{self.path} is not a regular file")
        if status.st_uid != os.geteuid():
            raise JournalUnusable(f"{self.path} belongs to uid {status.st_uid}")
        os.fchmod(self._file, 0o600)
        try:
            self._connect()
            self._prepare(status.st_size)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self._replace(error)

    def _connect(self) -> None:
        self._database = sqlite3.connect(
            self.path, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        self._database.execute("PRAGMA schema_version")  # opens the file
        if not os.path.samestat(os.fstat(self._file), os.lstat(self.path)):
            raise JournalUnusable(f"{self.path} was replaced while it was opened")

    def _prepare(self, size: int) -> None:
        """Check the file and make the tables. Raises sqlite3.DatabaseError if it is damaged."""
        execute = self._database.execute
        if self._value("application_id") != APPLICATION:
            if size and self._value("schema_version"):
                raise JournalUnusable(f"{self.path} is a database of another program")
            execute(f"PRAGMA application_id = {APPLICATION}")
            execute(f"PRAGMA user_version = {VERSION}")
        elif self._value("user_version") != VERSION:
            raise JournalUnusable(f"{self.path} was written by another version")
        if execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("quick_check has found errors")
        if execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            self.remark = f"{self.path} is written without a write-ahead log, which is slower"
        execute("PRAGMA synchronous = NORMAL")
        page = self._value("page_size")
        pages = int(self._maxbytes * (1 - SHARE) / 2 / page)
        execute(f"PRAGMA wal_autocheckpoint = {max(2, min(1000, pages))}")
        execute(f"PRAGMA journal_size_limit = {page * 2 * max(2, pages)}")
        self._database.executescript(_TABLES)
        reserved = execute("SELECT max(reserved) FROM numbers").fetchone()[0]
        last = execute("SELECT max(number) FROM entries").fetchone()[0]
        self.is_after_crash = last is not None and reserved != last
        self.reserved = max(reserved or 0, last or 0)
        execute("DELETE FROM numbers")
        execute("INSERT INTO numbers VALUES (?)", (self.reserved,))
        if size > self._maxbytes:
            self._prune()
            execute("VACUUM")

    def _write(
        self, entries: Iterable[JournalEntry], dropped: Iterable[int], last_number: int
    ) -> None:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            if last_number > self.reserved - RESERVE // 2:
                reserved = last_number + RESERVE
                database.execute("UPDATE numbers SET reserved = ?", (reserved,))
            else:
                reserved = self.reserved
            database.executemany("DELETE FROM entries WHERE number = ?", ((n,) for n in dropped))
            rows = [_row(entry) for entry in entries]
            count = len(rows)
            database.executemany(_INSERT, rows)
            database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise
        self.reserved = reserved
        self._unchecked += count
        if self._unchecked >= CHECKED_EVERY:
            self._unchecked = 0
            self._prune()

    def _prune(self) -> None:
        """Delete the oldest entries if they take too much."""
        page = self._value("page_size")
        while (self._value("page_count") - self._value("freelist_count")) * page > (
            self._maxbytes * SHARE
        ):
            count = self._database.execute("SELECT count(*) FROM entries").fetchone()[0]
            if count <= 1:
                return
            self._database.execute(
                "DELETE FROM entries WHERE number IN "
                "(SELECT number FROM entries ORDER BY number LIMIT ?)",
                (max(1, int(count * PRUNED)),),
            )

    def _replace(self, error: sqlite3.DatabaseError) -> None:
        """Move a damaged file away and begin a new one. Raises OSError and sqlite3.Error."""
        kept = self.reserved
        self._database.close()
        os.close(self._file)
        self._file = -1
        away = f"{self.path}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        os.replace(self.path, away)
        for name in COMPANIONS:
            with suppress(FileNotFoundError):
                os.replace(self.path + name, away + name)
        self._file = open_file(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, follow=False)
        self._connect()
        self._prepare(0)
        self.reserved = max(kept, self.reserved)
        self.remark = f"{self.path} was damaged ({error}) and moved to {away}; a new one was begun"

    def _reader(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=LOCK_TIMEOUT, isolation_level=None)

    def _value(self, pragma: str) -> int:
        value: int = self._database.execute(f"PRAGMA {pragma}").fetchone()[0]
        return value

    def _close_files(self) -> None:
        with suppress(AttributeError, sqlite3.Error):  # it was not opened
            self._database.close()
        for fd in (self._file, self._lock):
            if fd != -1:
                os.close(fd)
        self._file = self._lock = -1


def _locked(path: str) -> int:
    """Lock a file for as long as it is open. Raises OSError and JournalUnusable."""
    fd = open_file(path, os.O_RDWR | os.O_CREAT, 0o600, follow=False)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.write(fd, b"%d\n" % os.getpid())
    except BlockingIOError:
        pid = os.pread(fd, PID_SIZE, 0).decode("ascii", "replace").strip()
        os.close(fd)
        owner = f"with pid {pid}" if pid.isdigit() else "which holds its lock"
        raise JournalUnusable(f"it is in use by another daemon, {owner}") from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _row(entry: JournalEntry) -> tuple[object, ...]:
    cause = entry.cause
    evidence = json.dumps(dict(entry.evidence)) if entry.evidence else ""
    return (
        *(entry.number, entry.time, entry.monotonic, entry.boot, _storable(entry.process)),
        *(entry.what.value, entry.old, entry.new, cause.kind.value, cause.entry),
        *(_storable(cause.who), evidence, entry.count, entry.first),
    )


def _storable(text: str) -> str:
    """Escape lone surrogates, which SQLite cannot store."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _names(row: tuple[Any, ...]) -> set[str]:
    """Return the names under which the entry of a row is found, as ``select`` does."""
    process, evidence = row[4], row[11]
    if process:
        return {process, process.partition(":")[0]}
    return {str(json.loads(evidence).get("group", ""))} if evidence else {""}


def _entries(rows: Iterable[tuple[Any, ...]]) -> Iterator[JournalEntry]:
    """Return the entries of rows, without those that a later version has written."""
    for row in rows:
        number, at, monotonic, boot, process, what, old, new, kind, cause, who = row[:11]
        evidence, count, first = row[11:]
        if what in _WHAT and kind in _KINDS:
            facts = json.loads(evidence) if evidence else {}
            yield JournalEntry(
                *(number, at, monotonic, boot, process, _WHAT[what], old, new),
                *(Cause(_KINDS[kind], who, cause), facts, count, first),
            )
