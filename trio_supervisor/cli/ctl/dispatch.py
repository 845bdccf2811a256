"""Performs command lines: finds the command, shows help, and reports errors.

Errors of the connection become output lines and exit statuses here and nowhere else.
"""

from __future__ import annotations

from trio_supervisor.cli.client.client import UNAUTHORIZED, HttpError
from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.session import UsageMistake, explained

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from typing import Any, Protocol

    from trio_supervisor.cli.ctl.commands import ClientCommand
    from trio_supervisor.cli.ctl.session import Session

    class Plugin(Protocol):
        """An object with ``do_X`` methods; its name is that of its section."""

        name: str

    class Hooks(Protocol):
        """Hooks with which a plugin surrounds the lines of the shell."""

        cmdqueue: list[str]
        prompt: str

        def precmd(self, line: str) -> str: ...
        def postcmd(self, stop: bool, line: str) -> Any: ...


HELP_OF_HELP = (
    "help\t\t\tList the actions",
    "help <action>\t\tExplain an action",
)
#: Width of the list of actions.
SCREEN = 80


class Dispatcher:
    """Performs the lines of one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.plugins: list[Plugin] = []
        """The objects of the ``[ctlplugin:x]`` sections."""
        self.controller: Hooks | None = None
        """The object that plugins were given; None without plugins."""
        self.last_line = ""
        """The last line performed."""

    def ask(self) -> str | None:
        """Read the next line of the shell; None at the end of input."""
        controller = self.controller
        if controller is None:
            return self.session.input.ask(f"{self.session.options.prompt}> ")
        if controller.cmdqueue:  # lines that a plugin has queued
            return controller.cmdqueue.pop(0)
        return self.session.input.ask(controller.prompt)

    def run_typed(self, line: str) -> bool:
        """Perform a line of the shell, with the hooks of plugins around it."""
        controller = self.controller
        if controller is None:
            return self.run(line)
        try:
            line = controller.precmd(line)
            return bool(controller.postcmd(self.run(line), line))
        except Exception as error:  # raised by a hook of a plugin: the shell goes on
            self.session.fail(*explained(self.session, error))
            return False

    def run(self, line: str) -> bool:
        """Perform one line; true when the shell should end."""
        self.session.exit_status = 0
        ends = self.run_nested(line)
        if self.session.hints:
            if self.session.is_watched:
                # Imported here because scripts have no terminal.
                from trio_supervisor.cli.ctl.hints import show

                show(self.session)
            self.session.hints.clear()
        return ends

    def run_nested(self, line: str) -> bool:
        """Perform a line for the action of a plugin, which may call from a thread of its own.

        The exit status is that of the last failure, in whichever line that was.
        """
        session = self.session
        before = session.exit_status
        while True:
            try:
                return self._perform(line.strip())
            except Exception as error:  # the shell goes on after any error
                session.fail(*explained(session, error))
                asks = isinstance(error, HttpError) and error.status == UNAUTHORIZED
                if not asks or not session.options.interactive or session.is_in_thread:
                    session.hint_at_failure(error)
                    return False
                if not session.ask_credentials():
                    return False
                session.exit_status = before

    def _perform(self, line: str) -> bool:
        if not line:
            return False
        self.last_line = line
        if line.startswith("?"):
            line = f"help {line[1:]}"
        name, argument = _split(line)
        if name == "help":
            self.help(argument)
            return False
        command = COMMANDS.get("exit" if name == "EOF" else name)
        if command is not None and not command.extension:
            return self._report_mistakes(command, argument)
        for plugin in self.plugins:
            method = getattr(plugin, f"do_{name}", None) if name else None
            if method is not None:
                return bool(method(argument))
        if command is not None:
            return self._report_mistakes(command, argument)
        self.unknown(line)
        return False

    def unknown(self, line: str) -> None:
        """Report a line that is neither a command nor an action of a plugin."""
        self.session.fail(f"*** Unknown syntax: {line}")
        self.session.hints.append(lambda hints: hints.of_line(line))

    def _report_mistakes(self, command: ClientCommand, argument: str) -> bool:
        try:
            return command.perform(self.session, argument)
        except UsageMistake as mistake:
            self.session.fail(mistake.text, mistake.status)
            for text in command.usage(argument) if mistake.with_help else ():
                self.session.line(text)
            return False

    def help(self, topic: str) -> None:
        """List the commands, or explain one."""
        session = self.session
        command = COMMANDS.get(topic)
        if not topic:
            session.line("")
            self._list("default", _names(extension=False))
            for plugin in self.plugins:
                self._list(plugin.name, plugin_actions(plugin))
            self._list("further", _names(extension=True))
        elif topic == "help":
            for text in HELP_OF_HELP:
                session.line(text)
        elif command is not None and not command.extension:
            for text in command.help:
                session.line(text)
        elif any(_plugin_help(session, plugin, topic) for plugin in self.plugins):
            pass
        elif command is not None:
            for text in command.help:
                session.line(text)
        else:
            session.line(f"*** No help on {topic}")  # once, however many plugins lack it

    def _list(self, owner: str, names: list[str]) -> None:
        header = f"{owner} commands (type help <topic>):"
        self.session.line(header)
        self.session.line("=" * len(header))
        for row in columns(names, SCREEN - 1):
            self.session.line(row)
        self.session.line("")


def _names(*, extension: bool) -> list[str]:
    """The names of Supervisor's actions, or of the commands that it lacks, sorted."""
    return sorted(name for name, row in COMMANDS.items() if row.extension is extension)


def plugin_actions(plugin: Plugin) -> list[str]:
    """The actions of a plugin, sorted; its ``do_help`` is not one."""
    names = {name.removeprefix("do_") for name in dir(plugin) if name.startswith("do_")}
    return sorted(names - {"help"})


def _plugin_help(session: Session, plugin: Plugin, topic: str) -> bool:
    """Show the help of a plugin on a topic; False if it has none."""
    explain = getattr(plugin, f"help_{topic}", None)
    if explain is not None:
        explain()
        return True
    action = getattr(plugin, f"do_{topic}", None)
    text = None if action is None else action.__doc__  # None has a docstring in Python 3.13
    if text:
        session.line(text)
    return bool(text)


def _split(line: str) -> tuple[str, str]:
    """Split a line into the leading run of letters, digits and underscores, and the rest."""
    end = 0
    while end < len(line) and line[end].isascii() and (line[end].isalnum() or line[end] == "_"):
        end += 1
    return line[:end], line[end:].strip()


def columns(names: list[str], width: int) -> list[str]:
    """Lay out names down columns, in as few rows as fit the width."""
    for count in range(1, len(names) + 1):
        stacks = [names[start::count] for start in range(count)]  # rows of a candidate
        tall = [names[start : start + count] for start in range(0, len(names), count)]
        widths = [max(map(len, column)) for column in tall]
        if sum(widths) + 2 * (len(widths) - 1) <= width or count == len(names):
            return [
                "  ".join(name.ljust(size) for name, size in zip(row, widths, strict=False))
                for row in stacks
            ]
    return []
