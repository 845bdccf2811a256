"""Settings of glibc's allocator, and the return of freed memory to the system.

A C library that is not glibc lacks these functions and does not need them.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache

#: Constants of <malloc.h>.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
#: Bytes of a block from which on it is mapped by itself, and returned as soon as it is freed.
MAPPED = 1024 * 1024
#: Bytes at the end of an arena that are kept when they are freed. A flood of output keeps some
#: buffers of 128 KiB in use: to return each and fetch it again takes a third of its processor time.
KEPT = 2 * 1024 * 1024


@cache
def fix_thresholds() -> None:
    """Fix what glibc keeps of freed memory; called before the first large request or flood.

    By default glibc raises its thresholds after the first large block, and keeps later ones: up to
    64 MiB in the arena of each thread, which malloc_trim() does not return if they are at the end
    of the arena. Before that it returns the buffers of each read to the system.
    """
    _call("mallopt", M_MMAP_THRESHOLD, MAPPED)
    _call("mallopt", M_TRIM_THRESHOLD, KEPT)


def share_arena() -> None:
    """Let all threads allocate from one arena; called before the first thread is started.

    By default each gets one of its own, of which little is used but much is kept: 7 KiB for each of
    300 programs that threads start. Few threads wait for each other here, as they already do for
    the lock of the interpreter.
    """
    _call("mallopt", M_ARENA_MAX, 1)


def malloc_trim() -> None:
    """Return memory that glibc keeps to the system."""
    _call("malloc_trim", 0)


def _call(function: str, *arguments: int) -> None:
    """Call a function of the C library if it has it."""
    # ImportError and OSError: also if no descriptor is left to load the module.
    with suppress(AttributeError, ImportError, OSError):
        # That which ``ctypes`` is made of is enough, and takes 0.05 MiB instead of 0.2.
        import _ctypes

        program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # the stubs lack that
        address = _ctypes.dlsym(program, function)
        _ctypes.call_cdeclfunction(address, arguments)
