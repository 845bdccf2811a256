"""The option table: every option of every section kind, one row each.

A new option is a row here, a field of the model, and the code that acts on the field. Reading INI
and TOML, the options of ``add_program``, ``--check``, ``--export``, ``--convert``, what a reread
changes, ``getAllConfigInfo``, the JSON Schema, the sample and the reference page walk the rows.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from trio_supervisor.core.config import python_values, value_types
from trio_supervisor.core.config.limits import RLIMITS
from trio_supervisor.core.config.secrets import MASK
from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from trio_supervisor.core.config.python_values import PythonValue
    from trio_supervisor.core.config.value_types import ValueType

T = TypeVar("T")

#: ``Option.field`` of an option whose field of the model has the option's name.
SAME_NAME = ""


class RestartScope(enum.Enum):
    """Part that must restart before a changed value takes effect; the value is the word in the
    manual."""

    NOTHING = "reread"
    """It is in force as soon as the file has been read again."""
    GROUPS = "update"
    """``tsupervisorctl update`` restarts the groups whose processes it changes, and no other."""
    PROGRAMS = "reload"
    """``tsupervisorctl reload`` or SIGHUP: every program restarts, the daemon keeps its pid."""
    DAEMON = "new start"
    """The daemon must end and be started anew."""
    CLIENT = "next command"
    """The client reads it whenever it runs."""


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table."""

    name: str
    type: ValueType
    default: str | None
    """As it would be written in a file; None: not set."""
    doc: str
    restarts: RestartScope | None = None
    """None: what most options of its section need (see ``restart_scope``)."""
    extension: bool = False
    """Supervisor has no such option, and ignores it."""
    extended: bool = False
    """An extension that INI files have only with ``extended = true`` (see ``extended.py``)."""
    legacy_note: str = ""
    """What manuals of earlier releases of Supervisor say instead."""
    field: str | None = SAME_NAME
    """Where the model has the value, as attributes separated by dots; None: it keeps no value that
    belongs to this option alone."""
    python: PythonValue | None = None
    """What ``add_program`` takes; None: Python programs cannot set it."""
    for_tasks: bool = False
    """``add_task`` takes it too."""
    config_info: str | None = None
    """Its member of ``getAllConfigInfo``; None: it has none."""
    secret: bool = False
    """Its values appear in no error, log line or export."""
    expanded_twice: bool = False
    """Supervisor expands the result of expanding the value again."""

    @property
    def path(self) -> str | None:
        """``field`` with the name filled in."""
        return self.name if self.field == SAME_NAME else self.field

    @property
    def keyword(self) -> str:
        """Its name as an option of ``add_program``: the field's, where it is a field of its own."""
        path = self.path
        return self.name if path is None or "." in path else path

    def read(self, owner: object) -> object:
        """The value in the part of the model that the option's section makes; None: not set."""
        for name in (self.path or self.name).split("."):
            owner = getattr(owner, name, None)
        return owner

    def shown(self, value: object) -> object:
        """A value of the model as JSON and TOML show it, without secrets."""
        if value is None:
            return value_types.NOT_SET
        return MASK if self.secret else self.type.plain(value)


def filled(base: T, values: Mapping[str, object]) -> T:
    """``base``, a value of the model, with other values at some paths (see ``Option.field``).

    What is the same stays the object that it was: programs share what none of them has changed.
    """
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, object]] = {}
    for path, value in values.items():
        name, dot, rest = path.partition(".")
        if dot:
            inner.setdefault(name, {})[rest] = value
        else:
            own[name] = value
    for name, parts in inner.items():
        own[name] = filled(getattr(base, name), parts)
    changed = {name: value for name, value in own.items() if not _same(value, getattr(base, name))}
    if not changed:
        return base
    return replace(base, **changed)  # type: ignore[type-var]  # every value of the model is a dataclass


def _same(value: object, other: object) -> bool:
    """Whether two values are equal and also look the same: 1 and 1.0 do not."""
    return value is other or (type(value) is type(other) and value == other)


