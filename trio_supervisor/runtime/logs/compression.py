"""Compresses rotated logs, in a thread of its own: that takes longer than a disk job may.

The newest backup is left as it is until the next rotation, because readers may be in the middle of
it. A compressed backup has its number and ``.gz`` behind the name of the log. It replaces the plain
one when it is complete and on the disk; whatever ends the daemon before that, the plain one stays
and is compressed after the next rotation.

A compressed file keeps the time of the plain one, and in its header (RFC 1952, the extra field) the
number of its inode: by that a reader finds its place again (``core/logs/place.py``).
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.logs.drops import reason
from trio_supervisor.runtime.logs.rotation import PACKED, backup_name, plain_backups
from trio_supervisor.runtime.system.opening import entry, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_supervisor.runtime.logs.rotation import Rotations
    from trio_supervisor.runtime.system.opening import DirectoryEntry

    Report = Callable[[Severity, str], None]

#: Window sizes for zlib: that reads the format of gzip, and that makes the deflate data in it.
GZIP = zlib.MAX_WBITS + 16
DEFLATE = -zlib.MAX_WBITS
#: The newest backup that is compressed.
FIRST = 2
_BLOCK = 256 * 1024
#: Bytes of content that are unpacked at once: little data may hold very much.
_UNPACKED = 1024 * 1024
#: Magic, deflate, an extra field, time, no flags, Unix; then the length of the extra field, the
#: name and length of its only part, and the number of the inode.
_HEAD = struct.Struct("<4sIBBH2sHQ")
_MAGIC = b"\x1f\x8b\x08\x04"
_PART = b"TS"
_INODE_SIZE = 8
_UNIX = 3
#: Checksum and size of the content, modulo 2**32.
_END = struct.Struct("<II")
_MODULO = 2**32
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Compressor:
    """Compresses the backups of all logs of one supervisor, one after another."""

    def __init__(self, rotations: Rotations) -> None:
        self._rotations = rotations
        self._lock = threading.Lock()
        self._waiting: dict[str, Report] = {}
        """By path of the log."""
        self._runs = False
        self._failing: set[str] = set()
        """Logs whose failure was reported."""

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
            with self._rotations.shifting(path):
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
            modified = int(status.st_mtime) % _MODULO
            extra = 4 + _INODE_SIZE
            _write_all(
                target,
                _HEAD.pack(_MAGIC, modified, 0, _UNIX, extra, _PART, _INODE_SIZE, status.st_ino),
            )
            packer = zlib.compressobj(wbits=DEFLATE)
            checksum = size = 0
            while data := os.read(source, _BLOCK):
                checksum, size = zlib.crc32(data, checksum), size + len(data)
                _write_all(target, packer.compress(data))
            _write_all(target, packer.flush() + _END.pack(checksum, size % _MODULO))
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
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


def packed_inode(fd: int) -> int | None:
    """Return the number of the inode of the file that was compressed; None if it is not known."""
    data = os.pread(fd, _HEAD.size, 0)
    if len(data) < _HEAD.size:
        return None
    magic, _, _, _, _, part, length, inode = _HEAD.unpack(data)
    return int(inode) if (magic, part, length) == (_MAGIC, _PART, _INODE_SIZE) else None


def packed_size(fd: int, size: int) -> int:
    """Return the bytes of content, by the end of the file, whose own size is ``size``.

    Modulo 4 GiB, and without all parts but the last of a file that was made of several.
    """
    data = os.pread(fd, _END.size, max(0, size - _END.size))
    return int(_END.unpack(data)[1]) if len(data) == _END.size else 0


def unpacked_end(fd: int, size: int) -> bytes:
    """Return the last bytes of what a compressed file holds. Raises OSError if it is damaged."""
    end = b""
    for data in unpacked(fd):
        end = (end + data)[-size:] if size else b""
    return end


def unpacked(fd: int) -> Iterator[bytes]:
    """Return the content in pieces. Raises OSError if it is damaged."""
    unpacker = zlib.decompressobj(wbits=GZIP)
    offset = 0
    try:
        while data := os.pread(fd, _BLOCK, offset):
            offset += len(data)
            while data:
                if unpacker.eof:  # another file was appended
                    unpacker = zlib.decompressobj(wbits=GZIP)
                if piece := unpacker.decompress(data, _UNPACKED):
                    yield piece
                data = unpacker.unconsumed_tail or unpacker.unused_data
    except zlib.error as error:
        raise OSError(errno.EIO, f"damaged: {error}") from error
    if not unpacker.eof:
        raise OSError(errno.EIO, "damaged: its end is missing")


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
