"""Formatting of numbers for tables: short, of similar width, with units."""

from __future__ import annotations

from trio_supervisor.runtime.inspect.info import DAY, format_uptime

#: Shown instead of a number that is not known.
NONE = "-"
HOUR = 60 * 60
_UNITS = ("KiB", "MiB", "GiB", "TiB")


def cpu_text(percent: float | None) -> str:
    """Format percent of one processor."""
    if percent is None:
        return NONE
    return f"{percent:.0f} %" if percent >= 100 else f"{percent:.1f} %"


def bytes_text(size: int) -> str:
    """Format bytes with a binary unit and about three significant digits."""
    if not size:
        return NONE
    value = float(size)
    for unit in _UNITS:
        value /= 1024
        if value < 1000 or unit == _UNITS[-1]:
            break
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def uptime_text(seconds: int) -> str:
    """Format as ``0:04:05``, from one day on as ``3 d 4 h``."""
    if seconds < DAY:
        return format_uptime(seconds)
    return f"{seconds // DAY} d {seconds % DAY // HOUR} h"
