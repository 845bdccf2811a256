"""When programs start, seen by the kernel's notifications of files: without polling, and exact.

Theory of operation. Each program executes a file of its own, a link to one copy of ``sleep``, alone
in a directory. The kernel notifies the benchmark (inotify(7)) when a file in one of these
directories is opened, which is the first step of an exec. So the benchmark sleeps until a program
starts, while a search in ``/proc`` takes processor time and a lock that each fork needs; and it
knows the time of the start to the delay of its own wake-up, less than 0.1 ms on an idle machine.
The daemons notice nothing: none of them opens the files that it executes.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import struct
from typing import TYPE_CHECKING

from benchmarks.probe import MeasurementError

if TYPE_CHECKING:
    from pathlib import Path

_IN_OPEN = 0x20  # sys/inotify.h
#: struct inotify_event without the name: watch, mask, cookie and length of the name.
_EVENT = struct.Struct("iIII")
#: Bytes of one read: hundreds of events.
_CHUNK = 64 * 1024


class Executables:
    """Files for programs that sleep, at ``paths``.

    ``started`` has the numbers of those executed so far.

    Raises MeasurementError if programs in this directory cannot be executed or watched.
    """

    def __init__(self, directory: Path, count: int) -> None:
        if os.statvfs(directory).f_flag & os.ST_NOEXEC:
            raise MeasurementError(
                f"programs in {directory} cannot be executed: set TMPDIR to a directory of a"
                " filesystem that is mounted without noexec"
            )
        self.started: set[int] = set()
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
        if select.select([self._inotify], [], [], seconds)[0]:
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
