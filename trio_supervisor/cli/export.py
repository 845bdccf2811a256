"""``tsupervisord --export``: the configuration in effect, every default filled in, with origins.

Shows no secret: values that may be one are masked, and a text that uses environment variables is
shown as it is written. Starts and changes nothing.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import TYPE_CHECKING

import tomli_w

from trio_supervisor.core.config.build import COMMAND_LINE, as_read, build, names_of
from trio_supervisor.core.config.environment import parse_environment
from trio_supervisor.core.config.evaluate import SectionReader
from trio_supervisor.core.config.ini import Document, Entry, Section
from trio_supervisor.core.config.model import (
    Config,
    GroupConfig,
    ProcessConfig,
    Program,
    Server,
    UnixServer,
)
from trio_supervisor.core.config.options import (
    POOL,
    PROGRAM,
    PROGRAM_DEFAULT,
    ROWS,
    SOCKET,
    SUPERVISORD,
    Option,
)
from trio_supervisor.core.config.program_default import with_defaults
from trio_supervisor.core.config.secrets import MASK
from trio_supervisor.runtime.load import eval_context, find_config, read_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_supervisor.core.config.context import EvalContext

    Shown = dict[str, object]

DEFAULT = "default"
INET = "inet_http_server"
#: Options that another one overrules when it is true.
_OVERRULED_BY = {"killasgroup": "stopasgroup", "stderr_logfile": "redirect_stderr"}
_USES_VARIABLE = re.compile(r"[%$][({]ENV_")


def export(configuration: str | None, overrides: Mapping[str, str], form: str, program: str) -> int:
    """Print the configuration in ``form`` (toml or json). Raises ConfigError."""
    origin = os.getcwd()
    path = find_config(program, origin) if configuration is None else configuration
    context = eval_context(origin)
    here = os.path.dirname(os.path.join(origin, path))
    document, _ = read_document(path, context, here)
    config = build(document, context, overrides=overrides, here=here)
    document = with_defaults(as_read(document, context, here))
    exported = _Exporter(document, config, context, overrides, path, here).tables()
    if form == "json":
        print(json.dumps(exported, indent=2))
    else:
        print(tomli_w.dumps(exported), end="")
    return 0


class _Exporter:
    """Nested tables; each option is a table of ``value`` and ``from``."""

    def __init__(
        self,
        document: Document,
        config: Config,
        context: EvalContext,
        overrides: Mapping[str, str],
        path: str,
        here: str,
    ) -> None:
        self._document = document
        self._config = config
        self._context = context
        self._overrides = overrides
        self._path = path
        self._names = names_of(context, here)

    def tables(self) -> Shown:
        shown: Shown = {
            "supervisord": self._daemon(),
            "server": [self._server(server) for server in self._config.servers],
            "rpcinterface": {
                interface.name: self._interface(f"rpcinterface:{interface.name}")
                for interface in self._config.rpcinterfaces
            },
            "group": [self._group(group) for group in self._config.groups],
        }
        client = self._client()
        return shown if client is None else {**shown, "supervisorctl": client}

    def _daemon(self) -> Shown:
        section = self._document.sections["supervisord"]
        daemon = self._config.daemon
        shown: Shown = {}
        for option in SUPERVISORD:
            name = option.name
            if name in self._overrides:
                entry: Entry | None = Entry(self._overrides[name], COMMAND_LINE, 0, "")
            else:
                entry = self._document.entry(section, name)
            shown[name] = _shown(entry, option, option.read(daemon))
        entry = self._document.entry(section, "environment")
        shown["environment"] = {name: _masked(entry) for name in daemon.environment}
        return shown

    def _server(self, server: Server) -> Shown:
        rows = ROWS["unix_http_server" if isinstance(server, UnixServer) else INET]
        shown = {
            option.name: self._shown(server.section, option, option.read(server))
            for option in rows.values()
        }
        return {"section": server.section, **shown}

    def _interface(self, section: str) -> Shown:
        # Only the interface knows which of its options are secret: mask all values.
        entries = self._document.sections[section].entries
        rows = ROWS["rpcinterface"]
        return {
            name: _shown(entry, rows[name], entry.value) if name in rows else _masked(entry)
            for name, entry in entries.items()
        }

    def _group(self, group: GroupConfig) -> Shown:
        section = group.section or ""
        kind = section.partition(":")[0]
        rows = ROWS[kind]
        shown = {"priority": self._shown(section, rows["priority"], group.priority)}
        if kind == "group":
            names = [program.name for program in group.programs]
            shown["programs"] = self._shown(section, rows["programs"], names)
        if group.pool is not None:
            for option in POOL:
                shown[option.name] = self._shown(section, option, option.read(group.pool))
        return {
            "name": group.name,
            "section": section,
            "kind": group.kind.value,
            **shown,
            "process": [
                self._process(program, process)
                for program in group.programs
                for process in group.processes
                if process.section == program.section
            ],
        }

    def _process(self, program: Program, process: ProcessConfig) -> Shown:
        section = process.section or ""
        rows = ROWS[section.partition(":")[0]]
        values: Shown = {"numprocs": program.count, "numprocs_start": program.first}
        for option in PROGRAM:
            if option.path is not None and option.name != "environment":
                values[option.name] = option.read(process)
        if process.identity.gid is not None:
            values["user"] = f"{process.uid}:{process.identity.gid}"
        if process.socket is not None:
            values.update({option.name: option.read(process.socket) for option in SOCKET})
        shown: Shown = {}
        for name, value in values.items():
            ruler = _OVERRULED_BY.get(name)
            decides = ruler if ruler is not None and getattr(process, ruler) else name
            shown[name] = self._shown(section, rows[name], value, decides)
        shown["environment"] = self._environment(section, process)
        return {"section": section, **shown}

    def _environment(self, section: str, process: ProcessConfig) -> Shown:
        """Each variable, masked, with the section that sets it."""
        inherited = self._config.daemon.environment
        own = self._document.entry(self._document.sections[section], "environment")
        daemon = self._document.sections["supervisord"]
        others = self._document.entry(daemon, "environment")
        written = _variables_of(own)
        defaults = self._document.sections.get(PROGRAM_DEFAULT)
        common = None if defaults is None else defaults.entries.get("environment")
        commonly_written = _variables_of(common)

        def setter(name: str, value: str) -> Entry | None:
            if name in commonly_written and name not in written:
                return common
            return own if name in written or inherited.get(name) != value else others

        return {name: _masked(setter(name, value)) for name, value in process.environment.items()}

    def _client(self) -> Shown | None:
        """The client's section; the client reads the main file only."""
        section = self._document.sections.get("supervisorctl")
        if section is None:
            return None
        entries = {k: entry for k, entry in section.entries.items() if entry.file == self._path}
        section = Section(section.name, section.file, section.line, entries)
        rows = ROWS["supervisorctl"]
        reader = SectionReader(self._document, section, rows, self._names, self._context)
        return {
            name: _shown(self._document.entry(section, name), option, reader.value(name))
            for name, option in rows.items()
        }

    def _shown(
        self, section: str, option: Option, value: object, decided_by: str | None = None
    ) -> Shown:
        """``decided_by`` is the option whose place is shown; None: the option itself."""
        name = option.name if decided_by is None else decided_by
        return _shown(self._document.entry(self._document.sections[section], name), option, value)


def _variables_of(entry: Entry | None) -> Iterable[str]:
    """The names in an ``environment=`` as far as they do not come out of an expansion."""
    if entry is None:
        return ()
    if entry.table is not None:
        return entry.table
    try:
        return parse_environment(entry.value)
    except ValueError:
        return ()


def _masked(entry: Entry | None) -> Shown:
    return {"value": MASK, "from": _place(entry)}


def _shown(entry: Entry | None, option: Option, value: object) -> Shown:
    plain = option.shown(value)
    if isinstance(plain, (str, list)) and entry is not None and plain != MASK:
        written = entry.value if entry.words is None else shlex.join(entry.words)
        if _USES_VARIABLE.search(written):
            plain = written
    return {"value": plain, "from": _place(entry)}


def _place(entry: Entry | None) -> str:
    if entry is None:
        return DEFAULT
    return COMMAND_LINE if entry.file == COMMAND_LINE else f"{entry.file}:{entry.line}"
