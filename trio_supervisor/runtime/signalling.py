"""Delivers a signal to a child and says in the log what came of it. Knows no states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config import Severity
from trio_supervisor.core.errors import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.runtime.child import Child


def deliver(
    child: Child,
    number: int,
    doing: str,
    *,
    name: str,
    log: Callable[[Severity, str], None],
    group: bool = False,
) -> None:
    """Signal the child, or its process ``group``. Raises Failed if that is refused.

    ``doing`` is what a refusal is called in the log: "killing", "sending sig".
    """
    try:
        (child.send_group_signal if group else child.send_signal)(number)
    except ProcessLookupError as error:
        # A race lost to an exit is no error; the exit is about to be noticed (P-129).
        log(
            Severity.DEBUG,
            f"unable to signal {name} (pid {child.pid}), "
            f"it probably just exited on its own: {error}",
        )
    except OSError as error:
        text = f"unknown problem {doing} {name} ({child.pid}):{error}"
        log(Severity.CRITICAL, text)
        raise Failed(text) from error
