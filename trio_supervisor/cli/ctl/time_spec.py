"""What people write for a moment in the past: ``5m``, ``1h30m``, ``12:00``, ``2026-11-26T12:00``.

Pure: the time of day is given.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(?:[0-9]+[smhdw])+")
_PART = re.compile(r"([0-9]+)([smhdw])")
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")


def seconds_since(text: str, now: datetime) -> float:
    """How long ago it was. Raises ValueError for what is no moment, or one to come.

    ``now`` has a time zone, which counts where none is written. A time of day without a date is
    the last one.
    """
    if text.isascii() and text.isdigit():
        return float(text)
    if _SPAN.fullmatch(text):
        return float(sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(text)))
    if _CLOCK.fullmatch(text):
        hour, minute, second = (*map(int, text.split(":")), 0)[:3]
        moment = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
        if moment > now:
            moment -= timedelta(days=1)
    else:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=now.tzinfo)
    if moment > now:
        raise ValueError(f"{text} is to come")
    return (now - moment).total_seconds()
