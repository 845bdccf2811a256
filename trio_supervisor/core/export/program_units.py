"""Unit files for systemd of programs that leave the supervisor."""

from __future__ import annotations

import math
import posixpath
import shlex
from typing import TYPE_CHECKING

from trio_supervisor.core.config.depends_on import Condition, OnDependencyStop
from trio_supervisor.core.config.limits import RLIMITS, UNLIMITED_NAME
from trio_supervisor.core.config.model import AUTO, Autorestart, OnUnhealthy
from trio_supervisor.core.config.probes import ExecProbe, Notify
from trio_supervisor.core.config.restarting import Backoff
from trio_supervisor.core.export.exported import RLIMIT_OPTIONS, lines_of, note, unit_name
from trio_supervisor.core.export.systemd_syntax import plain, quoted, specifiers, unit_text, words
from trio_supervisor.core.process.signals import signal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trio_supervisor.core.config.model import ChannelConfig, ProcessConfig
    from trio_supervisor.core.export.exported import Exported, Rows

#: A unit file: its name and its text.
Unit = tuple[str, str]

#: Signals that systemd takes for a clean exit, unlike Supervisor.
CLEAN_SIGNALS = "SIGHUP SIGINT SIGTERM SIGPIPE"
SUCCESS = 0
#: systemd's own pause before a restart is 0.1 s.
RESTART_PAUSE = 1.0
_LOGS = "/var/log/"


def program_units(processes: Sequence[Exported]) -> list[Unit]:
    """Return the units of the processes of one group."""
    units: list[Unit] = []
    if not processes:
        return units
    group = processes[0].group
    several = len(processes) > 1
    target = f"{unit_name(group.name)}.target"
    for exported in processes:
        process, name = exported.process, exported.name
        unit = [f"Description={plain(group.name)}: {plain(process.name)}"]
        if several:
            unit.append(f"PartOf={target}")
        if process.socket is not None:
            unit.append(f"Requires={name}.socket")
            units.append((f"{name}.socket", _socket(exported)))
        unit += lines_of(exported, _UNIT, {}, exported.written)
        install = [f"WantedBy={target if several else 'multi-user.target'}"]
        if not process.autostart:
            install.insert(0, "# autostart=false: do not enable it, or the machine starts it.")
        service = lines_of(exported, _SERVICE, _REASONS, _IMPLIED)
        text = unit_text(("Unit", unit), ("Service", service), ("Install", install))
        units.append((f"{name}.service", text))
    if several:
        wants = " ".join(name for name, _ in units if name.endswith(".service"))
        text = unit_text(
            ("Unit", [f"Description=all of {plain(group.name)}", f"Wants={wants}"]),
            ("Install", ["WantedBy=multi-user.target"]),
        )
        units.append((target, text))
    return units


def _dependencies(exported: Exported) -> Iterator[str]:
    on_stop = exported.process.dependencies.on_stop
    yield from exported.missing()
    strong = "Requires" if on_stop is OnDependencyStop.KEEP else "BindsTo"
    for dependency, name, condition, process in exported.needs():
        yield f"{'Wants' if dependency.soft else strong}={name}.service"
        yield f"After={name}.service"
        if condition is Condition.HEALTHY and not isinstance(process.health.check, Notify):
            yield note(f"depends_on {dependency}", "it waits until that is started, not healthy")
    if on_stop is OnDependencyStop.RESTART:
        yield note("on_dependency_stop", "it is stopped, and not started when that runs again")


def _start_limit(exported: Exported) -> Iterator[str]:
    process = exported.process
    options = process.restarting
    if process.autorestart is Autorestart.NEVER:
        return
    if options.restart_limit is not None:
        within, burst = options.restart_limit.within, options.restart_limit.count + 1
    elif options.retry_forever:
        within, burst = 0.0, 0
    else:
        # As many lives that are shorter than startsecs are failed starts, of which there may be
        # startretries; longer ones never reach the limit.
        burst = process.startretries + 1
        within = burst * (process.startsecs + _pause(process))
    yield f"StartLimitIntervalSec={math.ceil(within)}"
    if within:
        yield f"StartLimitBurst={burst}"
    if options.on_fatal is not None:
        yield note("on_fatal", "what has reached its limit stays failed")


_UNIT: Rows = {
    ("depends_on", "on_dependency_stop"): _dependencies,
    ("startretries", "startsecs", "restart_limit", "retry_forever", "on_fatal"): _start_limit,
}


def _type(exported: Exported) -> Iterator[str]:
    process = exported.process
    ready, check = process.readiness.condition, process.health.check
    if process.oneshot:
        yield "Type=oneshot"
        yield "RemainAfterExit=yes"
    elif isinstance(ready, Notify) or isinstance(check, Notify):
        yield "Type=notify"
        yield "NotifyAccess=all"
        if ready is None:
            yield note("health", "the program has to send READY=1 as well")
    if ready is not None and not isinstance(ready, (Notify, ExecProbe)):
        yield note("ready", f"systemd cannot wait for {plain(str(ready))}; notify and exec: it can")


