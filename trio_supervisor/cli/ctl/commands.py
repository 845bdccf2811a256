"""The table of the commands: dispatch, help and completion are all read from it.

A row is plain data and names its function, so that a run imports only what its command needs.
Words and options are parsed by ``arguments.py``, which runs of Supervisor's plain actions do not
import.
"""

from __future__ import annotations

from trio_supervisor.cli.ctl.session import UsageMistake

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from trio_supervisor.cli.ctl.session import Session

#: Columns between two tab stops of a terminal.
TAB = 8
#: What the shells complete after a command.
PROCESSES = "processes"
GROUPS = "groups"
COMMAND_NAMES = "commands"

JSON = ("--json", "Print one JSON document, which includes errors")
STATUS_OPTIONS = (
    ("-v, --wide", "Also show restarts, processor time, memory and reasons"),
    ("--sort KEY", "Sort by name, state, uptime, restarts, cpu or memory"),
    ("--state STATE,...", "Show only those in these states"),
)


class ClientCommand:
    """One row of the table.

    ``forms`` are the ways to write the command and ``options`` its options, each with a short
    explanation.
    """

    __slots__ = (
        "completes",
        "extended",
        "extension",
        "forms",
        "name",
        "options",
        "precheck",
        "takes_words",
        "target",
    )

    def __init__(
        self,
        name: str,
        target: str,
        *forms: tuple[str, str],
        precheck: bool = False,
        takes_words: bool = True,
        completes: str = "",
        options: tuple[tuple[str, str], ...] = (),
        extended: tuple[str, tuple[str, str]] | None = None,
        extension: bool = False,
    ) -> None:
        self.name = name
        self.target = target
        """``module:function`` of this package.

        The function takes the session and the rest of the line, or ``Arguments`` for an extension.
        A true result ends the shell.
        """
        self.forms = forms
        self.precheck = precheck
        """Check the daemon's version first, as Supervisor does: this decides the error texts."""
        self.takes_words = takes_words
        self.completes = completes
        self.options = options
        self.extended = extended
        """For an action of Supervisor with options added: the target used when one of the options
        is given, which takes ``Arguments``, and the form that the help shows. Supervisor's actions
        have no options, so any other word stays a name."""
        self.extension = extension
        """Supervisor lacks this command. A plugin may already have one of the same name, which
        takes precedence."""

    @property
    def help(self) -> list[str]:
        """Return a line for each form and each option: the text, TABs, the explanation."""
        if self.extended is None:
            return self._help_with_options(self.forms)
        return described(self.forms) + self._help_with_options((self.extended[1],))

    def usage(self, argument: str) -> list[str]:
        """The part of the help that concerns what was written: shown after a mistake."""
        if not self.has_options(argument):
            return described(self.forms)
        return self._help_with_options(self.forms if self.extended is None else (self.extended[1],))

    def _help_with_options(self, forms: tuple[tuple[str, str], ...]) -> list[str]:
        options = [(f"  {spelled}", text) for spelled, text in self.options]
        return described([*forms, *options])

    def has_options(self, argument: str) -> bool:
        """Whether the line is to be parsed as words and options.

        For an action of Supervisor it is only if it has one of the added options.
        """
        if self.extended is None or "-" not in argument:
            return self.extension
        # Imported here because scripts mostly use Supervisor's actions as they are.
        from trio_supervisor.cli.ctl.arguments import has_options

        return has_options(self.options, argument)

    def perform(self, session: Session, argument: str) -> bool:
        """Run the command; true if the shell should end.

        Raises UsageMistake, and what calls raise.
        """
        if not self.has_options(argument):
            return self.perform_plain(session, argument)
        # Imported here for the same reason.
        from trio_supervisor.cli.ctl.arguments import parse

        arguments = parse(self.name, self.options, argument, strict=self.extension)
        resolved(self.target if self.extended is None else self.extended[0])(session, arguments)
        return False

    def perform_plain(self, session: Session, argument: str) -> bool:
        """Run an action as Supervisor has it; true if the shell should end.

        Raises UsageMistake, and what calls raise.
        """
        if argument and not self.takes_words:
            raise UsageMistake(f"Error: {self.name} accepts no arguments")
        if self.precheck and not session.upcheck():
            return False
        return bool(resolved(self.target)(session, argument))


