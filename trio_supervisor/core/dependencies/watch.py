"""What is known of one condition of one dependency, kept up to date process by process.

A dependency may be a group of hundreds with hundreds of dependents: each change of a process
updates one entry here, and the dependents look only at the result.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from trio_supervisor.core.dependencies.condition import COMING, MET, MISSING, Outlook, Prospect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.core.process.start import Key


class Watch:
    """The outlook of a condition for all processes that one name means.

    All must meet it; a name that means a known group without processes is met.
    """

    def __init__(self, members: Iterable[Key], *, is_known: bool) -> None:
        self._outlooks: dict[Key, Outlook] = dict.fromkeys(members, COMING)
        self._counts: Counter[Prospect] = Counter({Prospect.COMING: len(self._outlooks)})
        self._is_known = is_known

    @property
    def members(self) -> Iterable[Key]:
        """The processes that the name means."""
        return self._outlooks

    def update(self, key: Key, outlook: Outlook) -> bool:
        """Take over what is known of one process; return whether the result may be another."""
        before = self._outlooks[key]
        self._outlooks[key] = outlook
        self._counts[before.prospect] -= 1
        self._counts[outlook.prospect] += 1
        return before != outlook

    @property
    def prospect(self) -> Prospect:
        """The prospect of the condition as a whole."""
        if not self._outlooks:
            return Prospect.MET if self._is_known else Prospect.HOPELESS
        if self._counts[Prospect.HOPELESS]:
            return Prospect.HOPELESS
        return Prospect.COMING if self._counts[Prospect.COMING] else Prospect.MET

    def hopeless(self) -> tuple[Key | None, Outlook]:
        """The first process for which it is hopeless, and its outlook; None: there is no process.

        If it is not hopeless for any, the outlook is MET.
        """
        if not self._outlooks and not self._is_known:
            return None, MISSING
        for key, outlook in self._outlooks.items():
            if outlook.prospect is Prospect.HOPELESS:
                return key, outlook
        return None, MET
