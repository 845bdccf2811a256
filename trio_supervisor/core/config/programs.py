"""Processes and groups from program-like sections (config.md 5.5, 8.5 to 8.8, 9)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trio_supervisor.core.config.converters import SYSLOG
from trio_supervisor.core.config.environment import parse_environment
from trio_supervisor.core.config.evaluate import Problems
from trio_supervisor.core.config.ini import Grammar
from trio_supervisor.core.config.model import (
    AUTO,
    Auto,
    Autorestart,
    ChannelConfig,
    EventLength,
    FastCgiSocket,
    GroupConfig,
    GroupKind,
    PoolConfig,
    ProcessConfig,
)
from trio_supervisor.core.diagnostics import Diagnostic, Place, Severity
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.core.events import EVENT_TYPES, ProcessLogStderr
from trio_supervisor.core.listener import header_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.core.config.evaluate import Scope

#: What may not occur in the name of a program, a group, or a raw process_name (9.1).
FORBIDDEN_IN_NAMES = " :/"
#: As many as Linux runs by default in all; a slip of the finger must not take all memory.
MOST_PROCESSES = 32768
#: A process_name that tells the processes of a section apart.
NUMBERED = {
    Grammar.PERCENT: "%(program_name)s_%(process_num)02d",
    Grammar.DOLLAR: '"${program_name}_${process_num:02d}"',
}
#: Largest length of a socket's queue (7, socket_backlog).
MOST_BACKLOG = 65535


def checked_name(scope: Scope, name: str, option: str | None = None) -> str:
    """The trimmed name of a section, or of what an option gives. Raises ConfigError (E34, Q46)."""
    name = name.strip()
    bad = next((character for character in name if character in FORBIDDEN_IN_NAMES), None)
    what = option or "name"
    if not name:
        raise scope.error(f"Invalid {what}: it is empty", option, "give it a name")
    if bad is not None:
        hint = "leave out blanks, colons and slashes"
        raise scope.error(f"Invalid {what}: {name!r} because of character: {bad!r}", option, hint)
    return name


class Programs:
    """Builds processes; ``messages`` collects what is to be logged."""

    def __init__(self, environment: Mapping[str, str], messages: list[Diagnostic]) -> None:
        self._environment = environment
        self._messages = messages

    def processes(self, scope: Scope, program: str, group: str) -> tuple[ProcessConfig, ...]:
        """All processes of a section, sorted by priority and name. Raises ConfigError."""
        scope = scope.with_names({"program_name": program, "group_name": group})
        socket = self._socket(scope) if "socket" in scope.options else None
        common, numbers = self._common(scope)
        if scope.has("process_name"):
            try:
                checked_name(scope, scope.literal("process_name"), "process_name")
            except ConfigError as error:
                scope.problems.add(error)
        if len(numbers) > 1 and not scope.has_process_number("process_name"):
            scope.problem(
                "%(process_num) must be present within process_name when numprocs > 1",
                "process_name",
                f"write process_name={scope.spelled(NUMBERED)}",
            )
        if common.stopasgroup and not common.killasgroup:
            scope.problem(
                "cannot set stopasgroup=true and killasgroup=false",
                "killasgroup",
                "leave it out: SIGKILL must reach whom the stop signal reached",
            )
        count = len(numbers)
        built = [
            self._process(scope.with_names({"process_num": n, "numprocs": count}), common, socket)
            for n in numbers
        ]
        return tuple(sorted(built, key=lambda process: (process.priority, process.name)))

    def can_have_socket(self, scope: Scope, program: str, group: str) -> bool:
        """Whether a FastCGI program may keep its socket in a group (Q50).

        The reference gives it none there and never looks at these options: that they are wrong is
        no error, it runs without.
        """
        named = scope.with_names({"program_name": program, "group_name": group})
        tried = replace(named, problems=Problems())
        self._socket(tried)
        for error in tried.problems.errors:
            self._warn(
                scope, f"[{scope.section.name}] in group {group} runs without a socket: {error}"
            )
        return not tried.problems.errors

    def group(self, scope: Scope, program: str, kind: GroupKind) -> GroupConfig:
        """The group that a program section forms by itself."""
        named = scope.with_names({"program_name": program, "group_name": program})
        pool = self._pool(named) if kind is GroupKind.POOL else None
        priority = named.take("priority", int)
        group = GroupConfig(
            name=program,
            processes=self.processes(scope, program, program),
            priority=priority,
            kind=kind,
            pool=pool,
            section=scope.section.name,
        )
        if pool is not None:
            self._check_pool(scope, group, pool)
        return group

    def _common(self, scope: Scope) -> tuple[ProcessConfig, range]:
        """The section-stage options, with a name and a command still to come; process numbers.

        In the order of the contract (10, step 5), so that the first error is the reference's.
        """
        priority = scope.take("priority", int)
        if "events" in scope.options and not scope.has("priority"):
            priority = 999  # a pool's default is its own, not that of its processes (8.7)
        common = ProcessConfig(
            name="",
            command="",
            priority=priority,
            autostart=scope.take("autostart", bool),
            autorestart=scope.take("autorestart", Autorestart),
            startsecs=scope.take("startsecs", int),
            startretries=scope.take("startretries", int),
            stopsignal=scope.take("stopsignal", int),
            stopwaitsecs=scope.take("stopwaitsecs", int),
            stopasgroup=(stopasgroup := scope.take("stopasgroup", bool)),
            killasgroup=scope.take("killasgroup", bool)
            or (stopasgroup and not scope.has("killasgroup")),
            exitcodes=scope.take("exitcodes", tuple),
            redirect_stderr=scope.take("redirect_stderr", bool),
            section=scope.section.name,
        )
        count = scope.take("numprocs", int)
        if count > MOST_PROCESSES:
            scope.problem(f"numprocs={count} is more than {MOST_PROCESSES}", "numprocs", "use less")
            count = 1
        first = scope.take("numprocs_start", int)
        stdout, stderr = (
            ChannelConfig(
                capture_maxbytes=scope.take(f"{name}_capture_maxbytes", int),
                events_enabled=scope.take(f"{name}_events_enabled", bool),
            )
            for name in ("stdout", "stderr")
        )
        serverurl = scope.take("serverurl", str)
        common = replace(
            common,
            stdout=stdout,
            stderr=stderr,
            serverurl=AUTO if serverurl.upper() == "AUTO" else serverurl,
            uid=scope.find("user", int),
            umask=scope.find("umask", int),
            ignore_sigpipe=scope.take("ignore_sigpipe", bool),
        )
        return common, range(first, first + count)

    def _process(
        self, scope: Scope, common: ProcessConfig, socket: FastCgiSocket | None
    ) -> ProcessConfig:
        own = environment_of(scope)
        scope = scope.with_names({f"ENV_{name}": value for name, value in own.items()})
        directory = scope.find("directory", str)
        stdout = self._channel(scope, "stdout", common.stdout)
        stderr = self._channel(scope, "stderr", common.stderr)
        command = scope.find("command", str)
        if command is None and not scope.has("command"):
            scope.problem(
                f"program section {scope.section.name} does not specify a command",
                hint="add command= with the program to run",
            )
        name = scope.take("process_name", str)
        if common.redirect_stderr:
            if isinstance(stderr.logfile, str) and stderr.logfile:
                self._warn(
                    scope,
                    f"For [{scope.section.name}], redirect_stderr=true but stderr_logfile has "
                    f"also been set to a filename, the filename has been ignored",
                )
            stderr = replace(stderr, logfile=None)
        return replace(
            common,
            name=name,
            command=command or "",
            directory=directory,
            environment={**self._environment, **own},
            stdout=stdout,
            stderr=stderr,
            socket=socket,
        )

    def _channel(self, scope: Scope, name: str, common: ChannelConfig) -> ChannelConfig:
        logfile = scope.value(f"{name}_logfile", twice=True)
        backups = scope.take(f"{name}_logfile_backups", int)
        maxbytes = scope.take(f"{name}_logfile_maxbytes", int)
        syslog = scope.take(f"{name}_syslog", bool)
        if logfile == SYSLOG:
            self._warn(
                scope,
                f"For [{scope.section.name}], {name}_logfile=syslog is deprecated: "
                f"use {name}_syslog=true and {name}_logfile=NONE",
            )
            logfile, syslog = None, True
        if logfile is AUTO and maxbytes == 0:
            self._warn(
                scope,
                f"For [{scope.section.name}], AUTO logging used for {name}_logfile "
                "without rollover, set maxbytes > 0 to avoid filling up filesystem unintentionally",
            )
        return replace(
            common,
            logfile=logfile if isinstance(logfile, (str, Auto)) else None,
            maxbytes=maxbytes,
            backups=backups,
            syslog=syslog,
        )

    def _pool(self, scope: Scope) -> PoolConfig:
        name = scope.section.name
        size = scope.take("buffer_size", int)
        if size < 1:
            text = f"[{name}] section sets invalid buffer_size ({size})"
            scope.problem(text, "buffer_size", "use 1 or more")
        handler = scope.take("result_handler", str)
        events = scope.find("events", frozenset)
        if not events and (events is not None or not scope.raw("events")):
            hint = "write events=PROCESS_STATE, or other event types"
            scope.problem(f'[{name}] section requires an "events" line', None, hint)
        if scope.take("redirect_stderr", bool):
            scope.problem(
                f"[{name}] section sets redirect_stderr=true but this is not allowed because it "
                "will interfere with the eventlistener protocol",
                "redirect_stderr",
                "leave it out, stderr has a log of its own",
            )
        return PoolConfig(
            events=events or frozenset(),
            buffer_size=size,
            result_handler=handler,
            event_len=scope.take("event_len", EventLength),
        )

    def _check_pool(self, scope: Scope, group: GroupConfig, pool: PoolConfig) -> None:
        """Warn of what works but surprises."""
        name = scope.section.name
        if header_token(group.name) != group.name:
            self._warn(
                scope,
                f"For [{name}], listeners see the pool's name as {header_token(group.name)}: "
                "blanks and colons cannot stand in the header of an event",
            )
        hears_stderr = any(issubclass(ProcessLogStderr, EVENT_TYPES[name]) for name in pool.events)
        if hears_stderr and any(p.stderr.events_enabled for p in group.processes):
            self._warn(
                scope,
                f"For [{name}], stderr_events_enabled=true makes an event of all that a listener "
                "writes to stderr, and events= sends it to the listeners: they can feed themselves "
                "for ever",
            )

    def _socket(self, scope: Scope) -> FastCgiSocket | None:
        """None if there is none that could be opened, which is a problem."""
        name = scope.section.name
        if not scope.raw("socket"):
            hint = "write socket=unix:///absolute/path or socket=tcp://host:port"
            scope.problem(f'[{name}] section requires a "socket" line', None, hint)
            return None
        url = scope.find("socket", str)
        backlog = scope.find("socket_backlog", int)
        if backlog is not None and not 1 <= backlog <= MOST_BACKLOG:
            text = f"socket_backlog {backlog} is not in 1 to {MOST_BACKLOG}"
            scope.problem(text, "socket_backlog", "leave it out for what the system allows")
        for option in ("socket_owner", "socket_mode"):
            if url is not None and url.startswith("tcp:") and scope.has(option):
                hint = "leave it out, or use unix:///absolute/path"
                scope.problem(f"{option} is only for unix sockets", option, hint)
        owner = scope.find("socket_owner", tuple)
        mode = scope.take("socket_mode", int)
        return None if url is None else FastCgiSocket(url, backlog, owner, mode)

    def _warn(self, scope: Scope, text: str) -> None:
        place = Place(section=scope.section.name)
        self._messages.append(Diagnostic(Severity.WARN, text, place))


def environment_of(scope: Scope, *, twice: bool = False) -> dict[str, str]:
    """The section's ``environment=``; one that makes no sense (E14) is empty and a problem."""
    table = scope.table("environment")
    if table is not None:
        return table
    try:
        return parse_environment(scope.text("environment", twice=twice) or "")
    except ValueError as error:
        scope.problems.add(scope.error(str(error.args[0]), "environment", *error.args[1:]))
        return {}
