"""The table of the reference's actions: help, completion and dispatch are all read from it.

A row names its function, so that a run imports what its action needs and no more. What only this
client has stands in ``commands.py``.
"""

from __future__ import annotations

import importlib

from trio_supervisor.cli.ctl.session import UsageMistake

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from trio_supervisor.cli.ctl.session import Session

#: Columns between two tabulator stops of a terminal.
TAB = 8
#: What completion offers after an action.
PROCESSES = "processes"
GROUPS = "groups"
ACTION_NAMES = "actions"


class Action:
    """One row. ``forms`` are the ways to write it, each with a short explanation."""

    __slots__ = ("completes", "forms", "name", "precheck", "takes_arguments", "target")

    def __init__(
        self,
        name: str,
        target: str,
        *forms: tuple[str, str],
        precheck: bool = False,
        takes_arguments: bool = True,
        completes: str = "",
    ) -> None:
        self.name = name
        self.target = target
        """``module:function``, given the session and the argument string; true ends the shell."""
        self.forms = forms
        self.precheck = precheck
        """Ask for the daemon's version first, which gives the texts of ctl.md 3."""
        self.takes_arguments = takes_arguments
        self.completes = completes

    @property
    def help(self) -> list[str]:
        """One line for each form: the form, TABs, the explanation (ctl.md 5, help)."""
        return described(self.forms)

    def perform(self, session: Session, argument: str) -> bool:
        """True when the shell should end. Raises UsageMistake, and what calls raise."""
        if argument and not self.takes_arguments:
            raise UsageMistake(f"Error: {self.name} accepts no arguments")
        if self.precheck and not session.upcheck():
            return False
        return bool(resolved(self.target)(session, argument))


def described(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Each first part, filled up with TABs to the same column, and its explanation."""
    rows = list(rows)
    stops = max(len(form) for form, _ in rows) // TAB + 1
    return [form + "\t" * (stops - len(form) // TAB) + text for form, text in rows]


def resolved(target: str) -> Callable[..., Any]:
    """The function that ``module:function`` names, the module being one of this package."""
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return function


def leave(session: Session, argument: str) -> bool:
    session.line("")
    return True


ROWS = (
    Action(
        "add",
        "group_actions:add",
        ("add <group> ...", "Take groups of the last reread into the running set"),
        completes=GROUPS,
    ),
    Action(
        "avail",
        "status_actions:avail",
        ("avail", "List every configured process, in use or not"),
        takes_arguments=False,
    ),
    Action(
        "clear",
        "process_actions:clear",
        ("clear <name> ...", "Empty the log files of processes"),
        ("clear <group>:*", "Empty the log files of every process of a group"),
        ("clear all", "Empty the log files of every process"),
        precheck=True,
        completes=PROCESSES,
    ),
    Action("exit", "actions:leave", ("exit", "Leave the shell")),
    Action(
        "fg",
        "follow:foreground",
        ("fg <name>", "Type to a process and see its output; Ctrl-C leaves it running"),
        precheck=True,
        completes=PROCESSES,
    ),
    Action(
        "maintail",
        "status_actions:maintail",
        ("maintail", "Show the last 1600 bytes of the daemon's own log"),
        ("maintail -<bytes>", "Show that many bytes of it"),
        ("maintail -f", "Show it and whatever is added, until Ctrl-C"),
        precheck=True,
    ),
    Action(
        "open",
        "status_actions:open_url",
        ("open <url>", "Talk to the daemon at that URL from now on"),
    ),
    Action(
        "pid",
        "status_actions:pid",
        ("pid", "Show the process id of the daemon"),
        ("pid <name> ...", "Show the process id of processes, 0 when not running"),
        ("pid all", "Show the process id of every process, one a line"),
        precheck=True,
        completes=PROCESSES,
    ),
    Action("quit", "actions:leave", ("quit", "Leave the shell")),
    Action(
        "reload",
        "group_actions:reload",
        ("reload", "Restart the daemon: stop everything and start over"),
        takes_arguments=False,
    ),
    Action(
        "remove",
        "group_actions:remove",
        ("remove <group> ...", "Take stopped groups out of the running set"),
        completes=GROUPS,
    ),
    Action(
        "reread",
        "group_actions:reread",
        ("reread", "Read the configuration again and list what differs; changes nothing"),
        takes_arguments=False,
    ),
    Action(
        "restart",
        "process_actions:restart",
        ("restart <name> ...", "Stop and start processes; does not reread the configuration"),
        ("restart <group>:*", "Stop and start every process of a group"),
        ("restart all", "Stop and start every process"),
        precheck=True,
        completes=PROCESSES,
    ),
    Action(
        "shutdown",
        "group_actions:shutdown",
        ("shutdown", "Stop every process and end the daemon"),
        takes_arguments=False,
    ),
    Action(
        "signal",
        "process_actions:signal",
        ("signal <signal> <name> ...", "Send a signal, by name or number, to processes"),
        ("signal <signal> <group>:*", "Send it to every running process of a group"),
        ("signal <signal> all", "Send it to every running process"),
        precheck=True,
        completes=PROCESSES,
    ),
    Action(
        "start",
        "process_actions:start",
        ("start <name> ...", "Start processes and wait until they are up"),
        ("start <group>:*", "Start every process of a group"),
        ("start all", "Start every process"),
        precheck=True,
        completes=PROCESSES,
    ),
    Action(
        "status",
        "status_actions:status",
        ("status", "Show every process"),
        ("status <name> ...", "Show these processes"),
        ("status <group>:*", "Show every process of a group"),
        completes=PROCESSES,
    ),
    Action(
        "stop",
        "process_actions:stop",
        ("stop <name> ...", "Stop processes and wait for their end"),
        ("stop <group>:*", "Stop every process of a group"),
        ("stop all", "Stop every process"),
        precheck=True,
        completes=PROCESSES,
    ),
    Action(
        "tail",
        "status_actions:tail",
        ("tail <name> [stdout|stderr]", "Show the last 1600 bytes of a log, stdout by default"),
        ("tail -<bytes> <name> [stderr]", "Show that many bytes of it"),
        ("tail -f <name> [stderr]", "Show it and whatever is added, until Ctrl-C"),
        precheck=True,
        completes=PROCESSES,
    ),
    Action(
        "update",
        "group_actions:update",
        ("update", "Reread, then add, replace and remove groups as needed"),
        ("update <group> ...", "The same for these groups only"),
        completes=GROUPS,
    ),
    Action(
        "version",
        "status_actions:version",
        ("version", "Show the version of the daemon"),
        precheck=True,
        takes_arguments=False,
    ),
)
ACTIONS = {action.name: action for action in ROWS}
