"""The configuration model: frozen values, and what differs between two of them.

Holds no run-time state and reads nothing. ``core/config/build.py`` makes these values from a file,
an embedding program may make them directly.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar

from trio_supervisor.core.config.access import Access, Credentials, Tls
from trio_supervisor.core.config.depends_on import NO_DEPENDENCIES, Dependencies
from trio_supervisor.core.config.identity import NO_IDENTITY, Identity
from trio_supervisor.core.config.limits import NO_LIMITS, Limits
from trio_supervisor.core.config.restarting import NO_RESTART_OPTIONS, RestartOptions
from trio_supervisor.core.config.stopping import NO_STOPPING, KillMode, Stopping
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.diagnostics import Diagnostic
from trio_supervisor.core.diagnostics import Severity as Severity

if TYPE_CHECKING:
    from trio_supervisor.core.config.probes import HealthCheck, ReadyCondition

#: Defaults of child logs and of the activity log.
LOG_MAXBYTES = 50 * 1024 * 1024
LOG_BACKUPS = 10


class Auto(enum.Enum):
    """A log file whose name the supervisor chooses."""

    AUTO = "auto"


AUTO = Auto.AUTO


class Autorestart(enum.Enum):
    """Rule for starting a process again that left RUNNING by itself."""

    NEVER = "false"
    UNEXPECTED = "unexpected"
    ALWAYS = "true"


class EventLength(enum.Enum):
    """Unit of ``len`` in the header of an event."""

    CHARACTERS = "characters"
    BYTES = "bytes"


class ExitWhen(enum.Enum):
    """Condition on which the daemon exits without a request."""

    NEVER = "never"
    ALL_ENDED = "all_ended"
    """When the last program that was up has ended by itself."""


class Survive(enum.Enum):
    """What the next daemon does with the programs of one that was killed."""

    NONE = "none"
    """It warns of them, and leaves them alone."""
    KILL = "kill"
    """It ends them before it starts any program."""
    ADOPT = "adopt"
    """It goes on with them."""

    @property
    def marks(self) -> bool:
        """Whether the programs are to be found by a mark in their environment."""
        return self is not Survive.NONE


class GroupKind(enum.Enum):
    """What a group is made from; a change of kind is a change of the group."""

    PLAIN = "plain"
    POOL = "pool"
    FCGI = "fcgi"
    TASK = "task"


class Compression(enum.Enum):
    """Compression of rotated logs."""

    NONE = "none"
    GZ = "gz"


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A log file, or a device or descriptor under its name. Only regular files are rotated."""

    path: str | Auto
    maxbytes: int = LOG_MAXBYTES
    """Rotate when the file reaches this size in bytes; 0 or less means never."""
    backups: int = LOG_BACKUPS
    """Rotated files to keep; 0 or less: empty the file instead."""
    mode: int | None = None
    """Permissions of the file; None: those that the umask leaves."""
    compress: Compression = Compression.NONE


@dataclass(frozen=True, slots=True)
class SyslogTarget:
    """The local syslog daemon: one message a line."""


