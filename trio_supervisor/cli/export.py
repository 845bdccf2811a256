"""``tsupervisord --export``: the configuration in effect, every default filled in, with origins.

Secrets are masked. Starts and changes nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import fields
from typing import TYPE_CHECKING

import tomli_w

from trio_supervisor.core.build import COMMAND_LINE, KINDS, build
from trio_supervisor.core.config import (
    AUTO,
    Autorestart,
    ChannelConfig,
    Config,
    GroupConfig,
    ProcessConfig,
    Server,
    Severity,
    UnixServer,
)
from trio_supervisor.core.ini import Document, Section
from trio_supervisor.core.options import SUPERVISORD
from trio_supervisor.runtime.load import find_config, read_document, surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping

MASKED = "***"
DEFAULT = "default"
#: Fields of the model that have another name as options.
_OPTION_NAMES = {"uid": "user", "name": "process_name"}


def export(configuration: str | None, overrides: Mapping[str, str], form: str, program: str) -> int:
    """Print the configuration in ``form`` (toml or json). Raises ConfigError."""
    origin = os.getcwd()
    path = find_config(program, origin) if configuration is None else configuration
    around = surroundings(origin)
    here = os.path.dirname(os.path.join(origin, path))
    document, _ = read_document(path, around, here)
    config = build(document, around, overrides=overrides, here=here)
    exported = exported_tables(document, config, overrides)
    if form == "json":
        print(json.dumps(exported, indent=2))
    else:
        print(tomli_w.dumps(exported), end="")
    return 0


def exported_tables(
    document: Document, config: Config, overrides: Mapping[str, str]
) -> dict[str, object]:
    """Nested tables; each option is a table of ``value`` and ``from``."""
    daemon_section = document.sections["supervisord"]
    daemon = {
        option.name: _origin(
            document,
            daemon_section,
            option.name,
            getattr(config.daemon, _field_of(option.name)),
            overrides,
        )
        for option in SUPERVISORD
    }
    return {
        "supervisord": daemon,
        "server": [_server(document, server) for server in config.servers],
        "rpcinterface": {
            interface.name: {
                "factory": interface.factory,
                # Which of them are secrets is known to the interface alone: hide all values.
                **dict.fromkeys(interface.options, MASKED),
            }
            for interface in config.rpcinterfaces
        },
        "group": [_group(document, group) for group in config.groups],
    }


def _field_of(option: str) -> str:
    return next((field for field, name in _OPTION_NAMES.items() if name == option), option)


def _server(document: Document, server: Server) -> dict[str, object]:
    section = document.sections[server.section]
    shown: dict[str, object] = {"section": server.section}
    if isinstance(server, UnixServer):
        chown = None if server.chown is None else ":".join(map(str, server.chown))
        values: dict[str, object] = {
            "file": server.file,
            "chmod": oct(server.chmod),
            "chown": chown,
        }
    else:
        values = {"port": f"{server.host or '*'}:{server.port}"}
    credentials = server.credentials
    values["username"] = None if credentials is None else credentials.username
    values["password"] = None if credentials is None else MASKED
    for name, value in values.items():
        shown[name] = _origin(document, section, name, value)
    return shown


def _group(document: Document, group: GroupConfig) -> dict[str, object]:
    shown: dict[str, object] = {
        "name": group.name,
        "priority": group.priority,
        "kind": group.kind.value,
    }
    if group.pool is not None:
        shown["events"] = sorted(group.pool.events)
        shown["buffer_size"] = group.pool.buffer_size
        shown["result_handler"] = group.pool.result_handler
        shown["event_len"] = group.pool.event_len.value
    shown["process"] = [_process(document, group, process) for process in group.processes]
    return shown


def _process(document: Document, group: GroupConfig, process: ProcessConfig) -> dict[str, object]:
    section = _section_of(document, group, process)
    shown: dict[str, object] = {}
    for field in fields(ProcessConfig):
        value = getattr(process, field.name)
        if isinstance(value, ChannelConfig):
            for part in fields(ChannelConfig):
                middle = "logfile_" if part.name in ("maxbytes", "backups") else ""
                name = f"{field.name}_{middle}{part.name}"
                shown[name] = _origin(document, section, name, getattr(value, part.name))
        else:
            name = _OPTION_NAMES.get(field.name, field.name)
            if field.name == "socket":
                value = None if process.socket is None else process.socket.url
            shown[name] = _origin(document, section, name, value)
    return shown


def _section_of(document: Document, group: GroupConfig, process: ProcessConfig) -> Section | None:
    """The section a process came from; None if that cannot be told."""
    members = document.sections.get(f"group:{group.name}")
    if members is None:
        found = [document.sections.get(f"{kind}:{group.name}") for kind in KINDS]
        return next((section for section in found if section is not None), None)
    entry = members.entries.get("programs")
    names = [] if entry is None else [name.strip() for name in entry.value.split(",")]
    made = [name for name in names if process.name.startswith(name)]
    kinds = ("program", "fcgi-program")
    found = [document.sections.get(f"{kind}:{max(made, key=len)}") for kind in kinds if made]
    return next((section for section in found if section is not None), None)


def _origin(
    document: Document,
    section: Section | None,
    name: str,
    value: object,
    overrides: Mapping[str, str] | None = None,
) -> dict[str, object]:
    if overrides is not None and name in overrides:
        where = COMMAND_LINE
    else:
        entry = None if section is None else document.entry(section, name)
        where = DEFAULT if entry is None else f"{entry.file}:{entry.line}"
    return {"value": _plain(name, value), "from": where}


def _plain(name: str, value: object) -> object:
    """A value as TOML and JSON have it; ``none`` where nothing is set."""
    if value is None:
        return "none"
    if name == "environment" and isinstance(value, dict):
        return dict.fromkeys(value, MASKED)
    if value is AUTO:
        return "auto"
    if isinstance(value, Autorestart):
        return {"true": True, "false": False}.get(value.value, value.value)
    if isinstance(value, Severity):
        return value.name.lower()
    if name == "umask" and isinstance(value, int):
        return oct(value)
    if isinstance(value, tuple):
        return list(value)
    return value