SUPERVISORD = (
    Option("logfile", value_types.LOG_PATH, "supervisord.log", "the daemon's own log, or syslog"),
    Option(
        "logfile_maxbytes", value_types.BYTE_SIZE, "50MB", "size at which it is rotated; 0: never"
    ),
    Option("logfile_backups", value_types.INTEGER, "10", "rotated logs to keep"),
    Option(
        "loglevel", value_types.LEVEL, "info", "critical, error, warn, info, debug, trace, blather"
    ),
    Option(
        "pidfile", value_types.ABSOLUTE_FILE, "supervisord.pid", "where the daemon writes its pid"
    ),
    Option(
        "umask",
        value_types.OCTAL,
        "022",
        "umask of the daemon in the background",
        RestartScope.DAEMON,
    ),
    Option("nodaemon", value_types.BOOLEAN, "false", "stay in the foreground", RestartScope.DAEMON),
    Option(
        "silent", value_types.BOOLEAN, "false", "in the foreground, no copy of the log on stdout"
    ),
    Option(
        "minfds",
        value_types.INTEGER,
        "1024",
        "limit of open files that the daemon requires",
        RestartScope.DAEMON,
    ),
    Option(
        "minprocs",
        value_types.INTEGER,
        "200",
        "limit of processes that the daemon requires",
        RestartScope.DAEMON,
    ),
    Option("nocleanup", value_types.BOOLEAN, "false", "keep automatic child logs of earlier runs"),
    Option(
        "childlogdir",
        value_types.EXISTING_DIRECTORY,
        None,
        "directory of automatic child logs",
        RestartScope.NOTHING,
    ),
    Option(
        "user",
        value_types.USER,
        None,
        "user to become when started as root",
        RestartScope.DAEMON,
        field="uid",
        legacy_note="before 3.3.4 a daemon that could not become this user went on as root",
    ),
    Option(
        "directory",
        value_types.EXISTING_DIRECTORY,
        None,
        "directory of the daemon in the background",
        RestartScope.DAEMON,
    ),
    Option(
        "log_answer_maxbytes",
        value_types.SIZE_LIMIT,
        "16MB",
        "limit of a log in one response, in bytes; of a longer log the end is sent",
        RestartScope.NOTHING,
        extension=True,
    ),
    Option(
        "strip_ansi",
        value_types.BOOLEAN,
        "false",
        "remove ANSI escapes from child logs",
        RestartScope.NOTHING,
    ),
    Option(
        "environment",
        value_types.ENVIRONMENT,
        "",
        'KEY="value",... for all programs',
        RestartScope.GROUPS,
        secret=True,
        expanded_twice=True,
        legacy_note="manuals let the SUPERVISOR_* variables win over it; in fact it wins",
    ),
    Option(
        "identifier",
        value_types.STRING,
        "supervisor",
        "name of this daemon, for clients and events",
        RestartScope.NOTHING,
    ),
    Option(
        "log_format",
        value_types.LOG_FORMAT,
        "raw",
        "log_format of programs that do not set it",
        RestartScope.GROUPS,
        extension=True,
        extended=True,
    ),
    Option(
        "exit_when",
        value_types.EXIT_WHEN,
        "never",
        "all_ended: exit when the last program that was up has ended by itself",
        RestartScope.NOTHING,
        extension=True,
        extended=True,
    ),
    Option(
        "journal",
        value_types.ABSOLUTE_FILE,
        None,
        "file that keeps the entries of history and why over restarts; default: memory only",
        extension=True,
        extended=True,
    ),
    Option(
        "journal_maxbytes",
        value_types.SIZE_LIMIT,
        "20MB",
        "size of this file, at which the oldest entries are deleted; at least 256KB",
        extension=True,
        extended=True,
    ),
    Option(
        "journal_output",
        value_types.BOOLEAN,
        "true",
        "keep the last lines of programs that ended unexpectedly in the journal",
        extension=True,
        extended=True,
    ),
    Option(
        "cgroup",
        value_types.CGROUP,
        "off",
        "where programs get cgroups (v2): auto (in a delegated one of the daemon), a path, or off",
        RestartScope.DAEMON,
        extension=True,
        extended=True,
    ),
    Option(
        "stop_timeout",
        value_types.DURATION,
        None,
        "longest time that stopping everything takes; default: as long as the programs need",
        RestartScope.NOTHING,
        extension=True,
        extended=True,
    ),
    Option(
        "survive",
        value_types.SURVIVE,
        "none",
        "the next daemon kills the programs of one that was killed, or adopts them and goes on",
        extension=True,
        extended=True,
    ),
    Option(
        "upgrade_signal",
        value_types.BOOLEAN,
        "false",
        "let SIGUSR1 upgrade the daemon without a stop, as tsupervisorctl upgrade does",
        RestartScope.DAEMON,
        extension=True,
        extended=True,
    ),
    Option(
        "extended",
        value_types.BOOLEAN,
        "false",
        "read the options marked as extended in this INI file and the files that it includes, and "
        "log the requester of each action",
        RestartScope.NOTHING,
        extension=True,
    ),
)