#: Where the output of a channel can be logged.
Target = FileTarget | SyslogTarget


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """Targets of an output channel (stdout or stderr)."""

    logfile: str | Auto | None = AUTO
    """A path, AUTO, or None or an empty text for no file."""
    maxbytes: int = LOG_MAXBYTES
    """Rotate when the file reaches this size in bytes; 0 or less means never."""
    backups: int = LOG_BACKUPS
    capture_maxbytes: int = 0
    """Size of the capture buffer in bytes; 0 means no capture mode."""
    events_enabled: bool = False
    syslog: bool = False
    mode: int | None = None
    """Permissions of the log file; None: those that the umask leaves."""
    compress: Compression = Compression.NONE
    """How rotated files are compressed."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """The log targets, in order; each gets all of the output."""
        return _targets_of(self)


@lru_cache(maxsize=64)  # most channels have the same options, and are to have the same targets
def _targets_of(channel: ChannelConfig) -> tuple[Target, ...]:
    targets: list[Target] = []
    if channel.logfile:
        options = channel.maxbytes, channel.backups, channel.mode, channel.compress
        targets.append(FileTarget(channel.logfile, *options))
    if channel.syslog:
        targets.append(SyslogTarget())
    return tuple(targets)


class LogFormat(enum.Enum):
    """Format in which the output of a program is written to its logs."""

    RAW = "raw"
    """Byte for byte."""
    PREFIX = "prefix"
    """Lines, each with time, name and stream before it."""
    JSON = "json"
    """An object for each line."""


@dataclass(frozen=True, slots=True)
class FastCgiSocket:
    """The listening socket that all processes of one FastCGI program share as fd 0."""

    url: str
    """``unix:///absolute/path`` or ``tcp://host:port``."""
    backlog: int | None = None
    """None means the system's maximum."""
    owner: tuple[int, int] | None = None
    """uid and gid of a unix socket; -1 leaves one unchanged; None: no change."""
    mode: int = 0o700


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run as a child."""

    line: str


@dataclass(frozen=True, slots=True)
class Task:
    """An async function to run inside this program."""

    function: Callable[..., Awaitable[object]]

    @property
    def announces(self) -> bool:
        """Whether it takes ``task_status``, and so announces that it has started."""
        return "task_status" in inspect.signature(self.function).parameters


class OnUnhealthy(enum.Enum):
    """Action when a process becomes unhealthy."""

    RESTART = "restart"
    STOP = "stop"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Condition on which a started process is RUNNING, besides ``startsecs``."""

    condition: ReadyCondition | None = None
    """None means that ``startsecs`` alone decides."""
    timeout: float = 60.0
    """Seconds from the spawn until it must be ready; 0 means for ever."""


@dataclass(frozen=True, slots=True)
class Health:
    """Check of a RUNNING process, and the action when it fails."""

    check: HealthCheck | None = None
    """None means that it is not checked."""
    interval: float = 10.0
    """Seconds from the beginning of one check to that of the next; for ``notify`` the longest
    pause between two messages."""
    timeout: float = 3.0
    """Seconds that one check may take."""
    failures: int = 3
    """Failed checks in a row that make it unhealthy."""
    on_unhealthy: OnUnhealthy = OnUnhealthy.RESTART
    dump_signal: int | None = None
    """Sent to the child a moment before a restart for ill health; None means no signal."""


@dataclass(frozen=True, slots=True)
class ProcessConfig:
    """Configuration of a process: an instance of a program, with its own name."""

    name: str
    command: str
    directory: str | None = None
    umask: int | None = None
    uid: int | None = None
    """Run as this user; None: as the supervisor's own."""
    priority: int = 999
    autostart: bool = True
    startsecs: float = 1
    """Seconds a child must live to count as started."""
    startretries: int = 3
    autorestart: Autorestart = Autorestart.UNEXPECTED
    exitcodes: tuple[int, ...] = (0,)
    stopsignal: int = 15
    stopwaitsecs: float = 10
    """Seconds between the stop signal and SIGKILL."""
    stopasgroup: bool = False
    killasgroup: bool = False
    redirect_stderr: bool = False
    ignore_sigpipe: bool = True
    """Start it with SIGPIPE and SIGXFSZ ignored, as Supervisor does; False: with their default
    effect."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The global environment= with the program's own over it."""
    serverurl: str | Auto | None = AUTO
    """SUPERVISOR_SERVER_URL; AUTO: that of the first suitable server; None or an empty
    text: not set."""
    stdout: ChannelConfig = ChannelConfig()
    stderr: ChannelConfig = ChannelConfig()
    log_format: LogFormat = LogFormat.RAW
    create_log_dirs: bool = False
    """Make missing directories of its logs."""
    journald: bool = False
    """Send its output to systemd's journal as well."""
    socket: FastCgiSocket | None = None
    readiness: Readiness = Readiness()
    health: Health = Health()
    task: Callable[..., Awaitable[object]] | None = None
    """An async function to run in place of the command; files cannot set it."""
    restarting: RestartOptions = NO_RESTART_OPTIONS
    """Pauses and limits of retries and restarts."""
    identity: Identity = NO_IDENTITY
    limits: Limits = NO_LIMITS
    stopping: Stopping = NO_STOPPING
    essential: bool = False
    """Whether the supervisor ends when this process has ended for good."""
    dependencies: Dependencies = NO_DEPENDENCIES
    oneshot: bool = False
    """A job: it is started until it exits as expected, and not again."""
    section: str | None = field(default=None, compare=False)
    """Name of the section it was made from; None if a program made it."""

    @property
    def program(self) -> str:
        """Name of its program: that of the section, else its own."""
        return self.name if self.section is None else self.section.partition(":")[2]

    @property
    def auto_logs(self) -> tuple[str, ...]:
        """The channels whose logs are automatic ones."""
        channels = {"stdout": self.stdout}
        if not self.redirect_stderr:
            channels["stderr"] = self.stderr
        return tuple([name for name, channel in channels.items() if channel.logfile is AUTO])

    @property
    def has_preparation(self) -> bool:
        """Whether something has to be done before each start that may take long."""
        return (
            self.stopping.pre_start is not None or self.identity.adds_variables or self.wants_cgroup
        )

    @property
    def has_cleanup(self) -> bool:
        """Whether something has to be done after each end, before the next start."""
        stopping = self.stopping
        return (
            stopping.post_stop is not None
            or stopping.kill_mode is not KillMode.PROCESS
            or self.limits.are_of_cgroup
        )

    @property
    def wants_cgroup(self) -> bool:
        """Whether its children need a cgroup of their own."""
        return self.stopping.kill_mode is KillMode.CGROUP or self.limits.are_of_cgroup

    @property
    def announces(self) -> bool:
        """Whether its children announce that they have started: tasks may, commands cannot."""
        return self.task is not None and Task(self.task).announces

    @property
    def runnable(self) -> Command | Task:
        """The command or task that each child runs."""
        return Command(self.command) if self.task is None else Task(self.task)


