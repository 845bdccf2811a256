"""``--profile_options``: the daemon under Python's profiler, the result on standard output."""

from __future__ import annotations

import cProfile
import pstats
from typing import TYPE_CHECKING

from trio_supervisor.cli.daemon_options import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Asks for who called each function, besides words that order them.
CALLERS = "callers"
SORT_WORDS = ("cumulative", "calls", "time")


def profiled(run: Callable[[], int], words: str) -> int:
    """Run, print the profile in the order of ``words``, and return the result.

    ``words`` are separated by commas: sort words of ``pstats``, and ``callers``. Raises UsageError.
    """
    chosen = [word.strip() for word in words.split(",") if word.strip()]
    order = [word for word in chosen if word != CALLERS]
    for word in order:
        if word not in pstats.Stats.sort_arg_dict_default:
            raise UsageError(f"invalid value for --profile_options {word!r}: use words of pstats")
    profile = cProfile.Profile()
    result = profile.runcall(run)
    stats = pstats.Stats(profile).strip_dirs().sort_stats(*(order or SORT_WORDS))
    if CALLERS in chosen:
        stats.print_callers()
    else:
        stats.print_stats()
    return result