_ACCESS = (
    Option(
        "username",
        value_types.STRING,
        None,
        "user name that clients must send",
        field="credentials.username",
    ),
    Option(
        "password",
        value_types.STRING,
        None,
        "its password: in clear, {SHA} and 40 hex digits, or what --hash-password prints",
        field="credentials.password",
        secret=True,
    ),
    Option(
        "readonly_username",
        value_types.STRING,
        None,
        "a second user with read-only access",
        field="access.readonly.username",
        extension=True,
    ),
    Option(
        "readonly_password",
        value_types.STRING,
        None,
        "its password, in the same forms",
        extension=True,
        field="access.readonly.password",
        secret=True,
    ),
    Option(
        "allowed_hosts",
        value_types.STRINGS,
        None,
        "additional host names for browsers; .example.com: all subdomains, *: any",
        field="access.allowed_hosts",
        extension=True,
    ),
    Option(
        "get_actions",
        value_types.BOOLEAN,
        "true",
        "page actions by GET too, not only by POST",
        field="access.get_actions",
        extension=True,
    ),
    Option(
        "body_maxbytes",
        value_types.SIZE_LIMIT,
        "16MB",
        "limit of a request body in bytes",
        extension=True,
        field="access.body_maxbytes",
    ),
)

UNIX_HTTP_SERVER = (
    Option("file", value_types.STRING, None, "path of the socket"),
    Option("chmod", value_types.OCTAL, "0700", "mode of the socket"),
    Option("chown", value_types.OWNER, None, "user or user:group of the socket"),
    *_ACCESS,
)

INET_HTTP_SERVER = (
    Option(
        "port",
        value_types.INET_ADDRESS,
        None,
        "host:port, port, or *:port for all addresses",
        field="address",
    ),
    *_ACCESS,
    Option(
        "ssl_certificate",
        value_types.ABSOLUTE_FILE,
        None,
        "PEM file: speak TLS with it (https://)",
        field="tls.certificate",
        extension=True,
    ),
    Option(
        "ssl_key",
        value_types.ABSOLUTE_FILE,
        None,
        "PEM file of its key, if it has one of its own",
        field="tls.key",
        extension=True,
    ),
    Option(
        "ssl_client_ca",
        value_types.ABSOLUTE_FILE,
        None,
        "PEM file: clients must show a certificate signed by one of these",
        field="tls.client_ca",
        extension=True,
    ),
)

SUPERVISORCTL = (
    Option(
        "serverurl",
        value_types.STRING,
        "http://localhost:9001",
        "unix://path, http://host:port or https://host:port",
    ),
    Option("username", value_types.STRING, None, "user name for the server"),
    Option("password", value_types.STRING, None, "in clear", secret=True),
    Option("prompt", value_types.STRING, "supervisor", "prompt of the interactive shell"),
    Option("history_file", value_types.STRING, None, "where the shell keeps its history"),
    Option(
        "ssl_ca",
        value_types.STRING,
        None,
        "PEM file: authorities of the server's certificate; default: those of the system",
        extension=True,
    ),
    Option(
        "ssl_verify",
        value_types.BOOLEAN,
        "true",
        "false: accept any certificate, so an impostor can learn the password",
        extension=True,
    ),
    Option(
        "ssl_certificate", value_types.STRING, None, "PEM file to show a server", extension=True
    ),
    Option("ssl_key", value_types.STRING, None, "PEM file of its key", extension=True),
)