class Template(Protocol):
    """Template of the processes of a program."""

    def process(self, number: int, count: int) -> ProcessConfig:
        """Process ``number`` of a program of ``count`` processes. Raises ConfigError."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program as one group has it: how many processes, and what they are made from."""

    name: str
    template: Template = field(compare=False, repr=False)
    count: int = 1
    """Number of processes: ``numprocs``."""
    first: int = 0
    """Number of the first process: ``numprocs_start``."""
    section: str | None = field(default=None, compare=False)
    """Name of the section it was made from."""

    def processes(self) -> tuple[ProcessConfig, ...]:
        """All its processes, sorted by priority and name. Raises ConfigError."""
        numbers = range(self.first, self.first + self.count)
        return in_start_order(self.template.process(number, self.count) for number in numbers)


P = TypeVar("P", "GroupConfig", ProcessConfig)


def in_start_order(things: Iterable[P]) -> tuple[P, ...]:
    """Sort groups, or the processes of a group, by priority, then name.

    This is the start order of a configuration; ``start_order`` in ``core/plan.py`` keeps it.
    """
    return tuple(sorted(things, key=lambda thing: (thing.priority, thing.name)))


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """Options of an event listener pool."""

    events: frozenset[str]
    """Event type names, upper case; abstract ones subscribe to their descendants."""
    buffer_size: int = 10
    result_handler: str = "supervisor.dispatchers:default_handler"
    event_len: EventLength = EventLength.CHARACTERS


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """A named set of processes, in start order."""

    name: str
    processes: tuple[ProcessConfig, ...] = ()
    priority: int = 999
    kind: GroupKind = GroupKind.PLAIN
    pool: PoolConfig | None = None
    programs: tuple[Program, ...] = field(default=(), compare=False)
    """What the processes were made from; empty if a program made the group. Groups are compared by
    their processes: what a program could become is no difference."""
    section: str | None = field(default=None, compare=False)
    """Name of the section it was made from; None if a program made it."""


@dataclass(frozen=True, slots=True)
class UnixServer:
    """``[unix_http_server]``."""

    section: str
    file: str
    """Absolute path of the socket."""
    chmod: int = 0o700
    chown: tuple[int, int] | None = None
    """uid and gid; -1 leaves one unchanged; None: no change."""
    credentials: Credentials | None = None
    access: Access = field(default_factory=Access)

    @property
    def url(self) -> str:
        return f"unix://{self.file}"