def _commands(exported: Exported) -> Iterator[str]:
    process = exported.process
    stopping, ready = process.stopping, process.readiness
    if stopping.pre_start is not None:
        yield f"ExecStartPre={_command(stopping.pre_start)}"
    yield f"ExecStart={_command(process.command)}"
    timeouts = [] if stopping.pre_start is None else [stopping.hook_timeout]
    if isinstance(ready.condition, ExecProbe):
        line = f"until {ready.condition.line}; do sleep 1; done"
        yield f"ExecStartPost={words(('/bin/sh', '-c', line))}"
    if isinstance(ready.condition, (ExecProbe, Notify)):
        timeouts.append(ready.timeout)
    if timeouts:
        yield f"TimeoutStartSec={'infinity' if 0 in timeouts else f'{max(timeouts):g}'}"
    if stopping.refresh_command is not None:
        yield f"ExecReload={_command(stopping.refresh_command)}"
    elif stopping.refresh_signal is not None:
        name = signal_name(stopping.refresh_signal).removeprefix("SIG")
        yield f"ExecReload=/bin/sh -c 'kill -{name} $MAINPID'"
    if stopping.command is not None:
        yield f"ExecStop={_command(stopping.command)}"
    if stopping.post_stop is not None:
        yield f"ExecStopPost={_command(stopping.post_stop)}"


def _identity(exported: Exported) -> Iterator[str]:
    process = exported.process
    if process.directory is not None:
        yield f"WorkingDirectory={specifiers(process.directory)}"
    if exported.user is not None:
        yield f"User={exported.user}"
    if process.identity.gid is not None:
        yield f"Group={process.identity.gid}"
    if process.umask is not None:
        yield f"UMask={process.umask:04o}"
    for file in process.identity.environment_files:
        yield f"EnvironmentFile={specifiers(str(file))}"
    for name, value in process.environment.items():
        yield f"Environment={quoted(f'{name}={value}')}"


def _limits(exported: Exported) -> Iterator[str]:
    limits = exported.process.limits
    for name in RLIMITS:
        if (limit := getattr(limits, f"rlimit_{name}")) is not None:
            yield f"Limit{name.upper()}={str(limit).replace(UNLIMITED_NAME, 'infinity')}"
    for directive, value in (
        ("Nice", limits.nice),
        ("OOMScoreAdjust", limits.oom_score_adj),
        ("MemoryHigh", limits.memory_high),
        ("MemoryMax", limits.memory_max),
        ("TasksMax", limits.pids_max),
    ):
        if value is not None:
            yield f"{directive}={value}"
    if limits.cpu_max is not None:
        yield f"CPUQuota={max(1, round(limits.cpu_max * 100))}%"
    if limits.no_new_privs:
        yield "NoNewPrivileges=yes"


def _restart(exported: Exported) -> Iterator[str]:
    process = exported.process
    options, health = process.restarting, process.health
    watched = isinstance(health.check, Notify) and health.on_unhealthy is OnUnhealthy.RESTART
    match process.autorestart:
        case Autorestart.NEVER:
            yield "Restart=on-watchdog" if watched else "Restart=no"
        case Autorestart.ALWAYS if process.oneshot:
            yield "Restart=on-failure"  # systemd repeats no job that has succeeded, nor do we
        case Autorestart.ALWAYS:
            yield "Restart=always"
        case Autorestart.UNEXPECTED:
            yield "Restart=on-failure"
    if process.autorestart is not Autorestart.NEVER:
        yield f"RestartSec={_pause(process):g}"
    if options.backoff is not Backoff.LINEAR or options.backoff_jitter:
        yield note("backoff", "the pause is always the same")
    if process.autorestart is Autorestart.UNEXPECTED:
        expected = [str(code) for code in process.exitcodes if code != SUCCESS]
        if expected:
            yield f"SuccessExitStatus={' '.join(expected)}"
        zero = "" if SUCCESS in process.exitcodes else f"{SUCCESS} "
        if not process.oneshot:
            yield f"RestartForceExitStatus={zero}{CLEAN_SIGNALS}"
    if options.restart_prevent:
        ends = (
            str(end.code) if end.signal is None else signal_name(end.signal)
            for end in options.restart_prevent
        )
        yield f"RestartPreventExitStatus={' '.join(ends)}"


def _health(exported: Exported) -> Iterator[str]:
    health = exported.process.health
    if health.check is None:
        return
    if not isinstance(health.check, Notify):
        yield note("health", "systemd checks nothing itself; let the program send WATCHDOG=1")
        return
    yield f"WatchdogSec={health.interval:g}"
    if health.dump_signal is not None:
        yield f"WatchdogSignal={signal_name(health.dump_signal)}"
    if health.on_unhealthy is not OnUnhealthy.RESTART:
        yield note("on_unhealthy", "systemd ends a program that sends nothing")


