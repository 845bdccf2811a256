"""Messages of programs to the supervisor by the protocol of sd_notify(3): pure rules.

A message is lines of ``NAME=value``. What is not known here is ignored, as the protocol demands.
"""

from __future__ import annotations

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.escape import escaped
from trio_supervisor.core.numbers import natural

#: Bytes of the longest message; longer ones are ignored.
LONGEST_MESSAGE = 4096
#: Messages that are read in one second; more of them wait in the socket.
MESSAGES_PER_SECOND = 64
#: Characters of a status that are kept.
LONGEST_STATUS = 200
#: Seconds by which a message may extend a timeout at most: a day.
LONGEST_EXTENSION = 86400.0


@dataclass(frozen=True, slots=True)
class Notification:
    """The parts of one message that mean something here."""

    ready: bool = False
    """``READY=1``."""
    status: str | None = None
    """``STATUS=``, as one line; None means that the message has none."""
    extension: float = 0.0
    """``EXTEND_TIMEOUT_USEC=`` in seconds; 0 means that the message has none."""
    alive: bool = False
    """``WATCHDOG=1``."""
    ill: bool = False
    """``WATCHDOG=trigger``: the program itself asks to be treated as one that hangs."""


def parse_notification(data: bytes) -> Notification:
    """Read a message; of a repeated name the last line counts."""
    values: dict[str, str] = {}
    for line in data.decode(errors="replace").split("\n"):
        name, separator, value = line.partition("=")
        if separator:
            values[name] = value
    status = values.get("STATUS")
    extension = (natural(values.get("EXTEND_TIMEOUT_USEC", "").strip()) or 0) / 1e6
    return Notification(
        values.get("READY") == "1",
        None if status is None else escaped(status)[:LONGEST_STATUS].strip(),
        min(extension, LONGEST_EXTENSION),
        values.get("WATCHDOG") == "1",
        values.get("WATCHDOG") == "trigger",
    )