@dataclass(frozen=True, slots=True)
class InetServer:
    """``[inet_http_server]``."""

    section: str
    host: str
    """Empty: all addresses. An IPv6 address stands without brackets."""
    port: int
    credentials: Credentials | None = None
    access: Access = field(default_factory=Access)
    tls: Tls | None = None
    """None means no TLS."""

    @property
    def address(self) -> str:
        """Address in the form of ``port=``."""
        return f"{self.host or '*'}:{self.port}"

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{host or 'localhost'}:{self.port}"


Server = UnixServer | InetServer


@dataclass(frozen=True, slots=True)
class RpcInterface:
    """``[rpcinterface:name]``: an XML-RPC namespace and the factory that makes it."""

    name: str
    factory: str
    """``module:attribute``."""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """``[supervisord]``. Paths are absolute."""

    logfile: str = "supervisord.log"
    """A path, or ``syslog``."""
    logfile_maxbytes: int = LOG_MAXBYTES
    logfile_backups: int = LOG_BACKUPS
    loglevel: Severity = Severity.INFO
    pidfile: str = "supervisord.pid"
    umask: int = 0o022
    nodaemon: bool = False
    silent: bool = False
    minfds: int = 1024
    minprocs: int = 200
    nocleanup: bool = False
    childlogdir: str = "/tmp"
    uid: int | None = None
    directory: str | None = None
    strip_ansi: bool = False
    log_answer_maxbytes: int = 16 * 1024 * 1024
    """Most bytes of a log that one answer holds; of more it is the last part."""
    log_format: LogFormat = LogFormat.RAW
    """That of programs that have none of their own."""
    environment: Mapping[str, str] = field(default_factory=dict)
    identifier: str = "supervisor"
    journal: str | None = None
    """Path of the file in which the journal is kept; None: in memory only."""
    journal_maxbytes: int = 20 * 1024 * 1024
    journal_output: bool = True
    """Whether the journal has the last lines of programs that ended unexpectedly."""
    cgroup: str = "off"
    """``off``, ``auto``, or the absolute path of a cgroup: where programs get cgroups."""
    exit_when: ExitWhen = ExitWhen.NEVER
    stop_timeout: float | None = None
    """The most seconds that the stop of everything takes; None: as long as the programs need."""
    survive: Survive = Survive.NONE
    """What the next daemon does with programs that outlive this one."""
    upgrade_signal: bool = False
    """Whether SIGUSR1 upgrades the daemon; else it has its default effect, and ends it."""
    extended: bool = False
    """Whether options behind the gate are read, and the log tells who asks for what."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration of one daemon."""

    daemon: DaemonConfig = DaemonConfig()
    servers: tuple[Server, ...] = ()
    """In the order in which they are opened: inet servers, then unix servers."""
    rpcinterfaces: tuple[RpcInterface, ...] = ()
    groups: tuple[GroupConfig, ...] = ()
    """In group order: ascending priority, then name. May hold equal names."""
    messages: tuple[Diagnostic, ...] = ()
    """Warnings and notes from reading the file, for the activity log."""
    path: str | None = None
    """Absolute path of the main file; None for a configuration made by a program."""

    @property
    def server_url(self) -> str | None:
        """SUPERVISOR_SERVER_URL of children: the first unix server, else the last inet."""
        unix = [s.url for s in self.servers if isinstance(s, UnixServer)]
        inet = [s.url for s in self.servers if isinstance(s, InetServer)]
        return unix[0] if unix else inet[-1] if inet else None


@dataclass(frozen=True, slots=True)
class Diff:
    """Differences that a reread found, as names of groups."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def diff(active: Mapping[str, GroupConfig], candidates: tuple[GroupConfig, ...]) -> Diff:
    """Compare groups that run (in activation order) with those a reread found, by name.

    Of candidates with equal names the first counts. Two groups differ if any of their values
    differs; fields hold evaluated values, so another spelling of the same value is no change.
    """
    wanted: dict[str, GroupConfig] = {}
    for group in candidates:
        wanted.setdefault(group.name, group)
    return Diff(
        added=tuple(name for name in wanted if name not in active),
        changed=tuple(name for name in wanted if name in active and wanted[name] != active[name]),
        removed=tuple(name for name in active if name not in wanted),
    )