def _channel(name: str) -> tuple[Option, ...]:
    def option(
        suffix: str, field: str, type: ValueType, default: str, doc: str, **more: Any
    ) -> Option:
        return Option(
            f"{name}_{suffix}",
            type,
            default,
            doc,
            field=f"{name}.{field}",
            config_info=f"{name}_{suffix}",
            **more,
        )

    return (
        option(
            "logfile",
            "logfile",
            value_types.CHILD_LOG,
            "AUTO",
            f"log of {name}: a path, AUTO or NONE",
            python=python_values.PATH,
            for_tasks=name == "stderr",
            expanded_twice=True,
        ),
        option(
            "logfile_maxbytes",
            "maxbytes",
            value_types.BYTE_SIZE,
            "50MB",
            "size at which it is rotated; 0: never",
        ),
        option("logfile_backups", "backups", value_types.INTEGER, "10", "rotated logs to keep"),
        option(
            "capture_maxbytes",
            "capture_maxbytes",
            value_types.BYTE_SIZE,
            "0",
            "bytes kept of a captured section; 0: off",
        ),
        option(
            "events_enabled",
            "events_enabled",
            value_types.BOOLEAN,
            "false",
            f"an event for each chunk of {name}",
        ),
        option("syslog", "syslog", value_types.BOOLEAN, "false", f"send {name} to syslog as well"),
        Option(
            f"{name}_logfile_compress",
            value_types.COMPRESSION,
            "none",
            f"gz: compress rotated logs of {name}",
            extension=True,
            extended=True,
            field=f"{name}.compress",
        ),
        Option(
            f"{name}_logfile_mode",
            value_types.OCTAL,
            None,
            f"permissions of the log of {name}; default: those that the umask leaves",
            extension=True,
            extended=True,
            field=f"{name}.mode",
        ),
    )


#: How a program is stopped, besides what Supervisor has.
STOPPING = (
    Option(
        "stop_sequence",
        value_types.STOP_SEQUENCE,
        "",
        "signals instead of stopsignal, like QUIT:10s, TERM:5s; without a time stopwaitsecs",
        extension=True,
        extended=True,
        field="stopping.sequence",
        python=python_values.STOP_SEQUENCE,
    ),
    Option(
        "kill_mode",
        value_types.KILL_MODE,
        "process",
        "tree: also end all processes that it has started; cgroup: all processes of its cgroup",
        extension=True,
        extended=True,
        field="stopping.kill_mode",
        python=python_values.KILL_MODE,
    ),
    Option(
        "stop_command",
        value_types.COMMAND,
        None,
        "command that stops it; signals follow after stopwaitsecs, or if it fails",
        extension=True,
        extended=True,
        field="stopping.command",
        python=python_values.COMMAND,
    ),
    Option(
        "pre_start",
        value_types.COMMAND,
        None,
        "command before each start; if it fails, the start has failed",
        extension=True,
        extended=True,
        field="stopping.pre_start",
        python=python_values.COMMAND,
    ),
    Option(
        "post_stop",
        value_types.COMMAND,
        None,
        "command after each end; the next start waits for it",
        extension=True,
        extended=True,
        field="stopping.post_stop",
        python=python_values.COMMAND,
    ),
    Option(
        "hook_timeout",
        value_types.DURATION,
        "30s",
        "time after which pre_start, post_stop and refresh_command are killed",
        extension=True,
        extended=True,
        field="stopping.hook_timeout",
        python=python_values.DURATION,
    ),
    Option(
        "refresh_signal",
        value_types.SIGNAL,
        None,
        "signal of tsupervisorctl refresh; default: HUP",
        extension=True,
        extended=True,
        field="stopping.refresh_signal",
        python=python_values.SIGNAL_NUMBER,
    ),
    Option(
        "refresh_command",
        value_types.COMMAND,
        None,
        "command of tsupervisorctl refresh, instead of the signal",
        extension=True,
        extended=True,
        field="stopping.refresh_command",
        python=python_values.COMMAND,
    ),
)

#: How the limits of a child are written that do not count something.
_RLIMIT_TYPES = {
    **dict.fromkeys(
        ("as", "core", "data", "fsize", "memlock", "msgqueue", "rss", "stack"),
        (value_types.RLIMIT_BYTES, python_values.RLIMIT_BYTES),
    ),
    "cpu": (value_types.RLIMIT_SECONDS, python_values.RLIMIT_SECONDS),
    "rttime": (value_types.RLIMIT_DURATION, python_values.RLIMIT_DURATION),
}


def _limit(name: str, type: ValueType, doc: str, python: PythonValue) -> Option:
    default = "false" if type is value_types.BOOLEAN else None
    return Option(
        name,
        type,
        default,
        doc,
        extension=True,
        extended=True,
        field=f"limits.{name}",
        python=python,
    )


