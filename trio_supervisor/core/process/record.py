"""Status and history of one process as plain values, without the tasks and descriptors.

``ProcessRecord`` holds the state, the times, the intent and the last exit. The start attempt and
the bytes that are pending for stdin belong to objects of ``runtime``.
A record is handed over to a supervisor that continues with living children, see ``core/handover``.
"""

from __future__ import annotations

import enum
import math
from dataclasses import field, fields
from typing import TYPE_CHECKING, Protocol

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.cause import OF_OPTIONS, Cause
from trio_supervisor.core.process.exit import End, Exit
from trio_supervisor.core.process.member import Adoption, Member
from trio_supervisor.core.process.restart import RestartHistory
from trio_supervisor.core.process.states import RUNNING_STATES, State

if TYPE_CHECKING:
    from trio_supervisor.core.monotonic import Monotonic
    from trio_supervisor.core.process.probing import ProbeRecord


class Intent(enum.Enum):
    """Whether the process is meant to run, as last requested."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts of the moment at which a transition was made."""

    pid: int = 0
    failures: int = 0
    """Failed starts in a row."""
    exit: Exit | None = None
    """How the child exited; None if the transition has another reason."""
    expected: bool = False
    """Whether ``exit`` is one of the expected ones."""
    error: str = ""
    """Text of the error; empty if there was none."""
    end: End | None = field(default=None, compare=False)
    """The circumstances of ``exit``, for the event."""
    rule: str = ""
    """The words of an option that has decided; empty if none of ours has."""


@dataclass(frozen=True, slots=True)
class Transition:
    """Change of the state of a process."""

    old: State
    new: State
    at: float
    """Wall-clock seconds since the epoch."""
    cause: Cause
    evidence: Evidence = Evidence()


class History(Protocol):
    """Counters of a process, and how its children ended."""

    @property
    def failures(self) -> int:
        """Failed starts in a row."""

    @property
    def spawns(self) -> int:
        """Number of children since the process was added."""

    @property
    def restarts(self) -> int:
        """Number of children after the first."""

    @property
    def requested_starts(self) -> int:
        """Starts that a client, the page or the program itself asked for."""

    @property
    def automatic_restarts(self) -> int:
        """Starts that ``autorestart`` made after an exit; retries of failed starts do not count."""

    @property
    def failed_starts(self) -> int:
        """Start attempts that did not lead to RUNNING; unlike ``failures`` never reset."""

    @property
    def last_exit(self) -> Exit | None:
        """Exit of the last child; None if none has ended, or if the last start led to no child."""

    @property
    def last_end(self) -> End | None:
        """The last end of a child with its circumstances, until the next one; None before it."""


@dataclass(slots=True)
class ProcessRecord:
    """Status and history of one process since it was added.

    ``started`` and ``stopped`` are wall-clock seconds, 0.0 means never.
    """

    state: State = State.STOPPED
    pid: int = 0
    """0 while there is no child, and for a task."""
    adoption: Adoption | None = None
    """Of the present or last child, if an earlier daemon has started it; None: it was this one."""
    started: float = 0.0
    """When the last start was attempted."""
    stopped: float = 0.0
    """When the last child ended."""
    exit_status: int = 0
    spawn_error: str = ""
    """Error of the last start or exit; empty if there was none."""
    spawn_file: str = ""
    """The file that could not be opened for the last start; empty if that was not its error."""
    spawn_code: int = 1
    """Exit code that a shell would give for the last command that could not be executed."""
    failures: int = 0
    """Failed starts in a row."""
    spawns: int = 0
    """Number of children since the process was added."""
    requested_starts: int = 0
    """Starts that a client, the page or the program itself asked for."""
    automatic_restarts: int = 0
    """Starts that ``autorestart`` made after an exit; retries of failed starts do not count."""
    failed_starts: int = 0
    """Start attempts that did not lead to RUNNING; unlike ``failures`` never reset."""
    last_exit: Exit | None = None
    """Exit of the last child; None if none has ended, or if the last start led to no child."""
    last_end: End | None = None
    """The last end of a child with its circumstances, until the next one; None before the first."""
    intent: Intent = Intent.DOWN
    intended_by: Cause | None = None
    """The cause of the intent; None before the first request."""
    transition: Transition | None = None
    """The last transition; None before the first."""
    entry: int = 0
    """Number of the journal's entry about the last transition; 0 before the first."""
    signal: int = 0
    """Number of the signal that was last sent on request; 0 means none to this child."""
    signal_entry: int = 0
    """Number of the journal's entry about the request to send ``signal``."""
    bad_restarts: tuple[Monotonic, ...] = ()
    """When it was last restarted because it went wrong, see ``core/process/flapping.py``; times of
    the monotonic clock, like the next four."""
    began_at: Monotonic = -math.inf
    """When the last start was attempted, by the monotonic clock."""
    spawned_at: Monotonic = -math.inf
    """When the child was made."""
    probes: ProbeRecord | None = None
    """Readiness and health of the present or last child; None if the options ask for neither."""
    restart_cause: Cause | None = None
    """Why a policy restarts the process, from the decision until the start; else None."""
    due: Monotonic = math.inf
    """When the process starts automatically; infinite means not at all."""
    stop_step: int = 0
    """Number of the step of the stop sequence that was taken last, from 0."""
    deadline: Monotonic = math.inf
    """When the child counts as started, or gets its next stop signal; infinite means never."""
    stop_by: Monotonic = math.inf
    """When SIGKILL ends a stop at the latest, because the stop of everything may take only so long;
    by the monotonic clock."""
    left_behind: tuple[Member, ...] = ()
    """Processes that children have left behind, when they were last looked at."""
    restarting: RestartHistory | None = None
    """What options about restarts count; None if none is written."""

    def __repr__(self) -> str:
        """Show what is not as in a new record: most of many fields are."""
        values = ((field, getattr(self, field.name)) for field in fields(self))
        texts = [f"{field.name}={value!r}" for field, value in values if value != field.default]
        return f"{type(self).__name__}({', '.join(texts)})"

    @property
    def ended_for_good(self) -> bool:
        """Whether it has ended by itself and only a request would start it again."""
        return self.state in (State.EXITED, State.FATAL) and self.due == math.inf

    @property
    def ended_unasked(self) -> bool:
        """Whether it has ended for good although nobody has asked it to stop.

        It has exited and is not restarted, was given up, or an option has stopped it.
        """
        if self.intent is Intent.DOWN:
            cause = self.intended_by
            by_option = cause is not None and cause.kind in OF_OPTIONS
            return self.state is State.STOPPED and by_option
        return self.ended_for_good

    @property
    def is_up(self) -> bool:
        """Whether there is a child, or will be one without a request."""
        if self.state in RUNNING_STATES or self.state is State.STOPPING:
            return True
        return self.due < math.inf or (self.state is State.UNKNOWN and self.pid != 0)

    @property
    def restarts(self) -> int:
        """Number of children after the first."""
        return max(0, self.spawns - 1)
