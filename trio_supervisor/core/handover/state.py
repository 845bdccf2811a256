"""The state of a running daemon, as the values that one program hands to the next.

``HandedState`` has all of it. Each part may be missing: its default then stands for what a daemon
has at its start, so that a part of a state can be taken over too.

Descriptors are numbers of open files, pipes and sockets that the next program inherits. Times are
those of the monotonic clock where they say so, else wall-clock seconds since the epoch.

A change of these classes is a change of the format: see ``versions.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Config
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.states import ListenerState

if TYPE_CHECKING:
    from trio_supervisor.core.config.identity import EnvironmentFile
    from trio_supervisor.core.config.model import GroupConfig
    from trio_supervisor.core.diagnostics import Diagnostic
    from trio_supervisor.core.events import Event
    from trio_supervisor.core.journal.entry import JournalEntry
    from trio_supervisor.core.monotonic import Monotonic
    from trio_supervisor.core.notify import NotifySettings
    from trio_supervisor.core.process.cause import Cause
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.core.process.start import Key, Wait


@dataclass(frozen=True, slots=True)
class HandedOutput:
    """What one output channel holds back of its child's output, and what it remembers."""

    stripper: bytes = b""
    """The beginning of a control sequence (``strip_ansi``)."""
    token: bytes = b""
    """The beginning of a capture token."""
    captured: bytes | None = None
    """What was captured since the last token; None outside of a capture."""
    character: bytes = b""
    """The beginning of a character, for events."""
    line: bytes = b""
    """The beginning of a line (``log_format``)."""
    line_since: Monotonic | None = None
    """When that line was begun."""
    searched: bytes = b""
    """The beginning of the line in which ``ready = log:`` looks."""
    unsearched: bytes = b""
    """What came after that, and in which it has not looked yet."""
    count: int = 0
    """Bytes written since the process was added."""
    before: int = 0
    """Those of earlier children."""
    end: bytes = b""
    """The last bytes."""
    is_cut: bool = False
    """Whether more than these were written."""
    stretches: tuple[tuple[int, Monotonic, Monotonic], ...] = ()
    """When output came: the offset where each stretch begins, and the times of its first and last
    byte."""


@dataclass(frozen=True, slots=True)
class HandedSocket:
    """A notify socket, with the path of its file."""

    descriptor: int
    path: str


@dataclass(frozen=True, slots=True)
class HandedChild:
    """A child that lives, or has died and is not reaped yet."""

    pid: int
    stdin: int | None = None
    """Our end of the pipe; None if it is closed, or no pipe of ours."""
    stdout: int | None = None
    stderr: int | None = None
    pending: bytes = b""
    """Bytes sent to stdin that the pipe has not taken."""
    ends_stdin: bool = False
    """Whether stdin is closed after these."""
    was_killed: bool = False
    """Whether we have sent it SIGKILL."""
    kills_before: int | None = None
    """The kernel's count of kills for lack of memory at its spawn; None: unknown."""
    notify: HandedSocket | None = None
    ready: int | None = None
    """Our end of the pipe of ``ready = fd:N``."""
    holds_socket: bool = False
    """Whether it uses the FastCGI socket of its program."""
    pidfd: int | None = None
    """Of a child that an earlier daemon has started (``adoption`` of the record); None: there is
    none, or the child is our own."""


@dataclass(frozen=True, slots=True)
class HandedProcess:
    """One process of a group."""

    name: str
    record: ProcessRecord
    child: HandedChild | None = None
    stdout: HandedOutput = HandedOutput()
    stderr: HandedOutput = HandedOutput()
    stops: int = 0
    """Number of stop requests."""
    wait: Wait | None = None
    """The wait of its last start for dependencies; None if it has none."""


@dataclass(frozen=True, slots=True)
class HandedEvent:
    """An event for a listener pool, with its numbers."""

    event: Event
    serial: int
    poolserial: int


@dataclass(frozen=True, slots=True)
class HandedListener:
    """One listener in its protocol."""

    name: str
    pid: int = 0
    """Of the child that the rest is about."""
    state: ListenerState = ListenerState.ACKNOWLEDGED
    logged: ListenerState = ListenerState.ACKNOWLEDGED
    """The state that the log has shown last."""
    buffer: bytes = b""
    """What it has written and is not complete."""
    length: int | None = None
    """Announced length of the result that is being received."""
    stdin_closed: bool = False
    delivering: HandedEvent | None = None
    """The event that it has not answered."""


@dataclass(frozen=True, slots=True)
class HandedPool:
    """The buffer and the listeners of a pool."""

    waiting: tuple[HandedEvent, ...] = ()
    returned: tuple[HandedEvent, ...] = ()
    """Those that were delivered before, and come first."""
    serial: int = 0
    """The next number of the pool."""
    dropped: int = 0
    unreported: int = 0
    """Those that were dropped since the line about it in the log."""
    pause: float = 0.0
    """Seconds of the last pause after a rejection."""
    not_before: Monotonic = -math.inf
    """When rejected events are delivered again."""
    listeners: tuple[HandedListener, ...] = ()