def _stop(exported: Exported) -> Iterator[str]:
    process = exported.process
    steps = process.stopping.sequence
    first = steps[0].signal if steps else process.stopsignal
    waits = [process.stopwaitsecs if step.wait is None else step.wait for step in steps]
    yield f"KillSignal={signal_name(first)}"
    yield f"TimeoutStopSec={sum(waits) if steps else process.stopwaitsecs:g}"
    if len(steps) > 1:
        yield note("stop_sequence", "after its first signal KILL follows, at the end of all waits")
    # Supervisor's default signals the program alone. systemd should kill what is left of it.
    yield f"KillMode={'control-group' if process.stopasgroup else 'mixed'}"
    if not process.ignore_sigpipe:
        yield "IgnoreSIGPIPE=no"


def _output(exported: Exported) -> Iterator[str]:
    process = exported.process
    if process.socket is not None:
        yield "StandardInput=socket"
    error = process.stderr
    yield f"StandardOutput={_place(process, process.stdout)}"
    yield f"StandardError={'inherit' if process.redirect_stderr else _place(process, error)}"
    if process.journald:
        yield f"SyslogIdentifier={quoted(process.name)}"
    if process.create_log_dirs:
        names = {
            posixpath.dirname(str(channel.logfile)).removeprefix(_LOGS)
            for channel in (process.stdout, process.stderr)
            if str(channel.logfile).startswith(_LOGS)
        } - {_LOGS.rstrip("/"), ""}
        if names:
            yield f"LogsDirectory={words(sorted(names))}"
        else:
            yield note("create_log_dirs", "systemd makes directories below /var/log only")


_SERVICE: Rows = {
    ("ready", "oneshot"): _type,
    (
        *("command", "pre_start", "post_stop", "hook_timeout", "ready_timeout"),
        *("stop_command", "refresh_command", "refresh_signal"),
    ): _commands,
    ("directory", "user", "umask", "environment", "environment_file"): _identity,
    (
        *("nice", "oom_score_adj", "no_new_privs", *RLIMIT_OPTIONS),
        *("memory_max", "memory_high", "cpu_max", "pids_max"),
    ): _limits,
    (
        *("autorestart", "exitcodes", "restart_prevent", "restart_delay"),
        *("backoff", "backoff_initial", "backoff_jitter"),
    ): _restart,
    ("health", "health_interval", "on_unhealthy", "dump_signal"): _health,
    (
        *("stopsignal", "stopwaitsecs", "stop_sequence", "kill_mode", "stopasgroup"),
        *("killasgroup", "ignore_sigpipe"),
    ): _stop,
    (
        *("stdout_logfile", "stderr_logfile", "stdout_syslog", "stderr_syslog", "redirect_stderr"),
        *("journald", "create_log_dirs", "socket"),
    ): _output,
}
#: Options that a unit has by its name, its section [Unit] or [Install], or by what systemd does.
_IMPLIED = (
    *("process_name", "numprocs", "numprocs_start", "autostart", "serverurl", "user_env"),
    *("socket_mode", "socket_backlog", *(option for options in _UNIT for option in options)),
)
_ROTATION = "systemd does not rotate files; use logrotate, or log to the journal"
_LISTENERS = "there are no event listeners"
_REASONS = {
    **{
        f"{stream}_{option}": reason
        for stream in ("stdout", "stderr")
        for option, reason in (
            ("logfile_maxbytes", _ROTATION),
            ("logfile_backups", _ROTATION),
            ("logfile_compress", _ROTATION),
            ("logfile_mode", "a new file has the permissions that UMask= leaves"),
            ("capture_maxbytes", _LISTENERS),
            ("events_enabled", _LISTENERS),
        )
    },
    "backoff_max": "the pause is always the same",
    "die_with_supervisor": "systemd does not end before its services",
    "essential": "the machine goes on; see FailureAction= and SuccessAction=",
    "health_failures": "one pause that is too long counts",
    "health_timeout": "systemd checks nothing itself",
    "log_format": "the journal has the time and the unit of each line; files have the lines alone",
    "priority": "the order comes from depends_on only",
    "socket_owner": "write SocketUser= and SocketGroup= in the socket",
}


def _pause(process: ProcessConfig) -> float:
    options = process.restarting
    initial = options.backoff_initial if options.backoff_initial else RESTART_PAUSE
    return options.restart_delay or initial


def _command(line: str) -> str:
    return words(shlex.split(line))


def _place(process: ProcessConfig, channel: ChannelConfig) -> str:
    if process.journald or channel.logfile == AUTO or channel.syslog:
        return "journal"
    return f"append:{specifiers(str(channel.logfile))}" if channel.logfile else "null"


def _socket(exported: Exported) -> str:
    assert exported.process.socket is not None
    socket = exported.process.socket
    address = socket.url.removeprefix("unix://").removeprefix("tcp://")
    lines: list[str] = [f"ListenStream={specifiers(address)}", f"SocketMode={socket.mode:04o}"]
    if socket.backlog is not None:
        lines.append(f"Backlog={socket.backlog}")
    description = f"Description=FastCGI socket of {plain(exported.group.name)}"
    wanted: Iterable[str] = ["WantedBy=sockets.target"]
    return unit_text(("Unit", [description]), ("Socket", lines), ("Install", wanted))
