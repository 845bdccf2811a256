"""The keys of ``top``: each changes the view or returns a request for the daemon.

Pure. The help page is made from the same table of keys. ``loop.py`` reads the keys and calls the
daemon, ``view.py`` draws.
"""

from __future__ import annotations

from trio_supervisor.cli.ctl.top.model import (
    CPU,
    MEMORY,
    NAME,
    OUTPUT,
    RESTARTS,
    STATE,
    UPTIME,
    Table,
)

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.cli.ctl.top.model import Column

#: Names that curses gives to keys; any other key is the character it types.
UP, DOWN, PAGE_UP, PAGE_DOWN = "KEY_UP", "KEY_DOWN", "KEY_PPAGE", "KEY_NPAGE"
HOME, END, BACKSPACE, DELETE = "KEY_HOME", "KEY_END", "KEY_BACKSPACE", "\x7f"
ENTER, ESCAPE, CTRL_H, CTRL_L = "\n", "\x1b", "\b", "\f"

#: What can be requested, and the words shown while it is under way.
START, STOP, RESTART, SIGNAL = "start", "stop", "restart", "signal"
FOLLOW, QUIT = "follow", "quit"
UNDER_WAY = {START: "starting", STOP: "stopping", RESTART: "restarting", SIGNAL: "signalling"}

HINTS = "?:help  S:start  X:stop  R:restart  K:signal  Enter:why  l:log  /:filter  q:quit"


class ActionRequest:
    """A request that the loop carries out: ``verb`` for the process ``name``."""

    __slots__ = ("argument", "name", "verb")

    def __init__(self, verb: str, name: str = "", argument: str = "") -> None:
        self.verb = verb
        self.name = name
        self.argument = argument
        """The name of the signal; empty for other requests."""


class Top:
    """The state of the view: everything that the screen shows."""

    def __init__(self) -> None:
        self.table = Table()
        self.identity = ""
        """The identification and the pid of the daemon."""
        self.lost = ""
        """Why the daemon does not answer; empty while it does."""
        self.time = ""
        """The time of the last sample."""
        self.notice = ""
        """The outcome of the last request."""
        self.alarming = False
        """True if the notice reports a failure."""
        self.details = False
        """True while the pane with details of the selected process is open."""
        self.helping = False
        self.prompt = ""
        """The question in the last line; empty if there is none. Keys answer it."""
        self.typed = ""
        self.first = 0
        """Index of the first row shown."""
        self.page = 1
        """Number of rows shown at once."""
        self._answer: Callable[[Top, str], ActionRequest | None] | None = None
        """Handles the next key while a question is open."""

    def say(self, notice: str, *, alarming: bool = False) -> None:
        self.notice = notice
        self.alarming = alarming

    def press(self, key: str) -> ActionRequest | None:
        """Handle a key. Return the request that it makes, None if it only changes the view."""
        if self.helping:
            self.helping = False
            return None
        self.say("")
        if self._answer is not None:
            return self._answer(self, key)
        act = _ACTS.get(key)
        return None if act is None else act(self)

    def ask(
        self, prompt: str, answer: Callable[[Top, str], ActionRequest | None], typed: str = ""
    ) -> None:
        self.prompt, self.typed, self._answer = prompt, typed, answer

    def answered(self) -> None:
        self.prompt, self.typed, self._answer = "", "", None

    def edit(self, key: str) -> None:
        """Apply a key to the line being typed."""
        if key in (BACKSPACE, DELETE, CTRL_H):
            self.typed = self.typed[:-1]
        elif len(key) == 1 and key.isprintable():
            self.typed += key


def _sort(column: Column) -> Callable[[Top], None]:
    def act(top: Top) -> None:
        top.table.sort_by(column)

    return act


def _move(steps: int) -> Callable[[Top], None]:
    def act(top: Top) -> None:
        top.table.move(steps)

    return act


def _turn(pages: int) -> Callable[[Top], None]:
    def act(top: Top) -> None:
        top.table.move(pages * top.page)

    return act


