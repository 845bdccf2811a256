"""The exit of a child, and the record that is kept of it."""

from __future__ import annotations

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.signals import signal_name


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a child: an exit code, or the signal that killed it.

    Both are None if the end is unknown: another part of the program reaped the child, or it was
    started by an earlier daemon.
    """

    code: int | None
    signal: int | None = None
    core_dumped: bool = False
    unknown: str = ""
    """Why the end of a child of an earlier daemon is unknown; empty if there is nothing to say."""

    @property
    def status(self) -> int:
        """The exit status as clients see it: the code, or -1 after a signal and if unknown."""
        return -1 if self.code is None else self.code

    def __str__(self) -> str:
        """The end in the words of the activity log."""
        if self.signal is None:
            unknown = f"unknown: {self.unknown}" if self.unknown else "unknown"
            return f"exit status {unknown if self.code is None else self.code}"
        core = " (core dumped)" if self.core_dumped else ""
        return f"terminated by {signal_name(self.signal)}{core}"

    def expected(self, exitcodes: tuple[int, ...]) -> bool:
        """Whether the child exited by itself with one of these codes."""
        return self.code is not None and self.code in exitcodes


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """Resources used by a child and the descendants that it waited for, from wait4(2)."""

    cpu_seconds: float
    """Processor time, user and system."""
    peak_memory: int
    """Largest resident memory of one of these processes, in bytes; 0 means unknown."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a child with its circumstances; kept until the next child ends."""

    exit: Exit
    expected: bool
    """Whether a stop was requested, or the child exited with an expected code after its start."""
    at: float
    """Wall-clock seconds since the epoch."""
    lifetime: float
    """Seconds that the child lived."""
    stdout: str = ""
    """The last lines that the child wrote; empty if there are none."""
    stderr: str = ""
    usage: ResourceUsage | None = None
    """None means unknown: a task, or another process or part of the program reaped the child."""
    lacked_memory: bool = False
    """Whether the kernel has killed it for lack of memory, as its counter tells."""

    @property
    def description(self) -> str:
        """Exit of the child in words, with the reason of the kernel."""
        return f"{self.exit}; killed for lack of memory" if self.lacked_memory else f"{self.exit}"

    def __str__(self) -> str:
        """The end in words, without its time: ``terminated by SIGSEGV (not expected)``."""
        return self.description if self.expected else f"{self.description} (not expected)"

    def described(self) -> dict[str, int | float | str | bool]:
        """Return the end as clients see it, in types that XML-RPC has too.

        ``exit_status`` is -1 if there is none, ``signal`` empty if no signal ended the child, and
        ``cpu_seconds`` and ``peak_memory`` are 0 if they are unknown.
        """
        number, usage = self.exit.signal, self.usage
        return {
            "description": self.description,
            "exit_status": self.exit.status,
            "signal": "" if number is None else signal_name(number),
            "core_dumped": self.exit.core_dumped,
            "expected": self.expected,
            "time": self.at,
            "lifetime": self.lifetime,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "cpu_seconds": 0.0 if usage is None else usage.cpu_seconds,
            "peak_memory": 0 if usage is None else usage.peak_memory,
        }
