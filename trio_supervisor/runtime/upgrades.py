"""The upgrades of a daemon, as clients see them. What carries one out is loaded with the first."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from trio_supervisor._version import __version__
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import Failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_supervisor.core.process.cause import Cause


async def _no_daemon(cause: Cause) -> str:
    """Refuse: this supervisor is a part of another program."""
    raise Failed("only tsupervisord can be upgraded")


@dataclass(slots=True)
class Upgrades:
    """What is known of upgrades, and how one is begun."""

    count: int = 0
    """How often this daemon was upgraded."""
    failure: str = ""
    """Why the last one failed; empty if it did not, or if there was none."""
    is_under_way: bool = False
    begin: Callable[[Cause], Awaitable[str]] = field(default=_no_daemon)
    """Checks the program on disk, begins to hand over to it, and returns its version.

    Raises Failed, which says why nothing was done, or ShuttingDown.
    """

    def described(self) -> dict[str, str | int | bool]:
        """Return what clients see."""
        return {
            "version": __version__,
            "upgrades": self.count,
            "under_way": self.is_under_way,
            "failure": self.failure,
        }