@dataclass(frozen=True, slots=True)
class HandedLog:
    """An automatic log, with the process and channel that it belongs to."""

    process: str
    channel: str
    path: str


@dataclass(frozen=True, slots=True)
class HandedGroup:
    """A group that is active, with the configuration with which it runs."""

    config: GroupConfig
    processes: tuple[HandedProcess, ...] = ()
    pool: HandedPool | None = None
    sockets: Mapping[str, int] = field(default_factory=dict)
    """FastCGI sockets that are open: descriptors by their URL."""
    logs: tuple[HandedLog, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldStop:
    """A stop that is carried out when other processes have ended."""

    process: Key
    first: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class DueRestart:
    """A process that is started again when it has stopped, because a dependency has."""

    process: Key
    stops: int
    """Its number of stop requests when this was decided."""
    cause: Cause


@dataclass(frozen=True, slots=True)
class HandedCoordination:
    """Stops and restarts that follow from dependencies and are under way."""

    held: tuple[HeldStop, ...] = ()
    restarts: tuple[DueRestart, ...] = ()


@dataclass(frozen=True, slots=True)
class HandedSupervisor:
    """The supervisor as a whole."""

    config: Config = Config()
    """The configuration that was read last, with the options of the daemon that are in effect."""
    own: tuple[GroupConfig, ...] = ()
    """Active groups that are in no file, because a plugin has added them."""
    replaced: tuple[GroupConfig, ...] = ()
    """The last configurations of groups that were removed and have another one now."""
    told: tuple[Diagnostic, ...] = ()
    """Messages about the configuration that the log has already."""
    started: float = 0.0
    began_at: Monotonic = 0.0
    notify_directory: str | None = None
    """Directory of the notify sockets; None if there is none."""


@dataclass(frozen=True, slots=True)
class HandedHistoryEntry:
    """An event of the history."""

    number: int
    time: float
    event: Event


@dataclass(frozen=True, slots=True)
class HandedEvents:
    """The numbers of events, and the last ones for clients that come later."""

    serial: int = 0
    """The next serial number."""
    id: str = ""
    """Name of the history in the marks of clients; empty: a new one."""
    number: int = 0
    """Of the last entry of the history."""
    entries: tuple[HandedHistoryEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class HandedJournal:
    """The journal in memory."""

    number: int = 0
    """Of the last entry."""
    entries: tuple[JournalEntry, ...] = ()
    removed: tuple[str, ...] = ()
    """Processes that were removed, of which entries are kept."""
    secrets: Mapping[tuple[EnvironmentFile, ...], tuple[str, ...]] = field(default_factory=dict)
    """Secret values that were read from environment files, to keep them out of entries."""


@dataclass(frozen=True, slots=True)
class HandedServer:
    """A listening socket of an HTTP server."""

    section: str
    descriptor: int
    file: tuple[int, int] | None = None
    """Device and inode of the file of a unix socket; None if it has none of ours."""


@dataclass(frozen=True, slots=True)
class HandedConnection:
    """A connection of a client that waits for its next answer or has not asked yet."""

    section: str
    """That of the server."""
    descriptor: int
    peer: str = ""
    """IP address of the client; empty on a unix socket."""
    is_known: bool = False
    """Whether a request on it was authorized."""
    received: bytes = b""
    """The beginning of its next request."""


@dataclass(frozen=True, slots=True)
class HandedWeb:
    """What the HTTP servers have."""

    servers: tuple[HandedServer, ...] = ()
    connections: tuple[HandedConnection, ...] = ()
    form_secret: bytes = b""
    """Key of the tokens in the forms of open pages; empty: a new one."""


@dataclass(frozen=True, slots=True)
class HandedCgroups:
    """The cgroup that the daemon divides."""

    base: str
    lock: int
    """Descriptor that keeps other daemons away."""


@dataclass(frozen=True, slots=True)
class HandedProgram:
    """The daemon as a process."""

    version: str = ""
    """Of the program that hands over."""
    origin: str = "/"
    """The directory in which it was started, for relative paths."""
    directory: int | None = None
    """Descriptor of the present directory, if that is another one."""
    is_detached: bool = False
    manager: NotifySettings | None = None
    """How to reach the service manager; None: there is none."""
    cgroups: HandedCgroups | None = None
    """None: programs get no cgroups."""
    upgrades: int = 0
    """How often the daemon was upgraded, this time included."""
    cause: Cause | None = None
    """The request to upgrade, with its entry in the journal."""


@dataclass(frozen=True, slots=True)
class HandedState:
    """All that one daemon hands to the next."""

    program: HandedProgram = HandedProgram()
    supervisor: HandedSupervisor = HandedSupervisor()
    groups: tuple[HandedGroup, ...] = ()
    """The active ones, in start order."""
    coordination: HandedCoordination | None = None
    """None: no process depends on another."""
    events: HandedEvents = HandedEvents()
    journal: HandedJournal = HandedJournal()
    web: HandedWeb = HandedWeb()
