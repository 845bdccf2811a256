"""What ``--help`` says. Imported only then."""

from __future__ import annotations

import os

from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.flags import FLAGS
from trio_supervisor.cli.ctl.text import folded

#: The actions of the reference by what they are for.
CHAPTERS = {
    "to look": ("status", "pid", "tail", "maintail", "avail", "version"),
    "to act": ("start", "stop", "restart", "signal", "clear", "fg"),
    "to change the set of programs": ("reread", "update", "add", "remove"),
    "to end": ("reload", "shutdown"),
}
#: Columns of the narrowest terminal in use.
WIDTH = 80
FURTHER = "not in supervisorctl"


def usage(program: str) -> str:
    """The text of ``--help``."""
    program = os.path.basename(program)
    lines = [
        f"usage: {program} [options] [action [argument ...]]",
        "",
        "Looks at and controls the programs that a running tsupervisord looks after.",
        "Without an action it opens a shell that reads actions.",
        "",
        "options:",
        *(line for flag in FLAGS for line in _row(flag.spelled, 27, flag.text)),
    ]
    further = tuple(name for name, command in COMMANDS.items() if command.extension)
    for title, names in (CHAPTERS | {FURTHER: further}).items():
        lines += ["", f"{title}:"] if names else []
        for name in names:
            lines += _row(name, 10, COMMANDS[name].forms[0][1])
    lines += [
        "",
        "A process is written as its name, or as group:name; group:* means all of a",
        "group, all means all, and where no process has that very name, 'web*' and the",
        "like are patterns.",
        "",
        "examples:",
        *_row(f"{program} status", len(program) + 17, "every program and how it is"),
        *_row(f"{program} restart 'web:*'", len(program) + 17, "restart the whole group web"),
        *_row(f"{program} help restart", len(program) + 17, "all about one action"),
    ]
    return "\n".join(lines)


def _row(term: str, room: int, text: str) -> list[str]:
    """A term in ``room`` cells, and its explanation beside it."""
    return folded(f"  {term:<{room}} {text}", WIDTH, room + 3)
