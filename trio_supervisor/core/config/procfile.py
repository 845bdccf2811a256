"""Turns a Procfile (Heroku, foreman, honcho) into the tables of a TOML configuration. Pure."""

from __future__ import annotations

import re
import shlex

from trio_supervisor.core.config.options import MAIN_FACTORY, RPCINTERFACE

#: ``web: command``; like foreman, all other lines are ignored.
_ENTRY = re.compile(r"^([A-Za-z0-9_-]+):\s*(\S.*?)\s*$")
#: ``KEY=value`` of a ``.env`` file, with or without ``export``.
_VARIABLE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")
#: What only a shell understands, or a setting of a variable before the command.
_NEEDS_SHELL = re.compile(r"[$`&|;<>*?~(){}#!\\]|^\w+=")
#: Value of PORT for the first process, and its distance to that of the next one, as in foreman.
FIRST_PORT = 5000
PORT_STEP = 100
#: Heroku runs this entry once at each deployment and never again.
RELEASE = "release"
HERE = "${here}"


def procfile_tables(text: str, variables: str = "") -> dict[str, object]:
    """Return the tables of a configuration that runs the processes of a Procfile.

    ``variables`` is the text of the ``.env`` file beside it. Each process runs in the directory of
    the file, with a PORT of its own as foreman gives it. The tables have a control socket, so that
    ``tsupervisorctl`` works. A Procfile without entries makes no table ``program``.
    """
    socket = f"{HERE}/supervisor.sock"
    supervisord: dict[str, object] = {
        "logfile": f"{HERE}/supervisord.log",
        "pidfile": f"{HERE}/supervisord.pid",
    }
    environment = _variables(variables)
    if environment:
        supervisord["environment"] = environment
    tables: dict[str, object] = {
        "supervisord": supervisord,
        "unix_http_server": {"file": socket},
        "rpcinterface": {"supervisor": {RPCINTERFACE[0].name: MAIN_FACTORY}},
        "supervisorctl": {"serverurl": f"unix://{socket}"},
    }
    programs: dict[str, object] = {}
    for line in text.splitlines():
        entry = _ENTRY.match(line)
        if entry is not None and entry[1] not in programs:
            programs[entry[1]] = _program(
                entry[1], entry[2], FIRST_PORT + PORT_STEP * len(programs)
            )
    if programs:
        tables["program"] = programs
    return tables


def _program(name: str, command: str, port: int) -> dict[str, object]:
    words = _words(command)
    program: dict[str, object] = {
        "command": [_literal(word) for word in words or ("/bin/sh", "-c", command)],
        "directory": HERE,
        "environment": {"PORT": str(port)},
    }
    if words is None:  # the shell passes no signal on to what it runs
        program["stopasgroup"] = True
    if name == RELEASE:
        program.update(autostart=False, autorestart=False, startsecs=0)
    return program


def _words(command: str) -> list[str] | None:
    """The words of a command; None means that it needs a shell."""
    if _NEEDS_SHELL.search(command):
        return None
    try:
        return shlex.split(command)
    except ValueError:  # an open quote: let the shell report it
        return None


def _variables(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        match = _VARIABLE.match(line)
        if match is not None:
            value = match[2]
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            found[match[1]] = _literal(value)
    return found


def _literal(text: str) -> str:
    return text.replace("$", "$$")
