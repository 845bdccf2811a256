"""Makes the page on the client from its tables of flags, actions and commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.options import FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

INTRODUCTION = """\
# tsupervisorctl

Made from the tables of the client (`trio_supervisor/cli/ctl/options.py`,
`commands.py`). [Recipes](tsupervisorctl-recipes.md) show it at work.

    tsupervisorctl [options] [action [argument ...]]

Without an action it opens a shell that reads actions, with TAB and history. Options come first; the
first word that is none is the action.
"""
NAMES = """\
## Names

| written | means |
|---|---|
| `cat` | the process `cat` of the group `cat` |
| `web:web_00` | one process of a group |
| `web:*`, `web:` | every process of the group |
| `all` | every process |
| `'web_*'`, `'*:w_0[12]'` | those whose name or `group:name` it fits, if none has that very name |

Quote patterns, or the shell may replace them by names of files. A pattern that fits nothing is an
unknown name.
"""
STATUSES = """\
## Exit statuses

| status | when |
|---|---|
| 0 | done; also what was so already (`already started`, `not running`) |
| 1 | anything else that failed |
| 2 | a wrong command line or configuration; `start` without names or of an unknown group |
| 3 | `status`: a row is STOPPED, EXITED, FATAL or UNKNOWN; no `[rpcinterface:supervisor]` |
| 4 | `status`: unknown name or no daemon; elsewhere: connection refused |
| 5 | the daemon speaks another version of the interface |
| 7 | no socket file; a start that failed; `pid`, `signal`: not running |
| 124 | `--timeout` is over, or the one of `wait` |
| 130 | (a shell's word for) ended by Ctrl-C |

`healthy` knows 0 and 1 only. `--json` changes no exit status.
"""


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def table(title: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [title, ["---"] * len(title), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _rows(forms: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"`{cell(form)}`", cell(text)) for form, text in forms]


def markdown() -> str:
    """The page."""
    flags = [(f"`{flag.spelled}`", cell(flag.text)) for flag in FLAGS]
    actions = [
        row for action in COMMANDS.values() if not action.extension for row in _rows(action.forms)
    ]
    parts = [
        INTRODUCTION,
        f"## Options\n\n{table(('option', 'meaning'), flags)}\n",
        NAMES,
        "## Actions of supervisorctl\n\n"
        "Their output and exit statuses are those of Supervisor.\n\n"
        f"{table(('action', 'what it does'), actions)}\n",
        "## Options of these actions\n\n"
        "A word that is none of these options is a name, as it always was.\n",
    ]
    for name, command in COMMANDS.items():
        if command.extended is None:
            continue
        parts.append(f"### {name}\n\n{table(('option', 'meaning'), _rows(command.options))}\n")
    parts.append("## Further commands\n\nA plugin's command of the same name comes first.\n")
    for name, command in COMMANDS.items():
        if not command.extension:
            continue
        rows = [*_rows(command.forms), *_rows(command.options)]
        parts.append(f"### {name}\n\n{table(('written', 'what it does'), rows)}\n")
    return "\n".join([*parts, STATUSES])
