"""The interactive shell: prompt, history and completion."""

from __future__ import annotations

from contextlib import suppress

from trio_supervisor.cli.ctl.commands import (
    COMMAND_NAMES,
    COMMANDS,
    GROUPS,
    PROCESSES,
    completes,
    option_names,
)
from trio_supervisor.cli.ctl.dispatch import plugin_actions

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from trio_supervisor.cli.ctl.dispatch import Dispatcher

#: Only blanks end a word, because process names contain colons, stars and dashes.
WORD_ENDS = " \t\n"


def run_shell(dispatcher: Dispatcher) -> None:
    """Read and perform lines until exit, end of input or Ctrl-C."""
    session = dispatcher.session
    session.options.interactive = True
    history = session.options.history_file
    readline = _readline(dispatcher, history) if session.input.on_terminal else None
    try:
        dispatcher.run("status")
        while True:
            line = dispatcher.ask()
            if line is None:
                session.line("")
                break
            if dispatcher.run_typed(line):
                break
    except KeyboardInterrupt:
        session.line("")  # Ctrl-C ends the shell, also during an action
    finally:
        if readline is not None and history is not None:
            _save(readline, history)


def _readline(dispatcher: Dispatcher, history: str | None) -> ModuleType | None:
    try:
        # Imported here because only a shell on a terminal needs it, and not every Python has it.
        import readline
    except ImportError:
        return None
    completer = Completer(dispatcher, readline)
    readline.set_completer(completer.complete)
    readline.set_completer_delims(WORD_ENDS)
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
    if history is not None:
        with suppress(OSError):  # missing at the first run
            readline.read_history_file(history)
    return readline


def _save(readline: Any, history: str) -> None:
    with suppress(OSError):  # not worth an error message
        readline.write_history_file(history)


class Completer:
    """Completes words for TAB."""

    def __init__(self, dispatcher: Dispatcher, readline: Any) -> None:
        self._dispatcher = dispatcher
        self._readline = readline
        self._candidates: list[str] = []
        self._fetched_for: str | None = None
        self._rows: list[dict[str, Any]] = []

    def complete(self, text: str, state: int) -> str | None:
        """Readline's interface: called with 0, 1, 2 … until None."""
        if state == 0:
            before = self._readline.get_line_buffer()[: self._readline.get_begidx()]
            self._candidates = [f"{name} " for name in self.candidates(before, text)]
        return self._candidates[state] if state < len(self._candidates) else None

    def candidates(self, before: str, text: str) -> list[str]:
        """Return the sorted completions of ``text``, which follows ``before`` on the line."""
        words = before.split()
        if not words:
            names = self._action_names()
        else:
            kind = completes(words[0])
            if text.startswith("-"):
                names = option_names(words[0])
            elif kind == COMMAND_NAMES:
                names = self._action_names()
            elif kind == PROCESSES:
                names = process_names(self._processes(words[0]), text)
            elif kind == GROUPS:
                names = sorted({row["group"] for row in self._processes(words[0])})
            else:
                names = []
        return [name for name in names if name.startswith(text)]

    def _action_names(self) -> list[str]:
        names = {*COMMANDS, "help"}
        for plugin in self._dispatcher.plugins:
            names.update(plugin_actions(plugin))
        return sorted(names)

    def _processes(self, line_start: str) -> list[dict[str, Any]]:
        """Fetch the processes, once for a typed line; empty if the daemon does not answer."""
        typed = f"{self._readline.get_current_history_length()} {line_start}"
        if self._fetched_for != typed:
            self._fetched_for = typed
            try:
                self._rows = self._dispatcher.session.call("getAllProcessInfo")
            except Exception:  # a message would be written into the line being typed
                self._rows = []
        return self._rows


def process_names(rows: list[dict[str, Any]], text: str) -> list[str]:
    """Return ``cat`` for a group of one process, else ``pool:*`` and ``pool:pool_00``.

    After a colon all have the form with the group.
    """
    members: dict[str, list[str]] = {}
    for row in rows:
        members.setdefault(row["group"], []).append(row["name"])
    names = []
    for group, processes in members.items():
        if processes == [group] and ":" not in text:
            names.append(group)
        else:
            names += [f"{group}:*", *(f"{group}:{process}" for process in processes)]
    return sorted(names)