#: When a program is RUNNING, and whether it is well.
PROBES = (
    Option(
        "ready",
        value_types.READY,
        None,
        "RUNNING only when ready: notify, fd:N, log:TEXT, log:~REGEX, tcp:, unix:, http://, exec:",
        extension=True,
        extended=True,
        field="readiness.condition",
        python=python_values.READY,
        for_tasks=True,
    ),
    Option(
        "ready_timeout",
        value_types.DURATION,
        "60s",
        "time from its start until it must be ready, else the start has failed; 0: no limit",
        extension=True,
        extended=True,
        field="readiness.timeout",
        python=python_values.DURATION,
        for_tasks=True,
    ),
    Option(
        "health",
        value_types.HEALTH,
        None,
        "check while it is RUNNING: tcp:, unix:, http://, exec: or notify",
        extension=True,
        extended=True,
        field="health.check",
        python=python_values.HEALTH,
        for_tasks=True,
    ),
    Option(
        "health_interval",
        value_types.DURATION,
        "10s",
        "time between two checks; for notify the longest pause between WATCHDOG=1",
        extension=True,
        extended=True,
        field="health.interval",
        python=python_values.DURATION,
        for_tasks=True,
    ),
    Option(
        "health_timeout",
        value_types.DURATION,
        "3s",
        "time that one check may take",
        extension=True,
        extended=True,
        field="health.timeout",
        python=python_values.DURATION,
        for_tasks=True,
    ),
    Option(
        "health_failures",
        value_types.POSITIVE,
        "3",
        "failed checks in a row that make it unhealthy; for notify always 1",
        extension=True,
        extended=True,
        field="health.failures",
        python=python_values.POSITIVE,
        for_tasks=True,
    ),
    Option(
        "on_unhealthy",
        value_types.ON_UNHEALTHY,
        "restart",
        "what follows when it is unhealthy: restart, stop or none",
        extension=True,
        extended=True,
        field="health.on_unhealthy",
        python=python_values.ON_UNHEALTHY,
        for_tasks=True,
    ),
    Option(
        "dump_signal",
        value_types.SIGNAL,
        None,
        "signal sent 2 s before a restart for ill health, to write a stack trace",
        extension=True,
        extended=True,
        field="health.dump_signal",
        python=python_values.SIGNAL_NUMBER,
    ),
)

#: What a child may use of the machine.
LIMITS = (
    *(
        _limit(f"rlimit_{name}", *(kind, f"limit: {what}", python))
        for name, what in sorted(RLIMITS.items())
        for kind, python in [
            _RLIMIT_TYPES.get(name, (value_types.RLIMIT_COUNT, python_values.RLIMIT_COUNT))
        ]
    ),
    _limit(
        "nice",
        value_types.NICE,
        "scheduling priority, from -20 (highest) to 19",
        python_values.NICE,
    ),
    _limit(
        "oom_score_adj",
        value_types.OOM_SCORE,
        "-1000: never killed for lack of memory; 1000: first",
        python_values.OOM_SCORE,
    ),
    _limit(
        "memory_max",
        value_types.SIZE_LIMIT,
        "most memory of all its processes together; more: the kernel ends all, or it is restarted",
        python_values.BYTES,
    ),
    _limit(
        "memory_high",
        value_types.SIZE_LIMIT,
        "memory from which on it is slowed down; needs a cgroup",
        python_values.BYTES,
    ),
    _limit(
        "cpu_max",
        value_types.CORES,
        "processors that it may use, like 1.5; needs a cgroup",
        python_values.CORES,
    ),
    _limit(
        "pids_max",
        value_types.POSITIVE,
        "most processes and threads at a time; needs a cgroup",
        python_values.POSITIVE,
    ),
    _limit(
        "no_new_privs",
        value_types.BOOLEAN,
        "it and its children get no rights from setuid programs",
        python_values.FLAG,
    ),
    _limit(
        "die_with_supervisor",
        value_types.BOOLEAN,
        "the kernel kills it when the daemon dies",
        python_values.FLAG,
    ),
)


def _restarting(name: str, type: ValueType, default: str | None, doc: str, **more: Any) -> Option:
    more = {"for_tasks": True, **more}
    field = f"restarting.{name}"
    return Option(name, type, default, doc, extension=True, extended=True, field=field, **more)


