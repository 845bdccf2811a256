"""Pipes whose reader may sleep, as log targets of a test."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds until a test that waits for bytes fails.
PATIENCE = 30


class Pipe:
    """``path`` is its writing end as ``/dev/fd/N``; nobody reads unless the test does."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.path = f"/dev/fd/{self.writer}"

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, as soon as they are there."""
        return read_exactly(self.reader, size)

    def pending(self) -> bool:
        return bool(select.select([self.reader], [], [], 0)[0])

    def close_reader(self) -> None:
        os.close(self.reader)
        self.reader = -1

    def close(self) -> None:
        if self.reader >= 0:
            os.close(self.reader)
        os.close(self.writer)


def read_exactly(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not select.select([fd], [], [], PATIENCE)[0]:
            raise TimeoutError(f"{size} bytes expected, got {data!r}")
        chunk = os.read(fd, size - len(data))
        if not chunk:
            raise EOFError(f"{size} bytes expected, got {data!r}")
        data += chunk
    return data


@contextmanager
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()
