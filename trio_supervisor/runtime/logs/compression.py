"""Compresses rotated logs, in a thread of its own: that takes longer than a disk job may.

The newest backup is left as it is until the next rotation, because readers may be in the middle of
it. A compressed backup has its number and ``.gz`` behind the name of the log. It replaces the plain
one when it is complete and on the disk; whatever ends the daemon before that, the plain one stays
and is compressed after the next rotation.
"""

from __future__ import annotations

import errno
import os
import threading
import zlib
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.logs.drops import reason
from trio_supervisor.runtime.logs.rotation import PACKED, backup_name, plain_backups
from trio_supervisor.runtime.system.opening import entry, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_supervisor.runtime.system.opening import DirectoryEntry

    Report = Callable[[Severity, str], None]

#: Window size for zlib that makes, and reads, the format of gzip.
GZIP = zlib.MAX_WBITS + 16
#: The newest backup that is compressed.
FIRST = 2
_BLOCK = 256 * 1024
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Compressor:
    """Compresses the backups of all logs of one supervisor, one after another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, Report] = {}
        """By path of the log."""
        self._runs = False
        self._failing: set[str] = set()
        """Logs whose failure was reported."""
        self._shifting: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def shifting(self, path: str) -> threading.Lock:
        """Return the lock to hold while the backups of this log get other numbers."""
        with self._lock:
            return self._shifting[path]

    def submit(self, path: str, report: Report) -> None:
        """Have the backups of a log compressed soon. ``report`` is called in the thread."""
        with self._lock:
            self._waiting[path] = report
            if self._runs:
                return
            self._runs = True
        try:
            threading.Thread(target=self._run, name="log compression", daemon=True).start()
        except RuntimeError:  # out of threads: the next rotation tries again
            with self._lock:
                self._runs = False

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._runs = False
                    return
                path = next(iter(self._waiting))
                report = self._waiting.pop(path)
            try:
                self._compress_backups(path)
            except OSError as error:
                if path not in self._failing:
                    self._failing.add(path)
                    text = f"cannot compress the backups of log {path}: {reason(error)}"
                    report(Severity.ERROR, f"{text}; they stay as they are until that works")
            else:
                self._failing.discard(path)

    def _compress_backups(self, path: str) -> None:
        """Raises OSError."""
        with entry(path, follow=False) as log:
            for number in sorted(plain_backups(log), reverse=True):
                if number >= FIRST:
                    self._compress(path, log, number)

    def _compress(self, path: str, log: DirectoryEntry, number: int) -> None:
        try:
            source = open_regular(backup_name(path, number), follow=False)
        except FileNotFoundError:  # it has another number now
            return
        part = f".{log.name}{PACKED}.part"
        try:
            self._write(source, log, part)
            with self.shifting(path):
                self._install(os.fstat(source), log, part)
        except BaseException:
            with suppress(OSError):
                os.unlink(part, dir_fd=log.directory)
            raise
        finally:
            os.close(source)

    def _write(self, source: int, log: DirectoryEntry, part: str) -> None:
        status = os.fstat(source)
        target = os.open(part, _CREATE, 0o600, dir_fd=log.directory)
        try:
            with suppress(PermissionError):
                os.fchown(target, status.st_uid, status.st_gid)
            os.fchmod(target, status.st_mode & 0o777)
            packer = zlib.compressobj(wbits=GZIP)
            while data := os.read(source, _BLOCK):
                _write_all(target, packer.compress(data))
            _write_all(target, packer.flush())
            os.fsync(target)
        finally:
            os.close(target)

    def _install(self, source: os.stat_result, log: DirectoryEntry, part: str) -> None:
        """Put the compressed file in the place of the plain one, whatever its number is now."""
        for number in plain_backups(log):
            name = backup_name(log.name, number)
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=log.directory, follow_symlinks=False)
                if os.path.samestat(status, source):
                    log.rename(part, name + PACKED)
                    os.unlink(name, dir_fd=log.directory)
                    return
        os.unlink(part, dir_fd=log.directory)  # its number was beyond those that are kept


def unpacked_end(fd: int, size: int) -> bytes:
    """Return the last bytes of what a compressed file holds. Raises OSError if it is damaged."""
    end = b""
    for data in _unpacked(fd):
        end = (end + data)[-size:] if size else b""
    return end


def _unpacked(fd: int) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=GZIP)
    offset = 0
    try:
        while data := os.pread(fd, _BLOCK, offset):
            offset += len(data)
            yield unpacker.decompress(data)
    except zlib.error as error:
        raise OSError(errno.EIO, f"damaged: {error}") from error
    if not unpacker.eof:
        raise OSError(errno.EIO, "damaged: its end is missing")


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
