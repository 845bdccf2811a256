"""Builds the configuration from the sections of a document.

Sections and options are evaluated in Supervisor's order, so that the first error is the one that
Supervisor reports.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from trio_supervisor.core.config.evaluate import Diagnostics, SectionReader, variables
from trio_supervisor.core.config.extended import is_extended, without_unread
from trio_supervisor.core.config.ini import DEFAULT, Document, Entry, Section
from trio_supervisor.core.config.lint import kind_of, lint
from trio_supervisor.core.config.model import (
    Config,
    DaemonConfig,
    GroupConfig,
    GroupKind,
    ProcessConfig,
    Program,
    RpcInterface,
    Server,
    in_start_order,
)
from trio_supervisor.core.config.options import MAIN_FACTORY, ROWS, SUPERVISORD, Option, filled
from trio_supervisor.core.config.program_default import (
    mistakes,
    with_defaults,
    without_unread_defaults,
)
from trio_supervisor.core.config.programs import ProgramBuilder, checked_name, environment_of
from trio_supervisor.core.config.servers import inet_server, unix_server
from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.core.config.value_types import STRING
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.diagnostics import Diagnostic, Place, Severity
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.core.listener import header_token

if TYPE_CHECKING:
    from trio_supervisor.core.config.context import EvalContext

    Names = ChainMap[str, str | int]

T = TypeVar("T")

FACTORY = "supervisor.rpcinterface_factory"
#: How errors call an option given on the command line.
COMMAND_LINE = "command line"
#: Options of ``[supervisord]`` in Supervisor's order of evaluation, then those that Supervisor does
#: not have: of several errors the first is the one that Supervisor reports.
_SUPERVISORS = (
    *("minfds", "minprocs", "directory", "umask", "logfile", "logfile_maxbytes"),
    *("logfile_backups", "loglevel", "pidfile", "identifier", "nodaemon", "silent"),
    *("childlogdir", "nocleanup", "strip_ansi"),
)
_LAST = ("environment", "user")
_DAEMON_ORDER = (
    *_SUPERVISORS,
    *(row.name for row in SUPERVISORD if row.name not in (*_SUPERVISORS, *_LAST)),
    *_LAST,
)
#: Section kinds that make processes, in the order in which they are built.
KINDS = {
    "program": GroupKind.PLAIN,
    "eventlistener": GroupKind.POOL,
    "fcgi-program": GroupKind.FCGI,
}


def build(
    document: Document, context: EvalContext, *, overrides: Mapping[str, str], here: str
) -> Config:
    """The configuration of a document that has all its includes. Raises ConfigError.

    ``overrides`` are options of ``[supervisord]`` given on the command line; they are not expanded.
    """
    examined = examine(document, context, overrides=overrides, here=here)
    if examined.config is None:
        raise examined.errors[0]
    return replace(examined.config, messages=(*examined.config.messages, *examined.remarks))


@dataclass(frozen=True, slots=True)
class Examined:
    """All that evaluating a document has found."""

    document: Document
    config: Config | None
    """None if there is an error."""
    partial: Config
    """The configuration in spite of errors, with the default in place of each wrong value."""
    errors: list[ConfigError]
    """In order of evaluation: the first is the one that Supervisor would report."""
    remarks: list[Diagnostic]


def examine(
    document: Document, context: EvalContext, *, overrides: Mapping[str, str], here: str
) -> Examined:
    """All errors and remarks of a document that has all its includes. Raises no ConfigError."""
    written = as_read(document, context, here)
    document = with_defaults(written)
    builder = _Builder(document, context, overrides, here)
    config = builder.build()
    errors = [*document.errors, *mistakes(document), *builder.diagnostics.errors]
    dependency_errors, dependency_remarks = _dependencies(document, config, is_complete=not errors)
    errors += dependency_errors
    sound = None if errors else config
    remarks = lint(written, sound, context, builder.environment)
    if sound is not None:
        remarks += dependency_remarks
    return Examined(document, sound, config, errors, remarks)


def as_read(document: Document, context: EvalContext, here: str) -> Document:
    """The document without what its files may not have; remarks tell what was left out."""
    document = without_unread(document, extended=reads_extended(document, context, here))
    return without_unread_defaults(document)


def _dependencies(
    document: Document, config: Config, *, is_complete: bool
) -> tuple[list[ConfigError], list[Diagnostic]]:
    """Errors and remarks about ``depends_on``."""
    processes = (process for group in config.groups for process in group.processes)
    if not any(process.dependencies.needs for process in processes):
        return [], []
    # Imported here because few configurations have dependencies.
    from trio_supervisor.core.dependencies.check import errors_of, remarks_of
    from trio_supervisor.core.dependencies.graph import make_graph

    graph = make_graph(config.groups)
    errors = list(errors_of(document, graph, is_complete=is_complete))
    return errors, [] if graph.problems else list(remarks_of(document, graph))


def reads_extended(document: Document, context: EvalContext, here: str) -> bool:
    """Whether the document's INI files may use extended options."""
    section = document.sections.get("supervisord")
    if section is None:
        return False
    names = names_of(context, here)
    return is_extended(SectionReader(document, section, ROWS["supervisord"], names, context))


