"""The table of the commands that only this client has, and of the options it adds to actions.

A row names its function as ``module:function``, so that a run imports the one it needs; a run of
a plain action of the reference does not even import this table.
"""

from __future__ import annotations

from trio_supervisor.cli.ctl_actions import ACTION_NAMES, ACTIONS
from trio_supervisor.cli.ctl_command import Command, Option

ROWS = (
    Command(
        "events",
        "ctl_events:events",
        ("events", "Show what happens, a line for each event, while the daemon lives"),
        ("events -f", "The same, also of the next daemon, until Ctrl-C"),
        options=(
            Option("-f, --follow", "Wait for a daemon that goes away to come back"),
            Option("--types TYPE,...", "Only these, with what is below them: PROCESS_STATE,TICK_5"),
            Option("--json", "Show each event as one line of JSON"),
        ),
    ),
    Command(
        "top",
        "ctl_top:top",
        ("top", "Watch all processes on the whole screen and act with keys; ? lists them"),
        options=(Option("-d, --delay SECONDS", "Seconds between two looks (default 2)"),),
    ),
)
#: Plugins may have commands of these names, as they always could: theirs come first.
COMMANDS = {command.name: command for command in ROWS}

#: Action of the reference -> what it does when given an option of these. All its other words are
#: names, whatever they look like.
EXTENSIONS: dict[str, Command] = {}


def help_of(action: str) -> list[str]:
    """Help of an action of the reference, with the options that this client adds."""
    extension = EXTENSIONS.get(action)
    return ACTIONS[action].help + (extension.help if extension is not None else [])


def completes(name: str) -> str:
    """What the words after an action or a command are (see ctl_actions); empty: unknown."""
    if name == "help":
        return ACTION_NAMES
    row = ACTIONS.get(name) or COMMANDS.get(name)
    return row.completes if row is not None else ""


def option_names(name: str) -> list[str]:
    """The options of a command, or those added to an action, sorted."""
    command = COMMANDS.get(name) or EXTENSIONS.get(name)
    options = command.options if command is not None else ()
    return sorted(spelling for option in options for spelling in option.spellings)
