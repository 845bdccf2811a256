"""The text of ``--help``. Imported only to show it."""

from __future__ import annotations

import os

from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.options import FLAGS
from trio_supervisor.cli.help_row import help_row

#: Supervisor's actions by purpose.
CHAPTERS = {
    "to inspect": ("status", "pid", "tail", "maintail", "avail", "version"),
    "to control processes": ("start", "stop", "restart", "signal", "clear", "fg"),
    "to change the configuration": ("reread", "update", "add", "remove"),
    "to control the daemon": ("reload", "shutdown"),
}
FURTHER = "not in supervisorctl"


def usage(program: str) -> str:
    """Return the text of ``--help``."""
    program = os.path.basename(program)
    lines = [
        f"usage: {program} [options] [action [argument ...]]",
        "",
        "Shows and controls the programs that a running tsupervisord supervises.",
        "Without an action it opens a shell that reads actions.",
        "",
        "options:",
        *(line for flag in FLAGS for line in help_row(flag.spelled, 27, flag.text)),
    ]
    further = tuple(name for name, command in COMMANDS.items() if command.extension)
    for title, names in (CHAPTERS | {FURTHER: further}).items():
        lines += ["", f"{title}:"] if names else []
        for name in names:
            lines += help_row(name, 10, COMMANDS[name].forms[0][1])
    lines += [
        "",
        "A process is written as its name or as group:name. group:* means all processes",
        "of a group, all means all processes. Where no process has exactly that name,",
        "'web*' and the like are patterns.",
        "",
        "examples:",
        *help_row(f"{program} status", len(program) + 17, "every program and its state"),
        *help_row(f"{program} restart 'web:*'", len(program) + 17, "restart the whole group web"),
        *help_row(f"{program} help restart", len(program) + 17, "explain one action"),
    ]
    return "\n".join(lines)