class _Builder:
    def __init__(
        self, document: Document, context: EvalContext, overrides: Mapping[str, str], here: str
    ) -> None:
        self._document = document
        self._context = context
        self._overrides = overrides
        self.diagnostics = Diagnostics()
        self._messages: list[Diagnostic] = []
        self._start = names_of(context, here)
        self._names = self._start
        self._defaults: dict[str, dict[str, object]] = {}

    def build(self) -> Config:
        daemon = self._daemon()
        self._names = ChainMap(variables(daemon.environment), *self._start.maps)
        interfaces = self._all(self._interface, self._sections("rpcinterface"))
        groups = self._groups(ProgramBuilder(daemon, self._messages))
        if any(group.pool for group in groups):
            self._check_identifier(daemon.identifier)

        def inet(section: Section) -> Server:
            return inet_server(self._reader(section, "inet_http_server", self._names))

        def unix(section: Section) -> Server:
            return unix_server(self._reader(section, "unix_http_server", self._names))

        servers: tuple[Server, ...] = (
            *self._all(inet, self._starting("inet_http_server")),
            *self._all(unix, self._starting("unix_http_server")),
        )
        return Config(
            daemon=daemon,
            servers=servers,
            rpcinterfaces=interfaces,
            groups=in_start_order(groups),
            messages=tuple(self._messages),
        )

    def environment(self, section: Section) -> str | None:
        """The expanded text of the section's ``environment=``; None if there is none."""
        entry = section.entries.get("environment")
        kind = kind_of(section.name)
        if entry is None or entry.table is not None or kind not in ("supervisord", *KINDS):
            return None
        own = _own_name(section)
        names = self._start if kind == "supervisord" else self._names
        reader = SectionReader(
            self._document, section, ROWS[kind], names, self._context, Diagnostics()
        )
        numbers: dict[str, str | int] = {
            "process_num": 0,
            "numprocs": 1,
            "program_name": own,
            "group_name": own,
        }
        if kind != "supervisord":
            reader = reader.with_names(numbers)
        text = reader.text("environment")
        return None if reader.diagnostics.errors else text

    def _daemon(self) -> DaemonConfig:
        section = self._document.sections.get("supervisord")
        if section is None:
            section = Section("supervisord", COMMAND_LINE, 0)
            if not self._document.errors:  # else it may be in a part that could not be read
                self.diagnostics.add(
                    ConfigError(
                        ".ini file does not include supervisord section",
                        file=self._document.file,
                        hint="the smallest file that runs is a line [supervisord]",
                    )
                )
        # Options of the command line beat those of the section. They are literal text.
        given = {
            name: Entry(text.replace("%", "%%"), COMMAND_LINE, 0, str(self._start["here"]))
            for name, text in self._overrides.items()
        }
        section = replace(section, entries={**section.entries, **given})
        reader = self._reader(section, "supervisord", self._start)
        values: dict[str, object] = {}
        for name in _DAEMON_ORDER:
            special = name == "environment"
            value = environment_of(reader) if special else reader.value(name)
            path = reader.options[name].path
            if path is not None:
                values[path] = value
        values["extended"] = self._document.extended  # not if an included file says so
        values["childlogdir"] = values["childlogdir"] or self._context.tempdir()
        return filled(DaemonConfig(), values)

    def _check_identifier(self, identifier: str) -> None:
        if header_token(identifier) != identifier:
            self._messages.append(
                Diagnostic(
                    Severity.WARN,
                    f"event listeners see the identifier {identifier!r} as "
                    f"{header_token(identifier)}: blanks and colons cannot stand in the header of "
                    "an event",
                )
            )

    def _all(self, make: Callable[[Section], T], sections: Iterable[Section]) -> tuple[T, ...]:
        """Build what is valid; an error of a section is added to ``diagnostics``."""
        made = []
        for section in sections:
            try:
                made.append(make(section))
            except ConfigError as error:
                self.diagnostics.add(error)
        return tuple(made)

    def _interface(self, section: Section) -> RpcInterface:
        reader = self._reader(section, "rpcinterface", self._names)
        factory = reader.find(FACTORY, str)
        if factory is None:
            raise reader.error(
                f"section [{section.name}] does not specify a {FACTORY}",
                hint=f"write {FACTORY}=module:function",
            )
        keys = [*section.entries]
        if factory != MAIN_FACTORY and DEFAULT in self._document.sections:
            # Plugins get what they inherit from [DEFAULT], as in Supervisor; the main interface
            # would refuse such options.
            keys = [*self._document.sections[DEFAULT].entries, *keys]
        free = replace(reader, options={key: _free(key) for key in keys})
        rest = {key: free.take(key, str) for key in keys if key != FACTORY}
        return RpcInterface(_own_name(section), factory, rest)

    def _groups(self, programs: ProgramBuilder) -> tuple[GroupConfig, ...]:
        """Groups of ``[group:]`` sections first; their members form no groups of their own."""
        grouped: set[str] = set()

        def group(section: Section) -> GroupConfig:
            reader = self._reader(section, "group", self._names)
            name = checked_name(reader, _own_name(section))
            members: list[ProcessConfig] = []
            made: list[Program] = []
            names = dict.fromkeys(reader.take("programs", tuple))
            priority = reader.take("priority", int)
            for member in names:
                try:
                    kind, program = self._member(reader, name, member, programs)
                    grouped.add(program.name)
                    inner = self._reader(program, kind, self._names)
                    own_name = checked_name(inner, member)
                except ConfigError as error:
                    self.diagnostics.add(error)
                    continue
                one, processes = programs.program(inner, own_name, name)
                made.append(one)
                members += processes
            return GroupConfig(
                name, tuple(members), priority, programs=tuple(made), section=section.name
            )

        def alone(section: Section) -> GroupConfig:
            kind = section.name.partition(":")[0]
            reader = self._reader(section, kind, self._names)
            return programs.group(reader, checked_name(reader, _own_name(section)), KINDS[kind])

        made = list(self._all(group, self._sections("group")))
        for kind in KINDS:
            ungrouped = [s for s in self._sections(kind) if s.name not in grouped]
            made += self._all(alone, ungrouped)
        return tuple(made)

    def _member(
        self, reader: SectionReader, group: str, member: str, programs: ProgramBuilder
    ) -> tuple[str, Section]:
        """Kind and section of a group's member.

        Raises ConfigError if no program, or two, have this name.
        """
        found = [
            (kind, self._document.sections[f"{kind}:{member}"])
            for kind in ("program", "fcgi-program")
            if f"{kind}:{member}" in self._document.sections
        ]
        if not found:
            raise reader.error(
                f"[{reader.section.name}] names unknown program or fcgi-program {member}",
                "programs",
                self._meant_member(member),
            )
        if len(found) > 1:
            raise reader.error(
                f"[{reader.section.name}] name {member} is ambiguous (exists as program and "
                "fcgi-program)",
                "programs",
                "rename one of the two",
            )
        kind, section = found[0]
        if kind == "fcgi-program":
            # Supervisor gives FastCGI programs in groups no socket, and does not require the
            # option there: files without it run.
            socket = self._document.entry(section, "socket")
            inner = self._reader(section, kind, self._names)
            if socket is None or not socket.value:
                text = f"[{section.name}] in group {group} has no socket= and runs without one"
                self._messages.append(Diagnostic(Severity.WARN, text, Place(section=section.name)))
                kind = "program"
            elif not programs.can_have_socket(inner, member.strip(), group):
                kind = "program"
        return kind, section

    def _meant_member(self, member: str) -> str:
        """How to fix a member that does not exist."""
        if f"eventlistener:{member}" in self._document.sections:
            return "an event listener cannot be in a group, it is a group of its own"
        if len(member.split()) > 1:
            return "separate names by commas"
        if not member:
            return "remove the comma at the end"
        kinds = ("program", "fcgi-program")
        meant = suggestion(member, [_own_name(s) for kind in kinds for s in self._sections(kind)])
        return f"add [program:{member}]" if meant is None else f"did you mean {meant}?"

    def _sections(self, kind: str) -> list[Section]:
        """Sections ``[kind:name]`` in file order."""
        sections = self._document.sections
        return [section for name, section in sections.items() if name.startswith(f"{kind}:")]

    def _starting(self, prefix: str) -> list[Section]:
        """All sections whose name starts so: Supervisor takes each for a server."""
        sections = self._document.sections
        return [section for name, section in sections.items() if name.startswith(prefix)]

    def _reader(self, section: Section, kind: str, names: Names) -> SectionReader:
        return SectionReader(
            self._document,
            section,
            ROWS[kind],
            names,
            self._context,
            self.diagnostics,
            self._defaults.setdefault(kind, {}),
        )


def include_patterns(document: Document, context: EvalContext, here: str) -> list[str]:
    """The patterns of ``[include] files=``. Errors are added to the document's."""
    section = document.sections.get("include")
    if section is None:
        return []
    names = names_of(context, here)
    reader = SectionReader(document, section, ROWS["include"], names, context)
    files = reader.find("files", str)
    if files is None and not reader.diagnostics.errors:
        missing = ".ini file has [include] section, but no files setting"
        reader.diagnostics.add(reader.error(missing, hint="write files=conf.d/*.conf"))
    document.errors += reader.diagnostics.errors
    return [] if files is None else files.split()


def _own_name(section: Section) -> str:
    """The name after the colon, as written."""
    return section.name.partition(":")[2]


def names_of(context: EvalContext, here: str) -> Names:
    """The names that every value may use."""
    own = {"here": here, "host_node_name": context.host_node_name}
    return ChainMap({**own, **variables(context.environ)})


def _free(name: str) -> Option:
    """A key of a section that takes any: ``[rpcinterface:x]``."""
    return Option(name, STRING, None, "")