#: Options of programs about what follows when one has ended or its start has failed.
RESTARTING = (
    _restarting(
        "backoff",
        value_types.BACKOFF,
        "linear",
        "how the pauses between failed starts grow, or the pauses themselves: 1s, 5s, 1m",
        python=python_values.BACKOFF,
    ),
    _restarting(
        "backoff_initial",
        value_types.DURATION,
        "1s",
        "pause after the first failed start",
        python=python_values.DURATION,
    ),
    _restarting(
        "backoff_max",
        value_types.DURATION,
        None,
        "longest pause; default: 60s if backoff is exponential, else no limit",
        python=python_values.DURATION,
    ),
    _restarting(
        "backoff_jitter",
        value_types.FRACTION,
        "0",
        "a random share of each pause, at most this fraction, is added to it",
        python=python_values.FRACTION,
    ),
    _restarting(
        "restart_delay",
        value_types.DURATION,
        "0",
        "pause before it is restarted after an exit; doubled each time if backoff is exponential",
        python=python_values.DURATION,
    ),
    _restarting(
        "retry_forever",
        value_types.BOOLEAN,
        "false",
        "retry failed starts without limit; startretries is ignored",
        python=python_values.FLAG,
    ),
    _restarting(
        "restart_limit",
        value_types.RESTART_LIMIT,
        None,
        "limit of automatic restarts within a time, like 5/60s; beyond it, it becomes FATAL",
        python=python_values.RESTART_LIMIT,
    ),
    _restarting(
        "restart_prevent",
        value_types.EXITS,
        "",
        "exit codes and signals after which it is never restarted, like 78, SIGTERM",
        python=python_values.EXITS,
        for_tasks=False,
    ),
    _restarting(
        "on_fatal",
        value_types.ON_FATAL,
        "stay",
        "what follows FATAL: stay, or retry:5m to start it again after that time",
        python=python_values.ON_FATAL,
    ),
    Option(
        "essential",
        value_types.BOOLEAN,
        "false",
        "when it has ended for good, stop everything and exit with its exit code",
        extension=True,
        extended=True,
        python=python_values.FLAG,
        for_tasks=True,
    ),
)

