"""``tsupervisord --export``: the configuration in effect, every default filled in, with origins.

Shows no secret: values that may be one are masked, and a text that uses environment variables is
shown as it is written. Starts and changes nothing.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import fields
from typing import TYPE_CHECKING

import tomli_w

from trio_supervisor.core.config.build import COMMAND_LINE, FACTORY, build, variables
from trio_supervisor.core.config.environment import parse_environment
from trio_supervisor.core.config.evaluate import Scope
from trio_supervisor.core.config.ini import Document, Entry, Section
from trio_supervisor.core.config.model import (
    AUTO,
    Autorestart,
    ChannelConfig,
    Config,
    GroupConfig,
    InetServer,
    ProcessConfig,
    Server,
    Severity,
    UnixServer,
)
from trio_supervisor.core.config.options import SUPERVISORCTL, SUPERVISORD, TABLES
from trio_supervisor.core.config.secrets import MASK
from trio_supervisor.runtime.load import find_config, read_document, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_supervisor.core.config.context import EvalContext

    Shown = dict[str, object]

DEFAULT = "default"
INET = "inet_http_server"
#: Fields of the model that have another name as options.
_OPTION_NAMES = {"uid": "user", "name": "process_name"}
_FIELD_NAMES = {option: field for field, option in _OPTION_NAMES.items()}
#: Options of a program that the model has as fields of their own; environment is shown apart.
_PROGRAM = frozenset(option.name for option in TABLES["program"]) - {"environment"}
#: Options that another one overrules when it is true (config.md 8.5).
_OVERRULED_BY = {"killasgroup": "stopasgroup", "stderr_logfile": "redirect_stderr"}
_OCTAL = ("umask", "chmod", "socket_mode")
_OWNERS = ("chown", "socket_owner")
_USES_VARIABLE = re.compile(r"[%$][({]ENV_")


def export(configuration: str | None, overrides: Mapping[str, str], form: str, program: str) -> int:
    """Print the configuration in ``form`` (toml or json). Raises ConfigError."""
    origin = os.getcwd()
    path = find_config(program, origin) if configuration is None else configuration
    around = surroundings(origin)
    here = os.path.dirname(os.path.join(origin, path))
    document, _ = read_document(path, around, here)
    config = build(document, around, overrides=overrides, here=here)
    exported = _Exporter(document, config, around, overrides, path, here).tables()
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
        around: EvalContext,
        overrides: Mapping[str, str],
        path: str,
        here: str,
    ) -> None:
        self._document = document
        self._config = config
        self._around = around
        self._overrides = overrides
        self._path = path
        self._names: dict[str, str | int] = {
            "here": here,
            "host_node_name": around.host_node_name,
            **variables(around.environ),
        }

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
            shown[name] = _shown(entry, name, getattr(daemon, _FIELD_NAMES.get(name, name)))
        entry = self._document.entry(section, "environment")
        shown["environment"] = {name: _masked(entry) for name in daemon.environment}
        return shown

    def _server(self, server: Server) -> Shown:
        options = TABLES["unix_http_server" if isinstance(server, UnixServer) else INET]
        values = {
            option.name: getattr(server, option.name, getattr(server.access, option.name, None))
            for option in options
        }
        if isinstance(server, InetServer):
            values["port"] = f"{server.host or '*'}:{server.port}"
            if server.tls is not None:
                values["ssl_certificate"] = server.tls.certificate
                values["ssl_key"] = server.tls.key
                values["ssl_client_ca"] = server.tls.client_ca
        for prefix, user in (("", server.credentials), ("readonly_", server.access.readonly)):
            if user is not None:
                values[f"{prefix}username"] = user.username
                values[f"{prefix}password"] = MASK
        return {"section": server.section, **self._options(server.section, values)}

    def _interface(self, section: str) -> Shown:
        # Which of its options are secrets is known to the interface alone: hide all values.
        entries = self._document.sections[section].entries
        return {
            name: self._shown(section, name, entry.value) if name == FACTORY else _masked(entry)
            for name, entry in entries.items()
        }

    def _group(self, group: GroupConfig) -> Shown:
        section = group.section or ""
        values: Shown = {"priority": group.priority}
        if section.startswith("group:"):
            made_from = (process.section or "" for process in group.processes)
            values["programs"] = [name.partition(":")[2] for name in dict.fromkeys(made_from)]
        if group.pool is not None:
            values["events"] = sorted(group.pool.events)
            values["buffer_size"] = group.pool.buffer_size
            values["result_handler"] = group.pool.result_handler
            values["event_len"] = group.pool.event_len.value
        return {
            "name": group.name,
            "section": section,
            "kind": group.kind.value,
            **self._options(section, values),
            "process": [self._process(group, process) for process in group.processes],
        }

    def _process(self, group: GroupConfig, process: ProcessConfig) -> Shown:
        section = process.section or ""
        values: Shown = {}
        for field in fields(ProcessConfig):
            value = getattr(process, field.name)
            if isinstance(value, ChannelConfig):
                for part in fields(ChannelConfig):
                    middle = "logfile_" if part.name in ("maxbytes", "backups") else ""
                    values[f"{field.name}_{middle}{part.name}"] = getattr(value, part.name)
            elif (option := _OPTION_NAMES.get(field.name, field.name)) in _PROGRAM:
                values[option] = value
        if process.socket is not None:
            values["socket"] = process.socket.url
            values["socket_backlog"] = process.socket.backlog
            values["socket_owner"] = process.socket.owner
            values["socket_mode"] = process.socket.mode
        program = section.partition(":")[2].strip()
        names = {
            **variables(self._config.daemon.environment),
            "program_name": program,
            "group_name": group.name,
        }
        for name in ("numprocs", "numprocs_start"):
            values[name] = self._read(self._document.sections[section], name, names)
        shown = self._options(section, values)
        for option, ruler in _OVERRULED_BY.items():
            if getattr(process, ruler):
                shown[option] = self._shown(section, ruler, values[option])
        shown["environment"] = self._environment(section, process)
        return {"section": section, **shown}

    def _environment(self, section: str, process: ProcessConfig) -> Shown:
        """Each variable, masked, with the section that sets it: the program's or the daemon's."""
        inherited = self._config.daemon.environment
        own = self._document.entry(self._document.sections[section], "environment")
        daemon = self._document.sections["supervisord"]
        others = self._document.entry(daemon, "environment")
        written = _variables_of(own)
        return {
            name: _masked(own if name in written or inherited.get(name) != value else others)
            for name, value in process.environment.items()
        }

    def _client(self) -> Shown | None:
        """What the client reads: its section of the main file alone (4.1)."""
        section = self._document.sections.get("supervisorctl")
        if section is None:
            return None
        entries = {k: entry for k, entry in section.entries.items() if entry.file == self._path}
        section = Section(section.name, section.file, section.line, entries)
        names = [option.name for option in SUPERVISORCTL]
        return {
            name: _shown(self._document.entry(section, name), name, self._read(section, name, {}))
            for name in names
        }

    def _options(self, section: str, values: Mapping[str, object]) -> Shown:
        return {name: self._shown(section, name, value) for name, value in values.items()}

    def _shown(self, section: str, name: str, value: object) -> Shown:
        entry = self._document.entry(self._document.sections[section], name)
        return _shown(entry, name, value)

    def _read(self, section: Section, name: str, more: Mapping[str, str | int]) -> object:
        """An option of which the model keeps nothing, or that the daemon does not read."""
        options = {option.name: option for option in TABLES[section.name.partition(":")[0]]}
        names = {**self._names, **more}
        return Scope(self._document, section, options, names, self._around).value(name)


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


def _shown(entry: Entry | None, name: str, value: object) -> Shown:
    plain = _plain(name, value)
    if isinstance(plain, (str, list)) and entry is not None and plain != MASK:
        written = entry.value if entry.words is None else shlex.join(entry.words)
        if _USES_VARIABLE.search(written):
            plain = written
    return {"value": plain, "from": _place(entry)}


def _place(entry: Entry | None) -> str:
    if entry is None:
        return DEFAULT
    return COMMAND_LINE if entry.file == COMMAND_LINE else f"{entry.file}:{entry.line}"


def _plain(name: str, value: object) -> object:
    """A value as TOML and JSON have it; ``none`` where nothing is set."""
    if value is None:
        return "none"
    if name == "password":
        return MASK
    if value is AUTO:
        return "auto"
    if isinstance(value, Autorestart):
        return {"true": True, "false": False}.get(value.value, value.value)
    if isinstance(value, Severity):
        return value.name.lower()
    if name in _OCTAL and isinstance(value, int):
        return f"{value:04o}"
    if name in _OWNERS and isinstance(value, tuple):
        return ":".join(map(str, value))
    if isinstance(value, tuple):
        return list(value)
    return value
