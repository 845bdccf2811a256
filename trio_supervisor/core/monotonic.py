"""The type of times of the monotonic clock, which begins anew in every program."""

from __future__ import annotations

from typing import Annotated

#: Marks a type whose values are only valid in this program.
MONOTONIC = "seconds of the monotonic clock"
#: A time of the event loop's clock, in seconds. Handed over as seconds from now; infinite is never.
Monotonic = Annotated[float, MONOTONIC]
