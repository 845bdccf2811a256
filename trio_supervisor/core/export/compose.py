"""A compose file of the programs of a configuration: each process is a service.

Strings are written as JSON, which is YAML too, so no YAML library is needed.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from trio_supervisor.core.config.depends_on import Condition, OnDependencyStop
from trio_supervisor.core.config.model import Autorestart, OnUnhealthy
from trio_supervisor.core.config.probes import ExecProbe, HttpProbe, TcpProbe
from trio_supervisor.core.export.exported import RLIMIT_OPTIONS, lines_of, note
from trio_supervisor.core.process.signals import signal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.export.exported import Exported, Rows

#: A compose file cannot know in which image a program is; the shell's form makes it ask.
IMAGE = "${IMAGE:?the image that has the programs}"
LOCALHOST = "127.0.0.1"
_RESTART = {
    Autorestart.NEVER: "no",
    Autorestart.UNEXPECTED: "on-failure",
    Autorestart.ALWAYS: "always",
}
_CONDITIONS = {
    Condition.RUNNING: "service_started",
    Condition.HEALTHY: "service_healthy",
    Condition.DONE: "service_completed_successfully",
}
#: Limits that Docker cannot set.
_NO_ULIMIT = ("rlimit_as",)


def compose_file(processes: Iterable[Exported]) -> str:
    """Return the text of the file: one service for each process."""
    lines = ["services:"]
    for exported in processes:
        lines.append(f"  {json.dumps(_name(exported.name))}:")
        found = lines_of(exported, _ROWS, _REASONS, _IMPLIED)
        lines += [f"    {line}" for line in found]
    return "\n".join(lines) + "\n"


def _command(exported: Exported) -> Iterator[str]:
    process = exported.process
    yield f"image: {json.dumps(IMAGE)}"
    yield f"command: {_list(shlex.split(process.command))}"
    yield "init: true"
    if process.directory is not None:
        yield f"working_dir: {_string(process.directory)}"
    if not process.autostart:
        yield 'profiles: ["manual"]'


def _user(exported: Exported) -> Iterator[str]:
    gid = exported.process.identity.gid
    if exported.user is not None:
        yield f"user: {_string(exported.user if gid is None else f'{exported.user}:{gid}')}"


def _environment(exported: Exported) -> Iterator[str]:
    process = exported.process
    if process.identity.environment_files:
        yield "env_file:"
        for file in process.identity.environment_files:
            yield f"  - path: {_string(file.path)}"
            yield f"    required: {json.dumps(not file.optional)}"
    if process.environment:
        yield "environment:"
        for name, value in process.environment.items():
            yield f"  {_string(name)}: {_string(value)}"


def _depends_on(exported: Exported) -> Iterator[str]:
    needs = list(exported.needs())
    on_stop = exported.process.dependencies.on_stop
    yield from exported.missing()
    if not needs:
        return
    yield "depends_on:"
    for dependency, name, condition, process in needs:
        has_check = any(_test(process))
        wanted = condition
        if condition is Condition.RUNNING and has_check and process.readiness.condition:
            wanted = Condition.HEALTHY
        if condition is Condition.HEALTHY and not has_check:
            yield "  " + note(
                f"depends_on {dependency}", "it has no healthcheck, so started counts"
            )
            wanted = Condition.RUNNING
        yield f"  {json.dumps(_name(name))}:"
        yield f"    condition: {_CONDITIONS[wanted]}"
        if dependency.soft or not process.autostart:  # its profile may not be active
            yield "    required: false"
        if on_stop is OnDependencyStop.RESTART:
            yield "    restart: true"
    if on_stop is OnDependencyStop.STOP:
        yield note("on_dependency_stop", "it keeps running")


def _restart(exported: Exported) -> Iterator[str]:
    process = exported.process
    options = process.restarting
    policy = _RESTART[process.autorestart]
    if process.oneshot and process.autorestart is not Autorestart.NEVER:
        policy = "on-failure"
    if options.restart_limit is not None and policy == "on-failure":
        policy += f":{options.restart_limit.count}"
        yield note("restart_limit", "all restarts count, not those within a time")
    elif options.restart_limit is not None:
        yield note("restart_limit", "only on-failure has one")
    yield f"restart: {json.dumps(policy)}"
    if process.autorestart is Autorestart.UNEXPECTED and process.exitcodes != (0,):
        yield note("exitcodes", "only 0 counts as expected")


def _stop(exported: Exported) -> Iterator[str]:
    process = exported.process
    steps = process.stopping.sequence
    waits = [process.stopwaitsecs if step.wait is None else step.wait for step in steps]
    yield f"stop_signal: {signal_name(steps[0].signal if steps else process.stopsignal)}"
    yield f"stop_grace_period: {_duration(sum(waits) if steps else process.stopwaitsecs)}"
    if len(steps) > 1:
        yield note("stop_sequence", "after its first signal KILL follows, at the end of all waits")
    if process.stopping.command is not None:
        yield "pre_stop:"
        yield f"  - command: {_list(shlex.split(process.stopping.command))}"


def _health(exported: Exported) -> Iterator[str]:
    process = exported.process
    health, ready = process.health, process.readiness
    test = list(_test(process))
    for option, check in (("health", health.check), ("ready", ready.condition)):
        if check is not None and not test:
            yield note(option, f"a healthcheck can only run a command, and {check} is none")
    if not test:
        return
    yield "healthcheck:"
    yield from (f"  {line}" for line in test)
    yield f"  interval: {_duration(health.interval)}"
    yield f"  timeout: {_duration(health.timeout)}"
    yield f"  retries: {health.failures}"
    if ready.condition is not None and ready.timeout:
        yield f"  start_period: {_duration(ready.timeout)}"
    if health.check is not None and health.on_unhealthy is not OnUnhealthy.NONE:
        yield note("on_unhealthy", "nothing follows when it is unhealthy")


def _test(process: ProcessConfig) -> Iterator[str]:
    """The test of a healthcheck, which runs in the container; nothing if there is none."""
    for check in (process.health.check, process.readiness.condition):
        match check:
            case ExecProbe():
                yield f"test: {_list(['CMD', *shlex.split(check.line)])}"
            case HttpProbe():
                yield "# The image needs curl for this."
                yield f"test: {_list(['CMD', 'curl', '-fsS', '-o', '/dev/null', str(check)])}"
            case TcpProbe():
                yield "# The image needs nc for this."
                address = (check.host or LOCALHOST, str(check.port))
                yield f"test: {_list(('CMD', 'nc', '-z', *address))}"
            case _:
                continue
        return


def _limits(exported: Exported) -> Iterator[str]:
    limits = exported.process.limits
    ulimits = [
        (name, soft, hard)
        for name, soft, hard in limits.rlimits()
        if f"rlimit_{name}" not in _NO_ULIMIT
    ]
    if ulimits:
        yield "ulimits:"
        for name, soft, hard in ulimits:
            yield f"  {name}: {{soft: {soft}, hard: {hard}}}"
    for key, value in (
        ("oom_score_adj", limits.oom_score_adj),
        ("mem_limit", limits.memory_max),
        ("mem_reservation", limits.memory_high),
        ("cpus", limits.cpu_max),
        ("pids_limit", limits.pids_max),
    ):
        if value is not None:
            yield f"{key}: {value}"
    if limits.no_new_privs:
        yield 'security_opt: ["no-new-privileges:true"]'


_ROWS: Rows = {
    ("command", "directory", "autostart"): _command,
    ("user",): _user,
    ("environment", "environment_file"): _environment,
    ("depends_on", "on_dependency_stop"): _depends_on,
    ("autorestart", "exitcodes", "restart_limit", "oneshot"): _restart,
    ("stopsignal", "stopwaitsecs", "stop_sequence", "stop_command"): _stop,
    (
        *("health", "health_interval", "health_timeout", "health_failures", "on_unhealthy"),
        *("ready", "ready_timeout"),
    ): _health,
    (
        *("oom_score_adj", "no_new_privs", "memory_max", "memory_high", "cpu_max", "pids_max"),
        *(option for option in RLIMIT_OPTIONS if option not in _NO_ULIMIT),
    ): _limits,
}
#: Options that are in the name of a service, or that a container is like anyway: it ends with its
#: main process, and all that this has started with it.
_IMPLIED = (
    *("process_name", "numprocs", "numprocs_start", "serverurl"),
    *("stopasgroup", "killasgroup", "kill_mode", "die_with_supervisor"),
)
_OUTPUT = "write to stdout and stderr; the driver of logging= keeps the lines"
_LISTENERS = "there are no event listeners"
_RETRIES = "Docker doubles the pause after each restart, and never gives up"
_REASONS = {
    **{
        f"{stream}_{option}": reason
        for stream in ("stdout", "stderr")
        for option, reason in (
            *((f"logfile{part}", _OUTPUT) for part in ("", "_maxbytes", "_backups")),
            *((f"logfile{part}", _OUTPUT) for part in ("_compress", "_mode")),
            ("syslog", "use the driver syslog of logging="),
            ("capture_maxbytes", _LISTENERS),
            ("events_enabled", _LISTENERS),
        )
    },
    **dict.fromkeys(("startretries", "startsecs", "retry_forever", "on_fatal"), _RETRIES),
    **dict.fromkeys(("backoff", "backoff_initial", "backoff_max", "backoff_jitter"), _RETRIES),
    "restart_delay": _RETRIES,
    "restart_prevent": "any end but 0 is restarted",
    "redirect_stderr": "both outputs are kept together",
    "create_log_dirs": _OUTPUT,
    "journald": "use the driver journald of logging=",
    "log_format": "the driver of logging= adds time and name",
    "priority": "the order comes from depends_on only",
    "essential": "start with docker compose up --abort-on-container-exit",
    "pre_start": "put it in front of the command",
    "post_stop": "nothing runs after the end of a container",
    "hook_timeout": "there are no such commands",
    "refresh_command": "use docker compose exec",
    "refresh_signal": "use docker compose kill -s",
    "dump_signal": "nothing follows when it is unhealthy",
    "umask": "put umask in front of the command",
    "nice": "put nice in front of the command; cpu_shares is for containers",
    "rlimit_as": "Docker cannot set this limit; see mem_limit",
    "ignore_sigpipe": "SIGPIPE has its default effect",
    "user_env": "HOME is that of the user in the image",
    "socket": "a container inherits no socket; let the program listen itself",
    "socket_mode": "a container inherits no socket",
    "socket_backlog": "a container inherits no socket",
    "socket_owner": "a container inherits no socket",
}


def _duration(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def _name(service: str) -> str:
    return service.replace(":", "_")


def _list(items: Iterable[str]) -> str:
    return json.dumps([_literal(item) for item in items], ensure_ascii=False)


def _string(text: str) -> str:
    return json.dumps(_literal(text), ensure_ascii=False)


def _literal(text: str) -> str:
    """Return text in which compose replaces no variable."""
    return text.replace("$", "$$")