def _ends(steps: int) -> Callable[[Top], None]:
    def act(top: Top) -> None:
        top.table.move(steps * len(top.table.rows))

    return act


def _request(verb: str) -> Callable[[Top], ActionRequest | None]:
    def act(top: Top) -> ActionRequest | None:
        name = top.table.selected
        return ActionRequest(verb, name) if name else None

    return act


def _confirm(verb: str) -> Callable[[Top], None]:
    """Ask before interrupting a program."""

    def act(top: Top) -> None:
        name = top.table.selected  # rows may move while the question is open

        def answer(top: Top, key: str) -> ActionRequest | None:
            top.answered()
            if key in ("y", "Y"):
                return ActionRequest(verb, name)
            top.say(f"{name}: left alone")
            return None

        if name:
            top.ask(f"{verb} {name}? y/N ", answer)

    return act


def _signal(top: Top) -> None:
    name = top.table.selected

    def answer(top: Top, key: str) -> ActionRequest | None:
        top.edit(key)
        if key not in (ENTER, ESCAPE):
            return None
        signal = top.typed.strip()
        top.answered()
        return ActionRequest(SIGNAL, name, signal) if key == ENTER and signal else None

    if name:
        top.ask(f"signal for {name} (HUP, USR1 ...): ", answer)


def _filter(top: Top) -> None:
    def answer(top: Top, key: str) -> None:
        top.edit(key)
        if key == ESCAPE:
            top.typed = ""
        top.table.filter = top.typed
        top.table.arrange()
        if key in (ENTER, ESCAPE):
            top.answered()

    top.ask("names with: ", answer, top.table.filter)


def _details(top: Top) -> None:
    top.details = not top.details


def _back(top: Top) -> None:
    """Close the pane and remove the filter."""
    top.details = False
    top.table.filter = ""
    top.table.arrange()


def _help(top: Top) -> None:
    top.helping = True


def _nothing(top: Top) -> None:
    """Do nothing: the screen is drawn after each key anyway."""


def _quit(top: Top) -> ActionRequest:
    return ActionRequest(QUIT)


#: Keys, their text on the help page (empty if another line mentions them), their explanation, their
#: function.
KEYS: tuple[tuple[tuple[str, ...], str, str, Callable[[Top], ActionRequest | None]], ...] = (
    ((DOWN, "j"), "Down j", "next process", _move(1)),
    ((UP, "k"), "Up k", "previous process", _move(-1)),
    ((PAGE_DOWN, " "), "PgDn Space", "a page down", _turn(1)),
    ((PAGE_UP, "b"), "PgUp b", "a page up", _turn(-1)),
    ((HOME, "g"), "Home g", "first process", _ends(-1)),
    ((END, "G"), "End G", "last process", _ends(1)),
    (("S",), "S", "start the process", _request(START)),
    (("X",), "X", "stop it, after confirmation", _confirm(STOP)),
    (("R",), "R", "restart it, after confirmation", _confirm(RESTART)),
    (("K",), "K", "send it a signal", _signal),
    ((ENTER, "w"), "Enter w", "show why it is not running, and its last output", _details),
    (("l",), "l", "follow its output; Ctrl-C returns", _request(FOLLOW)),
    (("s",), "s", "sort by state, failures first; again: reverse the order", _sort(STATE)),
    (("n",), "n", "sort by name", _sort(NAME)),
    (("c",), "c", "sort by processor time", _sort(CPU)),
    (("m",), "m", "sort by memory", _sort(MEMORY)),
    (("u",), "u", "sort by uptime, youngest first", _sort(UPTIME)),
    (("r",), "r", "sort by restarts", _sort(RESTARTS)),
    (("o",), "o", "sort by output", _sort(OUTPUT)),
    (("/",), "/", "show only names that contain a text", _filter),
    ((ESCAPE,), "Esc", "show all again", _back),
    ((CTRL_L,), "", "redraw the screen", _nothing),
    (("?", "h"), "", "this page", _help),
    (("q", "Q"), "q", "leave", _quit),
)
_ACTS = {key: act for keys, _, _, act in KEYS for key in keys}
