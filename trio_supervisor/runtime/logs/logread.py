"""Reads parts of log files by byte offsets. May wait for the disk, so it is used in threads.

Offsets and lengths count bytes of the current file; text is decoded with replacement, so that a
slice through a character or a binary log is still an answer.
"""

from __future__ import annotations

import os
from codecs import getincrementaldecoder
from typing import BinaryIO

from trio_supervisor.core.errors import BadArguments, Failed, NoFile
from trio_supervisor.runtime.logs.rotated import Tail, read_end
from trio_supervisor.runtime.system.opening import open_regular

#: Most bytes of one answer unless the configuration says otherwise; of more, the last part is kept.
ANSWER_LIMIT = 16 * 1024 * 1024
#: Bytes in which the last lines are looked for first: hundreds of ordinary lines.
LINES_GUESS = 64 * 1024
#: Bytes that are decoded at once.
PIECE = 256 * 1024


def read_log(path: str, offset: int, length: int, limit: int = ANSWER_LIMIT) -> str:
    """Return what ``read*Log`` answers. Raises BadArguments, NoFile or Failed."""
    if (offset < 0 and length != 0) or length < 0:
        raise BadArguments
    try:
        with _open(path) as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size + offset) if offset < 0 else min(offset, size)
            end = min(start + length, size) if length else size
            return _slice(file, max(start, end - limit), end)
    except FileNotFoundError as error:
        raise NoFile(path) from error
    except OSError as error:
        raise Failed from error


def tail_log(
    path: str, offset: int, length: int, limit: int = ANSWER_LIMIT
) -> tuple[str, int, bool]:
    """Return what ``tail*Log`` answers: text, size, overflow.

    The text does not begin at ``offset``: it is the last ``length`` bytes whenever there is
    anything beyond ``offset``, because clients of Supervisor expect that.
    """
    try:
        with _open(path) as file:
            size = file.seek(0, os.SEEK_END)
            wanted = min(length, size) if length > 0 and offset < size else 0
            text = _slice(file, size - min(wanted, limit), size)
            return text, size, size > offset + length
    except FileNotFoundError:
        return "", 0, False
    except OSError:
        return "", offset, False


def last_bytes(path: str, size: int) -> Tail:
    """Return the last bytes of a log, backups included. Raises NoFile or Failed."""
    try:
        return read_end(path, size)
    except FileNotFoundError as error:
        raise NoFile(path) from error
    except OSError as error:
        raise Failed(f"cannot read {path}: {error.strerror}") from error


def last_lines(path: str, lines: int) -> Tail:
    """Return the last lines of a log, as far as they fit. Raises NoFile or Failed."""
    size = LINES_GUESS
    while True:
        end = last_bytes(path, min(size, ANSWER_LIMIT))
        start = start_of_last(lines, end.data)
        if start is not None:
            return end.since(start)
        if len(end.data) < size:  # it is all there is, or all that may be
            return end
        size *= 4


def start_of_last(lines: int, data: bytes) -> int | None:
    """Return the offset where the last lines begin; None if it is not within ``data``."""
    place = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(lines):
        place = data.rfind(b"\n", 0, place)
        if place < 0:
            return None
    return place + 1


def _open(path: str) -> BinaryIO:
    return open(open_regular(path), "rb")


def _slice(file: BinaryIO, start: int, end: int) -> str:
    """Read and decode in pieces, between which other threads run: decoding holds the GIL."""
    decoder = getincrementaldecoder("utf-8")("replace")
    file.seek(start)
    pieces = []
    left = end - start
    while left > 0 and (data := file.read(min(left, PIECE))):
        pieces.append(decoder.decode(data))
        left -= len(data)
    return "".join([*pieces, decoder.decode(b"", final=True)])
