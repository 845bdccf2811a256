"""Event types, their names and payloads.

The hierarchy of names is the hierarchy of classes: a subscription to a name matches with
``isinstance``. Events are frozen: a subscriber that reads one late still sees the values of the
moment at which it happened.
"""

from __future__ import annotations

import re
import sys
from dataclasses import field
from typing import TYPE_CHECKING, ClassVar

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from trio_supervisor.core.process.exit import End, Exit
    from trio_supervisor.core.process.record import Transition


#: Attributes that only some events of states have; None for the others.
_OF_SOME_STATES = frozenset({"pid", "tries", "expected", "last_exit"})


@dataclass(frozen=True, slots=True)
class Event:
    """Root of the hierarchy. Classes with subclasses are abstract: they are never published."""

    name: ClassVar[str] = "EVENT"

    def payload(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class ProcessState(Event):
    """A process changed its state; ``from_state`` is the state it left, ``state`` the new one.

    ``pid``, ``tries``, ``expected`` and ``exit`` are None in events that have none.
    """

    name: ClassVar[str] = "PROCESS_STATE"
    process: str
    group: str
    from_state: State

    @property
    def state(self) -> State:
        """The state that it has now."""
        return State[self.name.removeprefix("PROCESS_STATE_")]

    @property
    def exit(self) -> Exit | None:
        """Exit of the child; None means that no child ended with this change."""
        end = self.last_exit
        return None if end is None else end.exit

    if TYPE_CHECKING:

        @property
        def pid(self) -> int | None:
            """Pid of the child."""

        @property
        def tries(self) -> int | None:
            """Failed attempts to start."""

        @property
        def expected(self) -> bool | None:
            """Whether the exit code is one of ``exitcodes``."""

        @property
        def last_exit(self) -> End | None:
            """The end of the child with its circumstances."""

    else:  # properties of the class would become the defaults of fields with their names

        def __getattr__(self, name):
            if name in _OF_SOME_STATES:
                return
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def extra(self) -> str:
        return ""

    def payload(self) -> str:
        return (
            f"processname:{self.process} groupname:{self.group} "
            f"from_state:{self.from_state.name}{self.extra()}"
        )


@dataclass(frozen=True, slots=True)
class _WithTries(ProcessState):
    tries: int

    def extra(self) -> str:
        return f" tries:{self.tries}"


@dataclass(frozen=True, slots=True)
class _WithPid(ProcessState):
    pid: int

    def extra(self) -> str:
        return f" pid:{self.pid}"


@dataclass(frozen=True, slots=True)
class ProcessStateStarting(_WithTries):
    name: ClassVar[str] = "PROCESS_STATE_STARTING"


@dataclass(frozen=True, slots=True)
class ProcessStateBackoff(_WithTries):
    name: ClassVar[str] = "PROCESS_STATE_BACKOFF"
    last_exit: End | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProcessStateRunning(_WithPid):
    name: ClassVar[str] = "PROCESS_STATE_RUNNING"


@dataclass(frozen=True, slots=True)
class ProcessStateStopping(_WithPid):
    name: ClassVar[str] = "PROCESS_STATE_STOPPING"


@dataclass(frozen=True, slots=True)
class ProcessStateStopped(_WithPid):
    name: ClassVar[str] = "PROCESS_STATE_STOPPED"
    last_exit: End | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProcessStateExited(ProcessState):
    name: ClassVar[str] = "PROCESS_STATE_EXITED"
    expected: bool
    pid: int
    last_exit: End | None = field(default=None, compare=False, repr=False)

    def extra(self) -> str:
        return f" expected:{int(self.expected)} pid:{self.pid}"


@dataclass(frozen=True, slots=True)
class ProcessStateFatal(ProcessState):
    name: ClassVar[str] = "PROCESS_STATE_FATAL"


@dataclass(frozen=True, slots=True)
class ProcessStateUnknown(ProcessState):
    name: ClassVar[str] = "PROCESS_STATE_UNKNOWN"


def as_text(data: bytes) -> str:
    """Decode output of a child for an event: UTF-8, else a bytes literal that is marked as such."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"Undecodable: {data!r}"


@dataclass(frozen=True, slots=True)
class ProcessLog(Event):
    """A chunk of output of a process."""

    name: ClassVar[str] = "PROCESS_LOG"
    channel: ClassVar[str] = ""
    process: str
    group: str
    pid: int
    data: bytes

    def payload(self) -> str:
        return (
            f"processname:{self.process} groupname:{self.group} pid:{self.pid} "
            f"channel:{self.channel}\n{as_text(self.data)}"
        )


@dataclass(frozen=True, slots=True)
class ProcessLogStdout(ProcessLog):
    name: ClassVar[str] = "PROCESS_LOG_STDOUT"
    channel: ClassVar[str] = "stdout"


@dataclass(frozen=True, slots=True)
class ProcessLogStderr(ProcessLog):
    name: ClassVar[str] = "PROCESS_LOG_STDERR"
    channel: ClassVar[str] = "stderr"


@dataclass(frozen=True, slots=True)
class ProcessCommunication(Event):
    """Output of a process between the capture tokens."""

    name: ClassVar[str] = "PROCESS_COMMUNICATION"
    process: str
    group: str
    pid: int
    data: bytes

    def payload(self) -> str:
        return (
            f"processname:{self.process} groupname:{self.group} pid:{self.pid}\n"
            f"{as_text(self.data)}"
        )


@dataclass(frozen=True, slots=True)
class ProcessCommunicationStdout(ProcessCommunication):
    name: ClassVar[str] = "PROCESS_COMMUNICATION_STDOUT"


@dataclass(frozen=True, slots=True)
class ProcessCommunicationStderr(ProcessCommunication):
    name: ClassVar[str] = "PROCESS_COMMUNICATION_STDERR"


@dataclass(frozen=True, slots=True)
class RemoteCommunication(Event):
    """Sent by a client with ``supervisor.sendRemoteCommEvent``."""

    name: ClassVar[str] = "REMOTE_COMMUNICATION"
    type: str
    data: str

    def payload(self) -> str:
        return f"type:{self.type}\n{self.data}"


@dataclass(frozen=True, slots=True)
class SupervisorStateChange(Event):
    """The supervisor has started, or begins to stop or to restart."""

    name: ClassVar[str] = "SUPERVISOR_STATE_CHANGE"


@dataclass(frozen=True, slots=True)
class SupervisorStateChangeRunning(SupervisorStateChange):
    name: ClassVar[str] = "SUPERVISOR_STATE_CHANGE_RUNNING"


@dataclass(frozen=True, slots=True)
class SupervisorStateChangeStopping(SupervisorStateChange):
    name: ClassVar[str] = "SUPERVISOR_STATE_CHANGE_STOPPING"


@dataclass(frozen=True, slots=True)
class Tick(Event):
    """The wall clock entered a new slice of ``period`` seconds; ``when`` is the slice's start."""

    name: ClassVar[str] = "TICK"
    period: ClassVar[int] = 0
    when: int

    def payload(self) -> str:
        return f"when:{self.when}"


@dataclass(frozen=True, slots=True)
class Tick5(Tick):
    name: ClassVar[str] = "TICK_5"
    period: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class Tick60(Tick):
    name: ClassVar[str] = "TICK_60"
    period: ClassVar[int] = 60


@dataclass(frozen=True, slots=True)
class Tick3600(Tick):
    name: ClassVar[str] = "TICK_3600"
    period: ClassVar[int] = 3600


@dataclass(frozen=True, slots=True)
class ProcessGroup(Event):
    """A group was added or removed."""

    name: ClassVar[str] = "PROCESS_GROUP"
    group: str

    def payload(self) -> str:
        return f"groupname:{self.group}\n"  # the newline is part of the payload


@dataclass(frozen=True, slots=True)
class ProcessGroupAdded(ProcessGroup):
    name: ClassVar[str] = "PROCESS_GROUP_ADDED"


@dataclass(frozen=True, slots=True)
class ProcessGroupRemoved(ProcessGroup):
    name: ClassVar[str] = "PROCESS_GROUP_REMOVED"


@dataclass(frozen=True, slots=True)
class Extended(Event):
    """Root of the events that Supervisor does not have.

    They reach only subscribers that name them or EXTENDED: a listener that was written for
    Supervisor and subscribes to EVENT never gets one.
    """

    name: ClassVar[str] = "EXTENDED"


@dataclass(frozen=True, slots=True)
class ProcessFlapping(Extended):
    """A process began to be restarted often because it goes wrong; ``reason`` tells how often."""

    name: ClassVar[str] = "PROCESS_FLAPPING"
    process: str
    group: str
    reason: str

    def payload(self) -> str:
        return f"processname:{self.process} groupname:{self.group}\n{self.reason}"


def subscribes(types: tuple[type[Event], ...], event: Event) -> bool:
    """Whether a subscription to these types includes an event."""
    if isinstance(event, Extended):
        types = tuple(cls for cls in types if issubclass(cls, Extended))
    return isinstance(event, types)


@dataclass(frozen=True, slots=True)
class _ProcessHealth(Extended):
    process: str
    group: str
    pid: int
    from_verdict: str
    """``unknown``, ``healthy`` or ``unhealthy``."""
    text: str
    """The check, and why it has failed if it has."""

    def payload(self) -> str:
        return (
            f"processname:{_token(self.process)} groupname:{_token(self.group)} "
            f"from_verdict:{self.from_verdict} pid:{self.pid}\n{self.text[:LONGEST_TEXT]}"
        )


@dataclass(frozen=True, slots=True)
class ProcessHealthy(_ProcessHealth):
    """A check of the health of a process has succeeded, for the first time or again."""

    name: ClassVar[str] = "PROCESS_HEALTHY"


@dataclass(frozen=True, slots=True)
class ProcessUnhealthy(_ProcessHealth):
    """So many checks of the health of a process have failed in a row that it is unhealthy."""

    name: ClassVar[str] = "PROCESS_UNHEALTHY"


#: Characters of the free text in a payload.
LONGEST_TEXT = 1024
_NOT_IN_TOKEN = re.compile(r"[^A-Za-z0-9_.-]")


def _token(text: str) -> str:
    """A value that childutils, which splits at blanks and colons, leaves whole."""
    return _NOT_IN_TOKEN.sub("_", text)


#: In the order in which ticks of the same moment are published.
TICKS: tuple[type[Tick], ...] = (Tick5, Tick60, Tick3600)


def ticks_between(before: float, now: float) -> list[Tick]:
    """Return a tick for each period that the wall clock entered between two readings of it.

    Periods are counted from the epoch. There is no tick for periods that were missed. If the clock
    was set back, ``when`` is smaller than that of the tick before.
    """
    return [
        cls(when=int(now) // cls.period * cls.period)
        for cls in TICKS
        if int(now) // cls.period != int(before) // cls.period
    ]


def _descendants(cls: type[Event]) -> list[type[Event]]:
    return [cls, *(d for child in cls.__subclasses__() for d in _descendants(child))]


#: Every type that can be subscribed to, by name; abstract ones included.
EVENT_TYPES: dict[str, type[Event]] = {
    cls.name: cls for cls in _descendants(Event) if not cls.__name__.startswith("_")
}


#: The names of the events that are published: those without subtypes. Fixed here, because result
#: handlers are given events of further subclasses.
PUBLISHED_TYPES: tuple[str, ...] = tuple(
    name for name, cls in EVENT_TYPES.items() if not cls.__subclasses__()
)


class Serials:
    """Serial numbers of events. After the largest native integer they begin again at 0."""

    __slots__ = ("following",)

    def __init__(self, first: int = 0) -> None:
        self.following = first
        """The next number."""

    def __iter__(self) -> Serials:
        return self

    def __next__(self) -> int:
        number = self.following
        self.following = number + 1 if number < sys.maxsize else 0
        return number


def state_event(process: str, group: str, transition: Transition) -> ProcessState:
    """Return the event of a transition."""
    old, facts = transition.old, transition.evidence
    match transition.new:
        case State.STARTING:
            return ProcessStateStarting(process, group, old, facts.failures)
        case State.BACKOFF:
            return ProcessStateBackoff(process, group, old, facts.failures, facts.end)
        case State.RUNNING:
            return ProcessStateRunning(process, group, old, facts.pid)
        case State.STOPPING:
            return ProcessStateStopping(process, group, old, facts.pid)
        case State.STOPPED:
            return ProcessStateStopped(process, group, old, facts.pid, facts.end)
        case State.EXITED:
            return ProcessStateExited(process, group, old, facts.expected, facts.pid, facts.end)
        case State.FATAL:
            return ProcessStateFatal(process, group, old)
        case State.UNKNOWN:
            return ProcessStateUnknown(process, group, old)
