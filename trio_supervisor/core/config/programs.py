"""Builds programs, their processes and their groups from sections."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from trio_supervisor.core.config.converters import SYSLOG, user_and_group
from trio_supervisor.core.config.environment import parse_environment
from trio_supervisor.core.config.evaluate import Diagnostics, variables
from trio_supervisor.core.config.ini import DEFAULT, Document, Grammar, Section
from trio_supervisor.core.config.model import (
    AUTO,
    Autorestart,
    EventLength,
    FastCgiSocket,
    GroupConfig,
    GroupKind,
    LogFormat,
    PoolConfig,
    ProcessConfig,
    Program,
    Template,
    in_start_order,
)
from trio_supervisor.core.config.names import why_invalid
from trio_supervisor.core.config.options import PROGRAM, PROGRAM_DEFAULT, WITH_DEFAULTS, filled
from trio_supervisor.core.config.policies import contradictions
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.diagnostics import Diagnostic, Place, Severity
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.core.events import EVENT_TYPES, ProcessLogStderr
from trio_supervisor.core.listener import header_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_supervisor.core.config.evaluate import SectionReader
    from trio_supervisor.core.config.model import DaemonConfig

#: Most processes of a section: as many as Linux runs by default in all. A typing error must not
#: take all memory.
MOST_PROCESSES = 32768
#: A process_name that is different for each process of a section.
NUMBERED = {
    Grammar.PERCENT: "%(program_name)s_%(process_num)02d",
    Grammar.DOLLAR: '"${program_name}_${process_num:02d}"',
}
NOT_NUMBERED = "%(process_num) must be present within process_name when numprocs > 1"
#: Largest length of a socket's queue.
MOST_BACKLOG = 65535


def checked_name(reader: SectionReader, name: str, option: str | None = None) -> str:
    """The trimmed name of a section, or of what an option gives. Raises ConfigError."""
    name = name.strip()
    reason = why_invalid(name)
    if reason is not None:
        hint = "leave out blanks, colons and slashes" if name else "give it a name"
        raise reader.error(f"Invalid {option or 'name'}: {reason}", option, hint)
    return name


#: Options that are evaluated once for a section, in Supervisor's order: of several errors the
#: first is the one that Supervisor reports.
_OF_SECTION = (
    *("priority", "autostart", "autorestart", "startsecs", "startretries", "stopsignal"),
    *("stopwaitsecs", "stopasgroup", "killasgroup", "exitcodes", "redirect_stderr"),
    *("numprocs", "numprocs_start", "stdout_capture_maxbytes", "stdout_events_enabled"),
    *("stderr_capture_maxbytes", "stderr_events_enabled", "serverurl", "user", "umask"),
    "ignore_sigpipe",
)
#: Options that are evaluated for each process, which may use its number and its environment: in
#: Supervisor's order, then those that Supervisor does not have.
_SUPERVISORS_OF_PROCESS = (
    "directory",
    *(
        f"{channel}_{option}"
        for channel in ("stdout", "stderr")
        for option in ("logfile", "logfile_backups", "logfile_maxbytes", "syslog")
    ),
    *("command", "process_name"),
)
_OF_PROCESS = (
    *_SUPERVISORS_OF_PROCESS,
    *(
        option.name
        for option in PROGRAM
        if option.name not in {*_OF_SECTION, *_SUPERVISORS_OF_PROCESS, "environment"}
        and not option.extended
    ),
)
#: More of them, without values for sections that do not write them: the defaults of the model are
#: shared by all processes. As a dict, because it has an order.
_IF_WRITTEN = dict.fromkeys(option.name for option in PROGRAM if option.extended)
_EACH_PROCESS = (*_OF_PROCESS, *_IF_WRITTEN)

#: Options that are evaluated for every section: where they are not written, their value depends on
#: names or on other options, or that is an error.
_ALWAYS = frozenset({"killasgroup", "command", "process_name"})

#: By name of the option.
Values = MutableMapping[str, object]


def _priority(reader: SectionReader, _: Values) -> object:
    if "events" in reader.options and not reader.has("priority"):
        return 999  # the default of a pool is its own, not that of its processes
    return reader.value("priority")


def _killasgroup(reader: SectionReader, values: Values) -> object:
    """SIGKILL must reach every process that the stop signal reached."""
    written = reader.value("killasgroup")
    return written or (values["stopasgroup"] and not reader.has("killasgroup"))


def _numprocs(reader: SectionReader, _: Values) -> object:
    count = reader.take("numprocs", int)
    if count > MOST_PROCESSES:
        reader.add_error(f"numprocs={count} is more than {MOST_PROCESSES}", "numprocs", "use less")
        return 1
    return count


def _serverurl(reader: SectionReader, _: Values) -> object:
    url = reader.take("serverurl", str)
    return AUTO if url.upper() == "AUTO" else url


def _logfile(reader: SectionReader, name: str) -> object:
    """The directory of a log must exist, unless it will be made."""
    if reader.has("create_log_dirs") and reader.value("create_log_dirs") is True:
        context = replace(reader.context, is_dir=lambda _: True)
        reader = replace(reader, context=context, defaults={})
    return reader.value(name)


def _command(reader: SectionReader, _: Values) -> object:
    command = reader.value("command")
    if command is None and not reader.has("command"):
        reader.add_error(
            f"program section {reader.section.name} does not specify a command",
            hint="add command= with the program to run",
        )
    return command or ""


#: Options that a one-shot program cannot have, with the reason.
NOT_OF_ONESHOT = {
    "autorestart": "it is started again until it exits as expected, and not after that",
    "startsecs": "it has succeeded when it exits as expected, however long it has lived",
    "ready": "it is done when it exits",
    "health": "it is done when it exits",
}


def _make_oneshot(reader: SectionReader, values: Values) -> None:
    """Give a one-shot program the only values of these options that make sense for it."""
    for name, why in NOT_OF_ONESHOT.items():
        entry = reader.section.entries.get(name)
        if entry is not None and not entry.is_default:  # as a default it is meant for the others
            reader.add_error(f"a oneshot has no {name}: {why}", name, "leave it out")
    values["startsecs"], values["autorestart"] = 0, Autorestart.UNEXPECTED


#: Values of a program that belong to several options, or to a part of one.
GROUP, OWN_ENVIRONMENT = "group of user", "own environment"


def _user(reader: SectionReader, values: Values) -> object:
    """The user; the group too, where the file may have one."""
    if not reader.is_extended("user"):
        return reader.value("user")
    both = reader.converted("user", user_and_group)
    if not isinstance(both, tuple):
        return None
    uid, gid = both
    if gid is not None:
        values[GROUP] = gid
    return uid


#: Options whose value depends on more than their text.
_SPECIAL: dict[str, Callable[[SectionReader, Values], object]] = {
    "priority": _priority,
    "killasgroup": _killasgroup,
    "numprocs": _numprocs,
    "serverurl": _serverurl,
    "command": _command,
    "stdout_logfile": lambda reader, _: _logfile(reader, "stdout_logfile"),
    "stderr_logfile": lambda reader, _: _logfile(reader, "stderr_logfile"),
    "user": _user,
}


def _evaluated(reader: SectionReader, names: Iterable[str], values: Values) -> None:
    """Add the values of some options, in this order."""
    for name in names:
        special = _SPECIAL.get(name)
        values[name] = reader.value(name) if special is None else special(reader, values)


@dataclass(frozen=True, slots=True)
class Unwritten:
    """What programs of one kind have where their sections write nothing.

    Most values of most programs are these, so only the others are evaluated for each of them.
    """

    values: Values
    process: ProcessConfig

    def and_written(self, reader: SectionReader, names: Iterable[str]) -> ChainMap[str, object]:
        """The values of some options; the first of the two maps has those of the section."""
        keys = reader.document.keys(reader.section)
        values = ChainMap({}, self.values)
        _evaluated(reader, [name for name in names if name in keys or name in _ALWAYS], values)
        return values


#: Options of a program and their fields of ProcessConfig, as far as it keeps them.
_PATHS = {option.name: option.path for option in PROGRAM if option.path is not None} | {
    GROUP: "identity.gid",
    OWN_ENVIRONMENT: "identity.own",
}


def _at_fields(values: Values) -> Values:
    """Values by the fields of ProcessConfig, without those that it does not keep."""
    return {_PATHS[name]: value for name, value in values.items() if name in _PATHS}


def _unwritten(reader: SectionReader, log_format: LogFormat) -> Unwritten:
    """What the section of a reader would have if it were empty."""
    empty = replace(
        reader, document=Document(), section=Section("", "", 0), diagnostics=Diagnostics()
    )
    values: Values = {}
    _evaluated(empty, (*_OF_SECTION, *_OF_PROCESS), values)
    blank = ProcessConfig("", "", log_format=log_format)
    return Unwritten(values, filled(blank, _at_fields(values)))


@dataclass(frozen=True, slots=True)
class Single:
    """Makes the only process of a program whose ``process_name`` has no number."""

    only: ProcessConfig

    def process(self, number: int, count: int) -> ProcessConfig:
        """The process. Raises ConfigError for more than one."""
        if count > 1:
            raise ConfigError(NOT_NUMBERED, section=self.only.section, option="process_name")
        return self.only


@dataclass(frozen=True, slots=True)
class SectionTemplate:
    """Makes the processes of a program from its section."""

    reader: SectionReader
    """Knows the names of the program and of the group."""
    common: ChainMap[str, object]
    """Values of the options that are evaluated once for the section."""
    unwritten: Unwritten
    socket: FastCgiSocket | None
    inherited: DaemonConfig
    """The section whose values are those of programs that have none of their own."""

    def process(self, number: int, count: int) -> ProcessConfig:
        """Process ``number`` of a program of ``count`` processes.

        Raises ConfigError, for the first option that is wrong.
        """
        diagnostics = Diagnostics()
        process = self.evaluated(number, count, diagnostics, [], {})
        if diagnostics.errors:
            raise diagnostics.errors[0]
        return process

    def alone(self) -> SectionTemplate:
        """The same, without what belongs to other sections of the document."""
        document = self.reader.document
        own = (self.reader.section.name, DEFAULT, PROGRAM_DEFAULT)
        sections = {name: document.sections[name] for name in own if name in document.sections}
        alone = Document(
            document.file,
            sections,
            extended=document.extended,
            not_inherited=document.not_inherited,
        )
        return replace(self, reader=replace(self.reader, document=alone, diagnostics=Diagnostics()))

    def evaluated(
        self,
        number: int,
        count: int,
        diagnostics: Diagnostics,
        warnings: list[Diagnostic],
        environments: dict[str, dict[str, str]],
    ) -> ProcessConfig:
        """Like ``process``, but errors are added to ``diagnostics`` and defaults used instead.

        ``environments`` has the variables of texts that another process of the section has too.
        """
        numbers: dict[str, str | int] = {"process_num": number, "numprocs": count}
        reader = self.reader.with_names(numbers, diagnostics)
        own = environment_of(reader, environments)
        common = self._default_environment(reader, environments)
        if own or common:
            reader = reader.with_names(variables({**common, **own}))
        values = self.unwritten.and_written(reader, _EACH_PROCESS)
        for channel in ("stdout", "stderr"):
            self._check_channel(channel, values, warnings)
        if self.common["redirect_stderr"]:
            if isinstance(values["stderr_logfile"], str) and values["stderr_logfile"]:
                text = (
                    f"For [{reader.section.name}], redirect_stderr=true but stderr_logfile has "
                    f"also been set to a filename, the filename has been ignored"
                )
                warnings.append(_warning(reader, text))
            values["stderr_logfile"] = None
        if values.get("oneshot"):
            _make_oneshot(reader, values)
        environment = self.inherited.environment
        values["environment"] = {**environment, **common, **own} if own or common else environment
        if values.get("environment_file"):
            values[OWN_ENVIRONMENT] = own
        fields = _at_fields({**self.common.maps[0], **values.maps[0]})
        fields.update(socket=self.socket, section=reader.section.name)
        process = filled(self.unwritten.process, fields)
        if not _IF_WRITTEN.keys().isdisjoint(values.maps[0]):
            for mistake in contradictions(process):
                reader.add_error(mistake.text, mistake.option, mistake.hint)
        return process

    def _default_environment(
        self, reader: SectionReader, environments: dict[str, dict[str, str]]
    ) -> dict[str, str]:
        """The ``environment`` of ``[program-default]`` for this process."""
        defaults = reader.document.sections.get(PROGRAM_DEFAULT)
        if defaults is None or reader.section.name.partition(":")[0] not in WITH_DEFAULTS:
            return {}
        return environment_of(replace(reader, section=defaults), environments)

    def _check_channel(self, name: str, values: Values, warnings: list[Diagnostic]) -> None:
        logfile, section = f"{name}_logfile", self.reader.section.name
        if values[logfile] == SYSLOG:
            text = (
                f"For [{section}], {logfile}=syslog is deprecated: "
                f"use {name}_syslog=true and {logfile}=NONE"
            )
            warnings.append(_warning(self.reader, text))
            values[logfile], values[f"{name}_syslog"] = None, True
        if values[logfile] is AUTO and values[f"{logfile}_maxbytes"] == 0:
            text = (
                f"For [{section}], AUTO logging used for {logfile} "
                "without rollover, set maxbytes > 0 to avoid filling up filesystem unintentionally"
            )
            warnings.append(_warning(self.reader, text))


class ProgramBuilder:
    """Builds programs and their processes; ``messages`` collects what is to be logged."""

    def __init__(self, daemon: DaemonConfig, messages: list[Diagnostic]) -> None:
        self._daemon = daemon
        self._messages = messages
        self._unwritten: dict[str, Unwritten] = {}

    def program(
        self, reader: SectionReader, name: str, group: str
    ) -> tuple[Program, tuple[ProcessConfig, ...]]:
        """The program of a section and all its processes, sorted by priority and name.

        Raises ConfigError.
        """
        reader = reader.with_names({"program_name": name, "group_name": group})
        socket = self._socket(reader) if "socket" in reader.options else None
        kind = reader.section.name.partition(":")[0]
        if kind not in self._unwritten:
            self._unwritten[kind] = _unwritten(reader, self._daemon.log_format)
        unwritten = self._unwritten[kind]
        values = unwritten.and_written(reader, _OF_SECTION)
        count, first = cast("int", values["numprocs"]), cast("int", values["numprocs_start"])
        if reader.has("process_name"):
            try:
                checked_name(reader, reader.literal("process_name"), "process_name")
            except ConfigError as error:
                reader.diagnostics.add(error)
        if count > 1 and not reader.has_process_number("process_name"):
            reader.add_error(
                NOT_NUMBERED,
                "process_name",
                f"write process_name={reader.spelled(NUMBERED)}",
            )
        if values["stopasgroup"] and not values["killasgroup"]:
            reader.add_error(
                "cannot set stopasgroup=true and killasgroup=false",
                "killasgroup",
                "leave it out: SIGKILL must reach the processes that the stop signal reached",
            )
        template = SectionTemplate(reader, values, unwritten, socket, self._daemon)
        environments: dict[str, dict[str, str]] = {}
        processes = in_start_order(
            template.evaluated(number, count, reader.diagnostics, self._messages, environments)
            for number in range(first, first + count)
        )
        # What a program keeps for further processes is memory for as long as the daemon runs.
        is_single = count == 1 and not reader.has_process_number("process_name")
        kept: Template = Single(processes[0]) if is_single else template.alone()
        return Program(name, kept, count, first, reader.section.name), processes

    def can_have_socket(self, reader: SectionReader, program: str, group: str) -> bool:
        """Whether a FastCGI program in a group can have its socket.

        Supervisor gives it none there and does not read these options, so wrong ones are no error:
        the program runs without a socket.
        """
        named = reader.with_names({"program_name": program, "group_name": group})
        tried = replace(named, diagnostics=Diagnostics())
        self._socket(tried)
        for error in tried.diagnostics.errors:
            self._warn(
                reader, f"[{reader.section.name}] in group {group} runs without a socket: {error}"
            )
        return not tried.diagnostics.errors

    def group(self, reader: SectionReader, program: str, kind: GroupKind) -> GroupConfig:
        """The group that a program section forms by itself."""
        named = reader.with_names({"program_name": program, "group_name": program})
        pool = self._pool(named) if kind is GroupKind.POOL else None
        priority = named.take("priority", int)
        made, processes = self.program(reader, program, program)
        group = GroupConfig(
            name=program,
            processes=processes,
            programs=(made,),
            priority=priority,
            kind=kind,
            pool=pool,
            section=reader.section.name,
        )
        if pool is not None:
            self._check_pool(reader, group, pool)
        return group

    def _pool(self, reader: SectionReader) -> PoolConfig:
        name = reader.section.name
        size = reader.take("buffer_size", int)
        if size < 1:
            text = f"[{name}] section sets invalid buffer_size ({size})"
            reader.add_error(text, "buffer_size", "use 1 or more")
        handler = reader.take("result_handler", str)
        events = reader.find("events", frozenset)
        if not events and (events is not None or not reader.raw("events")):
            hint = "write events=PROCESS_STATE, or other event types"
            reader.add_error(f'[{name}] section requires an "events" line', None, hint)
        if reader.take("redirect_stderr", bool):
            reader.add_error(
                f"[{name}] section sets redirect_stderr=true but this is not allowed because it "
                "will interfere with the eventlistener protocol",
                "redirect_stderr",
                "leave it out, stderr has a log of its own",
            )
        return PoolConfig(
            events=events or frozenset(),
            buffer_size=size,
            result_handler=handler,
            event_len=reader.take("event_len", EventLength),
        )

    def _check_pool(self, reader: SectionReader, group: GroupConfig, pool: PoolConfig) -> None:
        """Warn of what works but is probably not meant."""
        name = reader.section.name
        if header_token(group.name) != group.name:
            self._warn(
                reader,
                f"For [{name}], listeners see the pool's name as {header_token(group.name)}: "
                "blanks and colons cannot stand in the header of an event",
            )
        hears_stderr = any(issubclass(ProcessLogStderr, EVENT_TYPES[name]) for name in pool.events)
        if hears_stderr and any(p.stderr.events_enabled for p in group.processes):
            self._warn(
                reader,
                f"For [{name}], stderr_events_enabled=true makes an event of all that a listener "
                "writes to stderr, and events= sends it to the listeners: this can be an endless "
                "loop",
            )

    def _socket(self, reader: SectionReader) -> FastCgiSocket | None:
        """The socket of a FastCGI program; None after an error."""
        name = reader.section.name
        if not reader.raw("socket"):
            hint = "write socket=unix:///absolute/path or socket=tcp://host:port"
            reader.add_error(f'[{name}] section requires a "socket" line', None, hint)
            return None
        url = reader.find("socket", str)
        backlog = reader.find("socket_backlog", int)
        if backlog is not None and not 1 <= backlog <= MOST_BACKLOG:
            text = f"socket_backlog {backlog} is not in 1 to {MOST_BACKLOG}"
            reader.add_error(text, "socket_backlog", "leave it out for what the system allows")
        for option in ("socket_owner", "socket_mode"):
            if url is not None and url.startswith("tcp:") and reader.has(option):
                hint = "leave it out, or use unix:///absolute/path"
                reader.add_error(f"{option} is only for unix sockets", option, hint)
        owner = reader.find("socket_owner", tuple)
        mode = reader.take("socket_mode", int)
        return None if url is None else FastCgiSocket(url, backlog, owner, mode)

    def _warn(self, reader: SectionReader, text: str) -> None:
        self._messages.append(_warning(reader, text))


def _warning(reader: SectionReader, text: str) -> Diagnostic:
    return Diagnostic(Severity.WARN, text, Place(section=reader.section.name))


def environment_of(
    reader: SectionReader, known: dict[str, dict[str, str]] | None = None
) -> dict[str, str]:
    """The section's ``environment=``; if it is wrong, an error is added and it is empty.

    ``known`` has the variables of some texts, and those of this one afterwards.
    """
    table = reader.table("environment")
    if table is not None:
        return table
    text = reader.text("environment") or ""
    if not text:
        return {}
    if known is not None and text in known:
        return known[text]
    try:
        pairs = parse_environment(text)
    except ValueError as error:
        reader.diagnostics.add(reader.error(str(error.args[0]), "environment", *error.args[1:]))
        return {}
    if known is not None:
        known[text] = pairs
    return pairs
