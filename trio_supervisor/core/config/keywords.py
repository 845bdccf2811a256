"""The options of programs and tasks as keywords, which only type checkers need.

A daemon never loads this: each keyword of such a class takes half a kilobyte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypedDict

from trio_supervisor.core.config.depends_on import OnDependencyStop
from trio_supervisor.core.config.identity import UserEnv
from trio_supervisor.core.config.model import Autorestart, LogFormat
from trio_supervisor.core.config.stopping import KillMode

#: Seconds, or a text with a unit: 0.5, "500ms", "30s", "5m", "2h", "1d".
Duration = float | str


class PathLike(Protocol):
    """``os.PathLike[str]``: core does not import ``os``."""

    def __fspath__(self) -> str:
        """The path as text."""


#: A number, or a text as a file has it: ``unlimited``, ``1024:4096``, ``512MB``.
RlimitValue = int | float | str


class CommonOptions(TypedDict, total=False):
    """Options that programs and tasks have in common; names and defaults are those of a file."""

    priority: int
    autostart: bool
    autorestart: bool | Literal["unexpected"] | Autorestart
    """By default UNEXPECTED: after any end that is not in exitcodes."""
    startsecs: float
    startretries: int
    backoff: Literal["linear", "constant", "exponential"] | Sequence[Duration]
    """How the pauses between failed starts grow, or the pauses themselves: after the first, the
    second, ... failed start in a row, the last one for all further. By default 1, 2, 3, ... s."""
    backoff_initial: Duration
    backoff_max: Duration
    backoff_jitter: float
    restart_delay: Duration
    retry_forever: bool
    restart_limit: str | tuple[int, Duration]
    """Most automatic restarts within a time: ``"5/60s"`` or ``(5, 60)``."""
    on_fatal: str
    """``"stay"``, or ``"retry:5m"``."""
    stopwaitsecs: float
    essential: bool
    """True: when it has ended by itself and is not to be started again, everything is stopped in
    order and the block of the supervisor is left by ProcessFailed."""
    depends_on: str | Sequence[str] | Mapping[str, str | Mapping[str, str | bool]]
    """What must be up before it starts: ``["db:healthy", "cache?"]`` or ``{"db": "healthy"}``."""
    on_dependency_stop: str | OnDependencyStop
    """When a dependency leaves RUNNING: ``"keep"`` (default), ``"stop"`` or ``"restart"``."""
    oneshot: bool
    """A job: it is started until it exits as expected, and not again."""
    ready_timeout: float | str
    health: str
    """What is checked while it is RUNNING, in the same forms."""
    health_interval: float | str
    health_timeout: float | str
    health_failures: int
    on_unhealthy: Literal["restart", "stop", "none"]


class TaskOptions(CommonOptions, total=False):
    """Options of ``Supervisor.add_task``."""

    stderr_logfile: str | PathLike
    """Channel that gets the tracebacks of its exceptions."""
    ready: str
    """What it waits for until it is RUNNING: ``tcp:8080``, ``unix:/run/app.sock``,
    ``http://127.0.0.1:8080/`` or ``exec:command``; see policies.md."""


class UnconditionalOptions(CommonOptions, total=False):
    """Options of programs but ``ready``, which means something else in tests."""

    directory: str | PathLike
    umask: int
    uid: int | str
    """Number or name of the user to run it as."""
    gid: int
    user_env: str | UserEnv
    environment_file: Sequence[str | PathLike]
    exitcodes: Sequence[int]
    restart_prevent: Sequence[int | str]
    """Exit codes and names of signals after which it is never restarted."""
    stopsignal: int | str
    """Number or name: ``"INT"``."""
    stopasgroup: bool
    killasgroup: bool
    redirect_stderr: bool
    ignore_sigpipe: bool
    """False: start it with the default effect of SIGPIPE and SIGXFSZ."""
    environment: Mapping[str, str]
    stdout_logfile: str | PathLike
    stderr_logfile: str | PathLike
    rlimit_as: RlimitValue
    rlimit_core: RlimitValue
    rlimit_cpu: RlimitValue
    rlimit_data: RlimitValue
    rlimit_fsize: RlimitValue
    rlimit_memlock: RlimitValue
    rlimit_msgqueue: RlimitValue
    rlimit_nice: RlimitValue
    rlimit_nofile: RlimitValue
    rlimit_nproc: RlimitValue
    rlimit_rss: RlimitValue
    rlimit_rtprio: RlimitValue
    rlimit_rttime: RlimitValue
    rlimit_sigpending: RlimitValue
    rlimit_stack: RlimitValue
    nice: int
    oom_score_adj: int
    no_new_privs: bool
    die_with_supervisor: bool
    memory_max: int | str
    """Bytes, or ``"512MB"``."""
    memory_high: int | str
    cpu_max: float
    """Number of processors."""
    pids_max: int
    stop_sequence: str | Sequence[str]
    kill_mode: str | KillMode
    stop_command: str | Sequence[str]
    pre_start: str | Sequence[str]
    post_stop: str | Sequence[str]
    hook_timeout: float | str
    refresh_signal: int | str
    refresh_command: str | Sequence[str]
    log_format: LogFormat | str
    """``raw``, ``prefix`` or ``json``."""
    dump_signal: int | str
    create_log_dirs: bool
    """True: make missing directories of its logs."""
    journald: bool
    """True: send its output to systemd's journal as well."""


class ProgramOptions(UnconditionalOptions, total=False):
    """Options of ``Supervisor.add_program``."""

    ready: str
    """What it waits for until it is RUNNING: ``tcp:8080``, ``unix:/run/app.sock``,
    ``log:listening``, ``notify``, ``fd:3``, ``http://127.0.0.1:8080/`` or ``exec:command``; see
    policies.md."""
