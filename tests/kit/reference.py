"""Makes the configuration reference and the JSON Schema from the option table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trio_supervisor.core.config.options import (
    PROGRAM_DEFAULT,
    ROWS,
    TABLES,
    RestartScope,
    restart_scope,
)
from trio_supervisor.core.config.toml import DEFAULTS, FREE, NAMED, OTHER, SERVERS, WITHOUT_OTHER

if TYPE_CHECKING:
    from trio_supervisor.core.config.options import Option

INTRODUCTION = """\
# Configuration reference

Made from the option table (`trio_supervisor/core/config/options.py`). Every option is written the
same in `supervisord.conf` (INI) and in `tsupervisord.toml`; the TOML form has native types,
`${name}`
instead of `%(name)s`, and `$$` for a dollar sign. `tsupervisord --check` finds mistakes in either,
`--convert` turns INI into TOML, `--export toml` shows what is in effect. For editors there is a
JSON Schema of the TOML form: [tsupervisord.schema.json](tsupervisord.schema.json).

Without `-c` a `supervisord.conf` is searched for where Supervisor searches for it, then a
`tsupervisord.toml` in the current directory, in `etc` below it and in `/etc`. A file includes files
of its own form only; included files cannot include others: in INI that is ignored with a warning,
in TOML it is an error, as is everything that is unknown there. What other programs read of the
file, like the keys of a listener that starts programs in order, stands in a table `other` of the
section: `[program.web.other]`. Octal values (`umask`, `chmod`, `socket_mode`) are texts in TOML:
`umask = "022"`.

`tsupervisord --convert supervisord.conf > tsupervisord.toml` reads the result again and compares
it: it reports on standard error what could not be brought along, and exits with status 1 where the
result does not mean the same or an `[include]` matches nothing. Included files become a part of the
result; with `--keep-includes` the result includes `.toml` files in their places, which are
converted one by one.

Options marked *(new)* are not in Supervisor, which ignores them: a file with them still runs there.
The same is true of those marked *(extended)*; INI files need `extended=true` in `[supervisord]` for
them, TOML files and Python programs do not.
Defaults are those of Supervisor 4.x; [where older manuals differ](#where-older-manuals-differ) is
listed at the end. The column *change* says what it takes until a changed value is in force:

"""
#: What it takes -> what that means.
EFFECTS = {
    RestartScope.NOTHING: "`tsupervisorctl reread` is enough; nothing restarts",
    RestartScope.GROUPS: (
        "`tsupervisorctl update` restarts the groups that it changes, and no others"
    ),
    RestartScope.PROGRAMS: (
        "`tsupervisorctl reload` or SIGHUP: every program restarts, the daemon stays"
    ),
    RestartScope.DAEMON: "the daemon must be ended and started anew",
    RestartScope.CLIENT: "the client reads it whenever it runs",
}
OLDER = """\
## Where older manuals differ

Files and advice written for earlier releases of Supervisor may count on these:

* `%(here)s` in an included file: before 4.0 the directory of the main file, now that of the file.
"""
#: Section kind -> header of its chapter and a sentence about it.
CHAPTERS = {
    "supervisord": ("[supervisord]", "The daemon itself. Required."),
    "unix_http_server": (
        "[unix_http_server]",
        "A control socket; `[unix_http_server:name]` for more.",
    ),
    "inet_http_server": ("[inet_http_server]", "A control port, also the web page."),
    "rpcinterface": ("[rpcinterface:x]", "An XML-RPC namespace; the client needs `supervisor`."),
    "supervisorctl": (
        "[supervisorctl]",
        "Where the client finds the daemon; read by the client only.",
    ),
    "program": (
        "[program:x]",
        "A program to run; a group of its own unless a `[group:]` lists it. `[program-default]` "
        "has [values for all](behaviour/policies.md#defaults-of-programs) (extended).",
    ),
    "fcgi-program": ("[fcgi-program:x]", "A FastCGI program. All options of `[program:x]`, and:"),
    "eventlistener": ("[eventlistener:x]", "Hears events. All options of `[program:x]`, and:"),
    "group": ("[group:x]", "Programs to address together."),
    "include": (
        "[include]",
        "Further files, read after this one. In TOML: `include = [...]` at the top.",
    ),
}


def markdown() -> str:
    """The page of the reference."""
    legend = [f"* *{effect.value}*: {meaning}." for effect, meaning in EFFECTS.items()]
    parts = [f"{INTRODUCTION}{chr(10).join(legend)}\n"]
    older = []
    for kind, (header, about) in CHAPTERS.items():
        rows = []
        for option in listed(kind):
            default = {None: "", "": "empty"}.get(option.default, f"`{option.default}`")
            restarts = restart_scope(kind, option).value
            mark = " *(extended)*" if option.extended else " *(new)*" if option.extension else ""
            columns = (f"`{option.name}`", option.type.label, default, restarts, option.doc + mark)
            rows.append(f"| {' | '.join(columns)} |")
            if option.legacy_note:
                older.append(f"* `{option.name}` of `{header}`: {option.legacy_note}.")
        head = ["| option | type | default | change | meaning |", "|---|---|---|---|---|"]
        table = "\n".join([*head, *rows])
        parts.append(f"## {header}\n\n{about}\n\n{table}\n")
    parts.append(OLDER + "\n".join(older) + "\n")
    return "\n".join(parts)


def listed(kind: str) -> list[Option]:
    """The options of a section kind, without those that its chapter has from ``[program:x]``."""
    like_programs = kind in ("fcgi-program", "eventlistener")
    plain = TABLES["program"] if like_programs else ()
    return [option for option in TABLES[kind] if option not in plain]


def schema() -> str:
    """A JSON Schema (2020-12) of the TOML form."""
    tables = {kind: _table(kind) for kind in TABLES if kind != "include"}
    properties: dict[str, object] = {
        "include": {
            "type": "array",
            "items": {"type": "string"},
            "description": "globs of TOML files",
        }
    }
    for kind, table in tables.items():
        if kind in NAMED:
            properties[kind] = {"type": "object", "additionalProperties": table}
        elif kind in SERVERS:
            properties[kind] = {**table, "additionalProperties": table}
        else:
            properties[kind] = table
    properties[DEFAULTS] = {
        "type": "object",
        "properties": {"program": _table(PROGRAM_DEFAULT)},
        "additionalProperties": False,
    }
    properties["ctlplugin"] = {"type": "object", "additionalProperties": {"type": "object"}}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tsupervisord.toml",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return json.dumps(document, indent=2) + "\n"


def _table(kind: str) -> dict[str, object]:
    properties: dict[str, object] = {}
    for option in ROWS[kind].values():
        types = option.type.forms
        entry: dict[str, object] = {"type": list(types), "description": option.doc}
        if option.default is not None:
            entry["description"] = f"{option.doc} (default: {option.default or 'empty'})"
        if "array" in types:
            numbers = "number" if "number" in types else "integer"
            items = ["string", numbers] if option.type.is_list else ["string"]
            entry["items"] = {"type": items}
        properties[option.name] = entry
    if kind not in WITHOUT_OTHER:
        about = "keys of other programs that read the file"
        properties[OTHER] = {"type": "object", "description": about}
    return {"type": "object", "properties": properties, "additionalProperties": kind in FREE}
