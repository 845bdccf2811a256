"""The table of the commands that only this client has, and of the options it adds to actions.

A row names its function as ``module:function``, so that a run imports the one it needs; a run of
a plain action of the reference does not even import this table.
"""

from __future__ import annotations

from trio_supervisor.cli.ctl.actions import ACTION_NAMES, ACTIONS, PROCESSES
from trio_supervisor.cli.ctl.command import Command, Option

JSON = Option("--json", "Show the answer as one JSON document, errors inside it")
STATUS_OPTIONS = (
    Option("-v, --wide", "Show also restarts, processor time, memory and why it does not run"),
    Option("--sort KEY", "By name, state, uptime, restarts, cpu or memory, the most first"),
    Option("--state STATE,...", "Show only those in these states"),
)

ROWS = (
    Command(
        "events",
        "events:events",
        ("events", "Show what happens, a line for each event, while the daemon lives"),
        ("events -f", "The same, also of the next daemon, until Ctrl-C"),
        options=(
            Option("-f, --follow", "Wait for a daemon that goes away to come back"),
            Option("--types TYPE,...", "Only these, with what is below them: PROCESS_STATE,TICK_5"),
            Option("--json", "Show each event as one line of JSON"),
        ),
    ),
    Command(
        "healthy",
        "wait:healthy",
        ("healthy", "Exit 0 if every process is as it should be, else 1 and tell which are not"),
        ("healthy <name> ...", "The same of these processes, which should then all run"),
        completes=PROCESSES,
    ),
    Command(
        "logs",
        "logs:logs",
        ("logs <name> ...", "Show the last lines of what processes wrote, of all without a name"),
        ("logs -f <name> ...", "The same and whatever they write, until Ctrl-C"),
        options=(
            Option("-f, --follow", "Go on; also over rotations and restarts of the daemon"),
            Option("-n, --lines N", "So many lines of each output first (default 10)"),
            Option("--since TIME", "What was written since (5m, 12:00) while this daemon ran"),
            Option("--stdout", "Only what went to stdout"),
            Option("--stderr", "Only what went to stderr"),
            Option("--no-prefix", "No names in front of the lines of several processes"),
            Option("--raw", "Every byte as it is, also escape sequences to a terminal"),
        ),
        completes=PROCESSES,
    ),
    Command(
        "top",
        "top.loop:top",
        ("top", "Watch all processes on the whole screen and act with keys; ? lists them"),
        options=(Option("-d, --delay SECONDS", "Seconds between two looks (default 2)"),),
    ),
    Command(
        "wait",
        "wait:wait",
        ("wait <name> ... [--for STATE]", "Wait until processes are all in a state"),
        options=(
            Option("--for STATE,...", "The state, or one of these (default RUNNING)"),
            Option("--timeout SECONDS", "Give up after that, exit 124 (default: never)"),
        ),
        completes=PROCESSES,
    ),
)
#: Plugins may have commands of these names, as they always could: theirs come first.
COMMANDS = {command.name: command for command in ROWS}

#: Action of the reference -> what it does when given an option of these. All its other words are
#: names, whatever they look like.
EXTENSIONS = {
    command.name: command
    for command in (
        Command(
            "status",
            "json:status",
            ("status [<name> ...] <option> ...", "Show processes with one of these options:"),
            options=(*STATUS_OPTIONS, JSON),
            lenient=True,
        ),
        *(
            Command(name, f"json:{name}", (form, text), options=(JSON,), lenient=True)
            for name, form, text in (
                ("avail", "avail --json", "The same for programs"),
                ("pid", "pid [<name> ...] --json", "The same for programs"),
                ("reread", "reread --json", "The same for programs"),
                ("update", "update [<group> ...] --json", "The same for programs"),
            )
        ),
    )
}


def help_of(action: str) -> list[str]:
    """Help of an action of the reference, with the options that this client adds."""
    extension = EXTENSIONS.get(action)
    return ACTIONS[action].help + (extension.help if extension is not None else [])


def completes(name: str) -> str:
    """What the words after an action or a command are (see ``actions.py``); empty: unknown."""
    if name == "help":
        return ACTION_NAMES
    row = ACTIONS.get(name) or COMMANDS.get(name)
    return row.completes if row is not None else ""


def option_names(name: str) -> list[str]:
    """The options of a command, or those added to an action, sorted."""
    command = COMMANDS.get(name) or EXTENSIONS.get(name)
    options = command.options if command is not None else ()
    return sorted(spelling for option in options for spelling in option.spellings)