PROGRAM = (
    Option(
        "command",
        value_types.COMMAND,
        None,
        "the program and its arguments",
        config_info="command",
    ),
    Option(
        "process_name",
        value_types.STRING,
        "%(program_name)s",
        "name of each process",
        field="name",
        config_info="name",
    ),
    Option("numprocs", value_types.INTEGER, "1", "number of processes", field=None),
    Option("numprocs_start", value_types.INTEGER, "0", "number of the first process", field=None),
    Option(
        "priority",
        value_types.INTEGER,
        "999",
        "lower numbers start first and stop last",
        python=python_values.ANY_INTEGER,
        for_tasks=True,
        config_info="process_prio",
    ),
    Option(
        "autostart",
        value_types.BOOLEAN,
        "true",
        "start together with the daemon",
        python=python_values.FLAG,
        for_tasks=True,
        config_info="autostart",
    ),
    Option(
        "startsecs",
        value_types.INTEGER,
        "1",
        "seconds that it must run to count as started",
        legacy_note="old samples name 10 as the default; it has always been 1",
        python=python_values.NOT_NEGATIVE,
        for_tasks=True,
        config_info="startsecs",
    ),
    Option(
        "startretries",
        value_types.INTEGER,
        "3",
        "failed starts after which it is FATAL",
        python=python_values.COUNT,
        for_tasks=True,
        config_info="startretries",
    ),
    Option(
        "autorestart",
        value_types.RESTART,
        "unexpected",
        "after an exit: true, false, unexpected",
        legacy_note="the default was true in the first 3.0 releases",
        python=python_values.RESTART_POLICY,
        for_tasks=True,
        config_info="autorestart",
    ),
    Option(
        "exitcodes",
        value_types.EXIT_CODES,
        "0",
        "exit codes that are expected",
        legacy_note="the default was 0,2 before 4.0",
        python=python_values.EXIT_STATUSES,
        config_info="exitcodes",
    ),
    Option(
        "stopsignal",
        value_types.SIGNAL,
        "TERM",
        "signal that stops it",
        python=python_values.SIGNAL_NUMBER,
        config_info="stopsignal",
    ),
    Option(
        "stopwaitsecs",
        value_types.INTEGER,
        "10",
        "seconds until SIGKILL follows",
        python=python_values.NOT_NEGATIVE,
        for_tasks=True,
        config_info="stopwaitsecs",
    ),
    Option(
        "stopasgroup",
        value_types.BOOLEAN,
        "false",
        "send the stop signal to its process group",
        python=python_values.FLAG,
    ),
    Option(
        "killasgroup",
        value_types.BOOLEAN,
        "false",
        "send SIGKILL to its process group",
        python=python_values.FLAG,
        config_info="killasgroup",
    ),
    Option(
        "user",
        value_types.USER,
        None,
        "user to run it as; with extended = true also user:group, and numbers without an entry",
        field="uid",
        python=python_values.USER_NUMBER,
        config_info="uid",
    ),
    Option(
        "redirect_stderr",
        value_types.BOOLEAN,
        "false",
        "send stderr where stdout goes",
        python=python_values.FLAG,
        config_info="redirect_stderr",
    ),
    *_channel("stdout"),
    *_channel("stderr"),
    Option(
        "log_format",
        value_types.LOG_FORMAT,
        "raw",
        "its logs: raw bytes, lines with a prefix of time and name, or json",
        extension=True,
        extended=True,
        python=python_values.LOG_FORMAT,
    ),
    Option(
        "create_log_dirs",
        value_types.BOOLEAN,
        "false",
        "make missing directories of its logs",
        extension=True,
        extended=True,
        python=python_values.FLAG,
    ),
    Option(
        "journald",
        value_types.BOOLEAN,
        "false",
        "send its output to systemd's journal as well, one entry a line",
        extension=True,
        extended=True,
        python=python_values.FLAG,
    ),
    Option(
        "environment",
        value_types.ENVIRONMENT,
        "",
        'KEY="value",... over that of [supervisord]',
        python=python_values.VARIABLES,
        secret=True,
    ),
    Option(
        "directory",
        value_types.STRING,
        None,
        "directory to run it in",
        python=python_values.PATH,
        config_info="directory",
    ),
    Option(
        "umask", value_types.OCTAL, None, "umask to run it with", python=python_values.FILE_MASK
    ),
    Option(
        "ignore_sigpipe",
        value_types.BOOLEAN,
        "true",
        "start it with SIGPIPE and SIGXFSZ ignored; false: with their default effect",
        extension=True,
        python=python_values.FLAG,
    ),
    Option(
        "serverurl",
        value_types.STRING,
        "AUTO",
        "value of SUPERVISOR_SERVER_URL in its environment",
        config_info="serverurl",
    ),
    *PROBES,
    Option(
        "user_env",
        value_types.USER_ENV,
        "none",
        "basic: HOME, USER, LOGNAME and SHELL of its user",
        extension=True,
        extended=True,
        field="identity.user_env",
        python=python_values.USER_ENV,
    ),
    Option(
        "environment_file",
        value_types.ENVIRONMENT_FILES,
        "",
        "files with variables, read at each start; -PATH may be missing",
        extension=True,
        extended=True,
        field="identity.environment_files",
        python=python_values.ENVIRONMENT_FILES,
    ),
    *LIMITS,
    *STOPPING,
    Option(
        "depends_on",
        value_types.DEPENDENCIES,
        "",
        "programs and groups that must be running, healthy or done before it starts; name?: it may "
        "be missing or fail",
        extension=True,
        extended=True,
        field="dependencies.needs",
        python=python_values.DEPENDENCIES,
        for_tasks=True,
    ),
    Option(
        "on_dependency_stop",
        value_types.ON_DEPENDENCY_STOP,
        "keep",
        "when one of them leaves RUNNING: keep it running, stop or restart it",
        extension=True,
        extended=True,
        field="dependencies.on_stop",
        python=python_values.ON_DEPENDENCY_STOP,
        for_tasks=True,
    ),
    Option(
        "oneshot",
        value_types.BOOLEAN,
        "false",
        "a job: it runs until it exits as expected, and is not started again then",
        extension=True,
        extended=True,
        python=python_values.FLAG,
        for_tasks=True,
    ),
    *RESTARTING,
)

#: Options of ``add_program`` and ``add_task`` that files do not have.
PYTHON_ONLY = (
    Option(
        "gid",
        value_types.INTEGER,
        None,
        "group to run it as; files have it in user",
        extension=True,
        field="identity.gid",
        python=python_values.GROUP_NUMBER,
    ),
)

#: Options of a FastCGI program that describe its socket.
SOCKET = (
    Option(
        "socket",
        value_types.FASTCGI_URL,
        None,
        "unix:///path or tcp://host:port, shared as fd 0",
        field="url",
    ),
    Option(
        "socket_backlog",
        value_types.INTEGER,
        None,
        "length of its queue; default: the maximum of the system",
        field="backlog",
    ),
    Option(
        "socket_owner",
        value_types.OWNER,
        None,
        "user or user:group of a unix socket",
        field="owner",
    ),
    Option("socket_mode", value_types.OCTAL, "0700", "mode of a unix socket", field="mode"),
)

