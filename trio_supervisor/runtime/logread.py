"""Reads parts of log files by byte offsets (interfaces.md 2.8); runs in threads, blocks freely.

Offsets and lengths count bytes of the current file; text is decoded with replacement, so that a
slice through a character or a binary log is still an answer.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from trio_supervisor.core.errors import BadArguments, Failed, NoFile

#: Most bytes of one answer; of more, the last part is kept. Whoever wants it all can copy the file.
ANSWER_LIMIT = 16 * 1024 * 1024


def read_log(path: str, offset: int, length: int) -> str:
    """What ``read*Log`` answers. Raises BadArguments, NoFile or Failed."""
    if (offset < 0 and length != 0) or length < 0:
        raise BadArguments
    try:
        with _open(path) as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size + offset) if offset < 0 else min(offset, size)
            end = min(start + length, size) if length else size
            return _slice(file, start, end)
    except FileNotFoundError as error:
        raise NoFile(path) from error
    except OSError as error:
        raise Failed from error


def tail_log(path: str, offset: int, length: int) -> tuple[str, int, bool]:
    """What ``tail*Log`` answers: text, size, overflow. The text does not begin at ``offset``:
    it is the last ``length`` bytes whenever there is anything beyond ``offset`` (Q19).
    """
    try:
        with _open(path) as file:
            size = file.seek(0, os.SEEK_END)
            wanted = min(length, size) if length > 0 and offset < size else 0
            return _slice(file, size - wanted, size), size, size > offset + length
    except FileNotFoundError:
        return "", 0, False
    except OSError:
        return "", offset, False


def _open(path: str) -> BinaryIO:
    """Only regular files: opening a FIFO would make us its reader, and reading a terminal waits."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE), path)
    return open(path, "rb")


def _slice(file: BinaryIO, start: int, end: int) -> str:
    start = max(start, end - ANSWER_LIMIT)
    file.seek(start)
    return file.read(end - start).decode(errors="replace")
