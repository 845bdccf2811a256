"""The buttons of the pages: small forms with the same fields that scripts send, and the token.

A button that would stop several processes or delete data asks first: its form has the field
``confirm``. The server answers it with the question: as JSON for the page's script, which shows a
dialog, else as a page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.web.pages import csrf
from trio_supervisor.web.pages.layout import page, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.web.message import Request, Response

#: The field of a form that requests a confirmation, and its value.
CONFIRM = "confirm"
ASK = "ask"
PROCESS = "processname"
GROUP = "groupname"


@dataclass(frozen=True, slots=True)
class Button:
    """The text of a button, its value of the field ``action``, and whether it asks first."""

    text: str
    value: str
    asks: bool = False


START = Button("Start", "start")
STOP = Button("Stop", "stop")
RESTART = Button("Restart", "restart")
REFRESH = Button("Refresh", "refreshprocess")
CLEAR_LOG = Button("Clear log", "clearlog", asks=True)
OF_GROUP = (
    Button("Start", "startgroup"),
    Button("Restart", "restartgroup", asks=True),
    Button("Stop", "stopgroup", asks=True),
)
OF_ALL = (
    Button("Refresh", "refresh"),
    Button("Start All", "startall"),
    Button("Restart All", "restartall", asks=True),
    Button("Stop All", "stopall", asks=True),
)
_TEXTS = {a.value: a.text for a in (START, STOP, RESTART, REFRESH, CLEAR_LOG, *OF_GROUP, *OF_ALL)}


@dataclass(frozen=True, slots=True)
class Viewer:
    """The user who sees a page; ``token`` is empty for a read-only user."""

    token: str

    def form(self, actions: tuple[Button, ...], field: str = "", value: str = "") -> str:
        """Return forms with a button for each action; empty for a read-only user.

        ``field`` and ``value`` name the process or group; without them the actions are for all.
        """
        if not self.token:
            return ""
        common = hidden(csrf.FIELD, self.token) + (hidden(field, value) if field else "")
        direct = "".join(_button(action, value) for action in actions if not action.asks)
        asking = "".join(_button(action, value) for action in actions if action.asks)
        return (_form(common, direct) if direct else "") + (
            _form(common + hidden(CONFIRM, ASK), asking) if asking else ""
        )


def viewer_of(request: Request) -> Viewer:
    return Viewer("" if request.readonly else csrf.token_for(request))


def text_of(value: str) -> str:
    """Return the text of the button with a value; the value itself if there is none."""
    return _TEXTS.get(value, value)


def confirmation(fields: Mapping[str, str], question: str, token: str, *, status: int) -> Response:
    """Return a page that asks for a confirmation of the action in the fields."""
    value = fields["action"]
    carried = "".join(hidden(f, fields[f]) for f in (PROCESS, GROUP) if f in fields)
    return page(
        question,
        f'<form class="question" method="post" action="./">{hidden(csrf.FIELD, token)}{carried}'
        f'<button class="primary" name="action" value="{visible(value)}">{visible(text_of(value))}'
        f'</button> <a class="button" href="./">Cancel</a></form>\n',
        kind="question",
        status=status,
    )


def hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{visible(value)}">'


def _form(fields: str, buttons: str) -> str:
    return f'<form method="post" action="./">{fields}{buttons}</form>'


def _button(action: Button, name: str) -> str:
    label = visible(f"{action.text} {name}".rstrip())
    return (
        f'<button name="action" value="{action.value}" aria-label="{label}">{action.text}</button>'
    )
