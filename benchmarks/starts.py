"""When programs start, seen by the kernel's notifications of files: without polling, and exact.

Theory of operation. Each program executes a file of its own, a link to one copy of ``sleep``, alone
in a directory. The kernel notifies the benchmark (inotify(7)) when a file in one of these
directories is opened, which is the first step of an exec. So the benchmark sleeps until a program
starts, while a search in ``/proc`` takes processor time and a lock that each fork needs; and it
knows the time of the start to the delay of its own wake-up, which takes precedence over all other
processes (less than 0.1 ms), if root runs it.
The daemons notice nothing: none of them opens the files that it executes.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.probe import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_IN_OPEN = 0x20  # sys/inotify.h
#: struct inotify_event without the name: watch, mask, cookie and length of the name.
_EVENT = struct.Struct("iIII")
#: Bytes of one read: hundreds of events.
_CHUNK = 64 * 1024


@contextmanager
def _first_in_line() -> Iterator[None]:
    """Let no other process delay this one when it wakes up, as root; it must sleep then.

    All processors are busy when a daemon has just started a program, which delayed the benchmark
    by up to 0.5 ms.
    """
    usual = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield
    else:
        try:
            yield
        finally:
            os.sched_setscheduler(0, *usual)


class Executables:
    """Files for programs that sleep, at ``paths``.

    ``started`` has the numbers of those executed so far, ``seen`` the time of the last of them
    (``time.monotonic``).

    Raises MeasurementError if programs in this directory cannot be executed or watched.
    """

    def __init__(self, directory: Path, count: int) -> None:
        if os.statvfs(directory).f_flag & os.ST_NOEXEC:
            raise MeasurementError(
                f"programs in {directory} cannot be executed: set TMPDIR to a directory of a"
                " filesystem that is mounted without noexec"
            )
        self.started: set[int] = set()
        self.seen = 0.0
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = self._checked(self._libc.inotify_init1(os.O_CLOEXEC))
        self._numbers: dict[int, int] = {}
        copy = directory / "sleep"
        shutil.copy("/bin/sleep", copy)
        paths = [directory / "programs" / str(number) / "sleep" for number in range(count)]
        for number, path in enumerate(paths):
            path.parent.mkdir(parents=True)
            path.hardlink_to(copy)
            watched = os.fsencode(path.parent)
            watch = self._libc.inotify_add_watch(self._inotify, watched, _IN_OPEN)
            self._numbers[self._checked(watch)] = number
        self.paths = list(map(str, paths))

    def wait(self, seconds: float) -> None:
        """Add to ``started`` what has been executed; wait for that if nothing has been."""
        with _first_in_line():
            if not select.select([self._inotify], [], [], seconds)[0]:
                return
            self.seen = time.monotonic()
        events = os.read(self._inotify, _CHUNK)
        offset = 0
        while offset < len(events):
            watch, _, _, length = _EVENT.unpack_from(events, offset)
            self.started.add(self._numbers[watch])
            offset += _EVENT.size + length

    def __enter__(self) -> Executables:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._inotify)

    def _checked(self, answer: int) -> int:
        if answer < 0:
            raise MeasurementError(f"inotify: {os.strerror(ctypes.get_errno())}")
        return answer
