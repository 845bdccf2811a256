"""What ``--help`` says. Imported only then."""

from __future__ import annotations

from trio_supervisor.cli.ctl.actions import ACTIONS
from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.flags import FLAGS

#: The actions of the reference by what they are for.
CHAPTERS = {
    "to look": ("status", "pid", "tail", "maintail", "avail", "version"),
    "to act": ("start", "stop", "restart", "signal", "clear", "fg"),
    "to change the set of programs": ("reread", "update", "add", "remove"),
    "to end": ("reload", "shutdown"),
}
FURTHER = "not in supervisorctl"


def usage(program: str) -> str:
    """The text of ``--help``."""
    lines = [
        f"usage: {program} [options] [action [argument ...]]",
        "",
        "Looks at and controls the programs that a running tsupervisord looks after.",
        "Without an action it opens a shell that reads actions.",
        "",
        "options:",
        *(f"  {flag.spelled:<27} {flag.text}" for flag in FLAGS),
    ]
    for title, names in (CHAPTERS | {FURTHER: tuple(COMMANDS)}).items():
        lines += ["", f"{title}:"] if names else []
        for name in names:
            row = ACTIONS.get(name) or COMMANDS[name]
            lines.append(f"  {name:<10} {row.forms[0][1]}")
    lines += [
        "",
        "A process is written as its name, or as group:name; group:* means all of a group, all",
        "means all, and where no process has that very name, 'web*' and the like are patterns.",
        "",
        "examples:",
        f"  {program} status               every program and how it is",
        f"  {program} restart 'web:*'      stop and start every process of the group web",
        f"  {program} help restart         all about one action",
    ]
    return "\n".join(lines)