def described(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Format each row: its first part, TABs up to a common column, its explanation."""
    rows = list(rows)
    stops = max(len(form) for form, _ in rows) // TAB + 1
    return [form + "\t" * (stops - len(form) // TAB) + text for form, text in rows]


def resolved(target: str) -> Callable[..., Any]:
    """Import the function that ``module:function`` names, from a module of this package."""
    module, _, name = target.partition(":")
    # Unlike importlib.import_module, this does not load the package importlib.
    loaded = __import__(f"{__package__}.{module}", fromlist=[name])
    function: Callable[..., Any] = getattr(loaded, name)
    return function


def leave(session: Session, argument: str) -> bool:
    """End the shell."""
    session.line("")
    return True


ROWS = (
    ClientCommand(
        "add",
        "group_actions:add",
        ("add <group> ...", "Activate groups of the configuration last read"),
        completes=GROUPS,
    ),
    ClientCommand(
        "avail",
        "status_actions:avail",
        ("avail", "List every configured process, in use or not"),
        takes_words=False,
        extended=("json:avail", ("avail --json", "Print the result as JSON")),
        options=(JSON,),
    ),
    ClientCommand(
        "clear",
        "process_actions:clear",
        ("clear <name> ...", "Empty the log files of processes"),
        ("clear <group>:*", "Empty the log files of every process of a group"),
        ("clear all", "Empty the log files of every process"),
        precheck=True,
        completes=PROCESSES,
    ),
    ClientCommand("exit", "commands:leave", ("exit", "Leave the shell")),
    ClientCommand(
        "fg",
        "follow:foreground",
        ("fg <name>", "Connect to input and output of a process; Ctrl-C disconnects"),
        precheck=True,
        completes=PROCESSES,
    ),
    ClientCommand(
        "maintail",
        "status_actions:maintail",
        ("maintail", "Show the last 1600 bytes of the daemon's own log"),
        ("maintail -<bytes>", "Show this many bytes of it"),
        ("maintail -f", "Show it and follow it until Ctrl-C"),
        precheck=True,
    ),
    ClientCommand(
        "open",
        "status_actions:open_url",
        ("open <url>", "Connect to the daemon at this URL"),
    ),
    ClientCommand(
        "pid",
        "status_actions:pid",
        ("pid", "Show the process id of the daemon"),
        ("pid <name> ...", "Show the process id of processes, 0 when not running"),
        ("pid all", "Show the process id of every process, one a line"),
        precheck=True,
        completes=PROCESSES,
        extended=("json:pid", ("pid [<name> ...] --json", "Print the result as JSON")),
        options=(JSON,),
    ),
    ClientCommand("quit", "commands:leave", ("quit", "Leave the shell")),
    ClientCommand(
        "reload",
        "group_actions:reload",
        ("reload", "Restart the daemon: stop and start everything"),
        takes_words=False,
    ),
    ClientCommand(
        "remove",
        "group_actions:remove",
        ("remove <group> ...", "Deactivate stopped groups"),
        completes=GROUPS,
    ),
    ClientCommand(
        "reread",
        "group_actions:reread",
        ("reread", "Read the configuration again and list what differs; changes nothing"),
        takes_words=False,
        extended=("json:reread", ("reread --json", "Print the result as JSON")),
        options=(JSON,),
    ),
    ClientCommand(
        "restart",
        "process_actions:restart",
        ("restart <name> ...", "Stop and start processes; does not reread the configuration"),
        ("restart <group>:*", "Stop and start every process of a group"),
        ("restart all", "Stop and start every process"),
        precheck=True,
        completes=PROCESSES,
    ),
    ClientCommand(
        "shutdown",
        "group_actions:shutdown",
        ("shutdown", "Stop every process and the daemon"),
        takes_words=False,
    ),
    ClientCommand(
        "signal",
        "process_actions:signal",
        ("signal <signal> <name> ...", "Send a signal, by name or number, to processes"),
        ("signal <signal> <group>:*", "Send it to every running process of a group"),
        ("signal <signal> all", "Send it to every running process"),
        precheck=True,
        completes=PROCESSES,
    ),
    ClientCommand(
        "start",
        "process_actions:start",
        ("start <name> ...", "Start processes and wait until they are running"),
        ("start <group>:*", "Start every process of a group"),
        ("start all", "Start every process"),
        precheck=True,
        completes=PROCESSES,
        extended=(
            "dependencies:start",
            ("start <name> ... --no-deps", "Start processes without their dependencies"),
        ),
        options=(("--no-deps", "Neither start their dependencies nor wait for them"),),
    ),
    ClientCommand(
        "status",
        "status_actions:status",
        ("status", "Show every process"),
        ("status <name> ...", "Show these processes"),
        ("status <group>:*", "Show every process of a group"),
        completes=PROCESSES,
        extended=(
            "json:status",
            ("status [<name> ...] <option> ...", "Show processes with these options:"),
        ),
        options=(*STATUS_OPTIONS, JSON),
    ),
    ClientCommand(
        "stop",
        "process_actions:stop",
        ("stop <name> ...", "Stop processes and wait until they have exited"),
        ("stop <group>:*", "Stop every process of a group"),
        ("stop all", "Stop every process"),
        precheck=True,
        completes=PROCESSES,
    ),
    ClientCommand(
        "tail",
        "status_actions:tail",
        ("tail <name> [stdout|stderr]", "Show the last 1600 bytes of a log, stdout by default"),
        ("tail -<bytes> <name> [stderr]", "Show this many bytes of it"),
        ("tail -f <name> [stderr]", "Show it and follow it until Ctrl-C"),
        precheck=True,
        completes=PROCESSES,
    ),
    ClientCommand(
        "update",
        "group_actions:update",
        ("update", "Reread, then add, replace and remove groups as needed"),
        ("update <group> ...", "The same for these groups only"),
        completes=GROUPS,
        extended=("json:update", ("update [<group> ...] --json", "Print the result as JSON")),
        options=(JSON,),
    ),
    ClientCommand(
        "version",
        "status_actions:version",
        ("version", "Show the version of the daemon"),
        precheck=True,
        takes_words=False,
    ),
    ClientCommand(
        "events",
        "events:events",
        ("events", "Print a line for each event until the daemon ends"),
        ("events -f", "The same, and reconnect to a restarted daemon, until Ctrl-C"),
        options=(
            ("-f, --follow", "Reconnect when the daemon comes back"),
            ("--types TYPE,...", "Only these types and their subtypes: PROCESS_STATE,TICK_5"),
            ("--json", "Show each event as one line of JSON"),
        ),
        extension=True,
    ),
    ClientCommand(
        "graph",
        "dependencies:graph",
        ("graph", "Show which processes depend on which others, in the order of starting"),
        ("graph <name> ...", "Show what these processes depend on, and what depends on them"),
        options=(JSON,),
        completes=PROCESSES,
        extension=True,
    ),
    ClientCommand(
        "healthy",
        "wait:healthy",
        ("healthy", "Exit 0 if every process is healthy, otherwise list the others and exit 1"),
        ("healthy <name> ...", "The same for these processes, which must all be running"),
        options=(
            (
                "--strict",
                "Fail also if one was restarted 3 times in 5 minutes after unexpected exits",
            ),
        ),
        completes=PROCESSES,
        extension=True,
    ),
    ClientCommand(
        "history",
        "journal:history",
        ("history", "Show what has happened to all processes and to the daemon"),
        ("history <name> ...", "The same for these processes and groups"),
        options=(
            ("--since TIME", "Only since TIME (2h, 12:00)"),
            ("--kind KIND", "Only entries about KIND or caused by it: exit, request, boot, ..."),
            ("-n, --lines N", "Number of last entries (default 50)"),
            JSON,
        ),
        completes=PROCESSES,
        extension=True,
    ),
    ClientCommand(
        "logs",
        "logs:logs",
        ("logs <name> ...", "Show the last lines of output of these processes, or of all"),
        ("logs -f <name> ...", "The same, and follow the output until Ctrl-C"),
        options=(
            ("-f, --follow", "Follow the output, across rotations and restarts of the daemon"),
            ("-n, --lines N", "Number of last lines of each output (default 10)"),
            ("--since TIME", "Output since TIME (5m, 12:00), at most since the daemon started"),
            ("--stdout", "Only stdout"),
            ("--stderr", "Only stderr"),
            (
                "-g, --grep REGEX",
                "Only lines that match; of the last 100,000 lines unless -n or --since is given",
            ),
            ("-t, --times", "Show the time of each line, as far as the daemon knows it"),
            ("--daemon", "Also the daemon's own lines, in the order of time"),
            ("--no-prefix", "Do not prefix lines with the names of processes"),
            ("--raw", "Print all bytes unchanged, even escape sequences on a terminal"),
        ),
        completes=PROCESSES,
        extension=True,
    ),
    ClientCommand(
        "refresh",
        "refresh:refresh",
        (
            "refresh <name> ...",
            "Let programs reload: send refresh_signal (HUP) or run refresh_command",
        ),
        ("refresh <group>:*", "The same for every running process of a group"),
        ("refresh all", "The same for every running process"),
        completes=PROCESSES,
        extension=True,
    ),
    ClientCommand(
        "reopen",
        "logs:reopen",
        ("reopen", "Open all logs by name again, as SIGUSR2 does"),
        ("reopen <name> ...", "Open the logs of these processes by name again"),
        completes=PROCESSES,
        extension=True,
    ),
    ClientCommand(
        "top",
        "top.loop:top",
        ("top", "Monitor and control all processes in full screen; ? lists the keys"),
        options=(("-d, --delay SECONDS", "Seconds between updates (default 2)"),),
        extension=True,
    ),
    ClientCommand(
        "upgrade",
        "upgrade:upgrade",
        ("upgrade", "Replace the daemon by the version on disk; all programs keep running"),
        takes_words=False,
        extension=True,
    ),
    ClientCommand(
        "wait",
        "wait:wait",
        ("wait <name> ... [--for STATE]", "Wait until all these processes are in a state"),
        options=(
            ("--for STATE,...", "The state, or any of several (default RUNNING)"),
            ("--timeout SECONDS", "Give up after SECONDS, exit status 124 (default: never)"),
        ),
        completes=PROCESSES,
        extension=True,
    ),
    ClientCommand(
        "why",
        "journal:why",
        ("why <name> ...", "Show why processes are in their state, and what would start them"),
        options=(JSON,),
        completes=PROCESSES,
        extension=True,
    ),
)
#: Supervisor's actions first, then the extensions.
COMMANDS = {command.name: command for command in ROWS}


def completes(name: str) -> str:
    """Return the kind of a command's words: PROCESSES, GROUPS, COMMAND_NAMES; empty: unknown."""
    if name == "help":
        return COMMAND_NAMES
    command = COMMANDS.get(name)
    return "" if command is None else command.completes


def option_names(name: str) -> list[str]:
    """The spellings of all options of a command, sorted; empty if it is unknown."""
    options = COMMANDS[name].options if name in COMMANDS else ()
    words = (word for spelled, _ in options for word in spelled.replace(",", " ").split())
    return sorted(word for word in words if word.startswith("-"))
