"""Ends the processes that a program has left behind: TERM, then KILL, until none is found.

Who they are is found by a ``Finder``: ``tree.py`` for ``kill_mode = tree``, the cgroup of the
process for ``kill_mode = cgroup``. Each is opened as a pidfd and then looked at once more: if it is
still the same process, which its start time tells, the signal goes to the pidfd and can reach no
other. Passes are repeated until two of them have found nobody.
"""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING, Protocol

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.spawn.members import signal_member
from trio_supervisor.runtime.system.threads import in_thread_if_possible

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.process.member import Member

#: Seconds between two passes while members are left.
LOOK_INTERVAL = 0.05
#: Seconds that members have at least between TERM and KILL.
LEAST_PATIENCE = 1.0


class Finder(Protocol):
    """Finds the processes of one program. All methods block."""

    @property
    def reaches_all(self) -> bool:
        """Whether ``kill_all`` reaches also those that may not be signalled."""

    def members(self, *, main_lives: bool) -> list[Member]:
        """Return those that live. When the main process was reaped, another may have its pid."""

    def kill_all(self) -> None:
        """Kill all at once, where that is possible."""


class Sweep:
    """Ends all processes of a program but its main one.

    It may begin before the main process has ended, be cancelled at its end, and go on after it.
    """

    def __init__(
        self, full_name: str, main: int, finder: Finder, log: Callable[[Severity, str], None]
    ) -> None:
        self.main_lives = True
        """False as soon as the main process was reaped."""
        self._main = main
        self._name = full_name
        self._finder = finder
        self._log = log
        self._kill_at = math.inf
        self._sent: set[tuple[Member, int]] = set()
        self.refused: set[Member] = set()
        """Those that may not be signalled, and so are left behind."""

    async def run(self, patience: float, latest: Callable[[], float] = lambda: math.inf) -> None:
        """Return when no member is left: they get TERM, after ``patience`` seconds KILL.

        KILL is sent no later than at ``latest()``; a stop of everything may change that meanwhile.

        One that may not be signalled is told in the log and left alone.
        """
        quiet = 0
        while quiet < 2:  # what forks during a pass may be missed by it
            members = await in_thread_if_possible(self._look)
            quiet = 0 if members else quiet + 1
            if members and self._kill_at == math.inf:  # a pass may take long on a busy machine
                self._kill_at = trio.current_time() + max(LEAST_PATIENCE, patience)
            in_time = trio.current_time() < min(self._kill_at, latest())
            number = signal.SIGTERM if in_time else signal.SIGKILL
            for member in members:
                if (member, number) not in self._sent:
                    self._sent.add((member, number))
                    self._signal(member, number)
            if members and not in_time:
                await in_thread_if_possible(self._finder.kill_all)
            if members:
                await trio.sleep(LOOK_INTERVAL)

    def _look(self) -> list[Member]:
        spared = self._main if self.main_lives else 0
        found = self._finder.members(main_lives=self.main_lives)
        return [m for m in found if m.pid != spared and m not in self.refused]

    def _signal(self, member: Member, number: int) -> None:
        name = signal.Signals(number).name
        text = f"killing what {self._name} has left behind (pid {member.pid}) with {name}"
        try:
            signal_member(member, number, lambda: self._log(Severity.WARN, text))
        except OSError as error:
            if not self._finder.reaches_all:
                self.refused.add(member)
                text = f"{self._name} has left pid {member.pid} behind, which cannot be signalled"
                self._log(Severity.WARN, f"{text}: {error.strerror}")