FCGI_PROGRAM = (*SOCKET, *PROGRAM)

#: Options of an event listener that describe its pool.
POOL = (
    Option(
        "events",
        value_types.EVENT_TYPES,
        None,
        "event types to subscribe to, separated by commas",
    ),
    Option("buffer_size", value_types.INTEGER, "10", "events that may wait for a listener"),
    Option(
        "result_handler",
        value_types.STRING,
        "supervisor.dispatchers:default_handler",
        "function that judges the results of listeners",
    ),
    Option(
        "event_len",
        value_types.EVENT_LENGTH,
        "characters",
        "what len counts: characters or bytes",
        extension=True,
    ),
)

EVENTLISTENER = (
    *POOL,
    *(replace(option, default="-1") if option.name == "priority" else option for option in PROGRAM),
)

GROUP = (
    Option(
        "programs",
        value_types.STRINGS,
        "",
        "names of its programs, separated by commas",
        field=None,
    ),
    Option(
        "priority",
        value_types.INTEGER,
        "999",
        "lower numbers start first and stop last",
    ),
)

#: Supervisor's name of the factory of the main namespace; it works without that package.
MAIN_FACTORY = "supervisor.rpcinterface:make_main_rpcinterface"

RPCINTERFACE = (
    Option(
        "supervisor.rpcinterface_factory",
        value_types.STRING,
        None,
        "module:callable of the namespace",
    ),
)

INCLUDE = (
    Option("files", value_types.STRING, None, "globs of further files, separated by blanks"),
)

#: By section kind, in the order in which the sample shows them.
TABLES: dict[str, tuple[Option, ...]] = {
    "unix_http_server": UNIX_HTTP_SERVER,
    "inet_http_server": INET_HTTP_SERVER,
    "supervisord": SUPERVISORD,
    "rpcinterface": RPCINTERFACE,
    "supervisorctl": SUPERVISORCTL,
    "program": PROGRAM,
    "fcgi-program": FCGI_PROGRAM,
    "eventlistener": EVENTLISTENER,
    "group": GROUP,
    "include": INCLUDE,
}

#: By section kind and name.
ROWS: dict[str, dict[str, Option]] = {
    kind: {option.name: option for option in table} for kind, table in TABLES.items()
}
#: Section of values for all programs: it has options of a program, and no table of its own.
PROGRAM_DEFAULT = "program-default"
#: Kinds of sections that have these values.
WITH_DEFAULTS = ("program", "fcgi-program")
#: Options that every program has for itself, or not at all.
NOT_DEFAULTS = frozenset(
    {
        *("command", "process_name", "numprocs", "numprocs_start"),
        *("depends_on", "essential", "oneshot"),
        *("stop_command", "pre_start", "post_stop", "refresh_command"),
    }
)
#: What is wrong with one of them as a default, and what to do.
NO_DEFAULT = "cannot be the same for all programs"
NO_DEFAULT_HINT = "write it into the section of each program"
ROWS[PROGRAM_DEFAULT] = {
    option.name: option for option in PROGRAM if option.name not in NOT_DEFAULTS
}
#: Options of ``add_program``, by keyword.
PYTHON_OPTIONS: dict[str, Option] = {
    option.keyword: option for option in (*PROGRAM, *PYTHON_ONLY) if option.python is not None
}
#: Options that ``getAllConfigInfo`` returns, by member.
CONFIG_INFO: dict[str, Option] = {
    option.config_info: option for option in PROGRAM if option.config_info is not None
}
#: Names of options whose values appear in no error, log line or export.
SECRETS = frozenset(option.name for table in TABLES.values() for option in table if option.secret)

#: Section kind -> what has to restart after a change of most of its options.
_SCOPES = {
    "supervisord": RestartScope.PROGRAMS,
    "unix_http_server": RestartScope.PROGRAMS,
    "inet_http_server": RestartScope.PROGRAMS,
    "rpcinterface": RestartScope.PROGRAMS,
    "supervisorctl": RestartScope.CLIENT,
    "program": RestartScope.GROUPS,
    "fcgi-program": RestartScope.GROUPS,
    "eventlistener": RestartScope.GROUPS,
    "group": RestartScope.GROUPS,
    "include": RestartScope.NOTHING,
}


def restart_scope(kind: str, option: Option) -> RestartScope:
    """Return what must restart before a changed value of an option of this section kind takes
    effect."""
    return _SCOPES[kind] if option.restarts is None else option.restarts
