"""How a child ended."""

from __future__ import annotations

from dataclasses import dataclass

from trio_supervisor.core.process.signals import signal_name


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a child: an exit code, or the signal that killed it.

    Both are None if the end is unknown because another part of the program reaped the child.
    """

    code: int | None
    signal: int | None = None
    core_dumped: bool = False

    @property
    def status(self) -> int:
        """The exit status as clients see it: the code, or -1 after a signal and if unknown."""
        return -1 if self.code is None else self.code

    def __str__(self) -> str:
        """The end in the words of the activity log."""
        if self.signal is None:
            return f"exit status {'unknown' if self.code is None else self.code}"
        core = " (core dumped)" if self.core_dumped else ""
        return f"terminated by {signal_name(self.signal)}{core}"

    def expected(self, exitcodes: tuple[int, ...]) -> bool:
        """Whether the child exited by itself with one of these codes."""
        return self.code is not None and self.code in exitcodes
