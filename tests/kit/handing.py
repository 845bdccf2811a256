"""Values as the next program gets them: dumped to plain data, through JSON, and loaded again."""

from __future__ import annotations

import json
from typing import TypeVar

from trio_supervisor.core.handover.versions import codec

T = TypeVar("T")


def handed_over(value: T, now: float = 0.0, later: float | None = None) -> T:
    """The same value in another program.

    ``now`` is the monotonic time of this one, ``later`` that of the other at the same moment; None:
    the same.
    """
    kind = type(value)
    text = json.dumps(codec().dump(value, kind, now), allow_nan=False)
    loaded: T = codec().load(json.loads(text), kind, now if later is None else later)
    return loaded
