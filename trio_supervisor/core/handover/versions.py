"""The format in which a state is handed over: JSON with a header, and which versions fit together.

The header has the ``format`` of the program that wrote the state, and the oldest format whose
programs can read it (``readable_by``). Because fields with default values are left out, a new field
needs no new format: a program that does not know it reads every state that does not use it. A field
that gets another meaning or type, or another default, needs one.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from trio_supervisor.core import diagnostics, monotonic, notify
from trio_supervisor.core.config import (
    access,
    depends_on,
    identity,
    limits,
    model,
    probes,
    restarting,
    stopping,
)
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.core.events import EVENT_TYPES, PUBLISHED_TYPES, Event
from trio_supervisor.core.handover import state
from trio_supervisor.core.handover.codec import Codec, NotUnderstood
from trio_supervisor.core.handover.state import HandedState
from trio_supervisor.core.journal import entry
from trio_supervisor.core.process import cause, exit, probing, record, restart, start, states

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The format that this version writes.
FORMAT = 1
#: The oldest format of which this version can read a state.
OLDEST_READ = 1
#: The oldest format whose programs can read what this version writes.
READABLE_BY = 1

_MODULES = (
    *(access, depends_on, identity, limits, model, probes, restarting, stopping),
    *(diagnostics, monotonic, notify, entry, state),
    *(cause, exit, probing, record, restart, start, states),
)


class LostTemplate:
    """In place of what a program's processes are made from: a configuration that is read again
    has that."""

    def process(self, number: int, count: int) -> model.ProcessConfig:
        """Raise ConfigError."""
        raise ConfigError("what the processes are made from was not handed over")


@cache
def codec() -> Codec:
    """Return the codec of all types that a state is made of."""
    names = {name: each for module in _MODULES for name, each in vars(module).items()}
    published = tuple(EVENT_TYPES[name] for name in PUBLISHED_TYPES)
    return Codec({**names, "Event": Event}, {Event: published}, {model.Template: LostTemplate()})


def encoded(handed: HandedState, now: float, elapsed_since: float) -> bytes:
    """Encode a state.

    ``now`` is the present time of the event loop's clock, ``elapsed_since`` that of the kernel's
    monotonic clock, by which the next program knows how much later it is. Raises NotPlain.
    """
    document = {
        **header(handed.program.version),
        "time": elapsed_since,
        "state": codec().dump(handed, HandedState, now),
    }
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()


def decoded(data: bytes, now: float, elapsed_since: float) -> HandedState:
    """Decode a state. The times are those of the present program.

    Raises NotUnderstood.
    """
    document = _document(data)
    check_header(document)
    try:
        time, content = float(document["time"]), document["state"]
    except (KeyError, TypeError, ValueError) as error:
        raise NotUnderstood(f"the state has no proper header ({error})") from None
    loaded: HandedState = codec().load(content, HandedState, now - (elapsed_since - time))
    return loaded


def header(version: str) -> dict[str, Any]:
    """Return what tells who can read a state that the program of this version writes."""
    return {"format": FORMAT, "readable_by": READABLE_BY, "version": version}


def check_header(document: Mapping[str, Any]) -> None:
    """Raise NotUnderstood if this version cannot read a state with this header."""
    try:
        written, readable_by = int(document["format"]), int(document["readable_by"])
        version = str(document["version"])
    except (KeyError, TypeError, ValueError) as error:
        raise NotUnderstood(f"the state has no proper header ({error})") from None
    if written < OLDEST_READ:
        raise NotUnderstood(
            f"the state has format {written} (of version {version}), older than the oldest that "
            f"is understood, which is {OLDEST_READ}"
        )
    if readable_by > FORMAT:
        raise NotUnderstood(
            f"the state has format {written} (of version {version}), which needs a program of "
            f"format {readable_by}; this one has {FORMAT}"
        )


def _document(data: bytes) -> Any:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise NotUnderstood(f"the state is no JSON ({error})") from None
    if not isinstance(document, dict):
        raise NotUnderstood("the state is no JSON object")
    return document
