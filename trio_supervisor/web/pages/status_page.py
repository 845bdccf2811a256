"""The status page (interfaces.md 4.1): what runs, why something does not, and the way to act.

Plain HTML that works without scripts; the script makes it live (``live.py``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from trio_supervisor.core.states import DaemonState
from trio_supervisor.web.message import Response
from trio_supervisor.web.pages import csrf
from trio_supervisor.web.pages.actions import act, is_failure
from trio_supervisor.web.pages.board import BY_NAME, SORTS, Board
from trio_supervisor.web.pages.forms import ASK, CONFIRM, OF_ALL, Viewer, confirmation, viewer_of
from trio_supervisor.web.pages.frame import NO_CACHE, TOOLS, message_line, page, shortcuts, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.message import Request

#: Characters of a message that are carried through a redirect and shown.
MESSAGE_LIMIT = 500
JSON = "application/json"
#: Seconds after which a page without a script looks whether the daemon is back.
RETRY = 5
_GOING_DOWN = (
    "<p>The supervisor is shutting down.</p>\n"
    '<p class="hint">This page looks by itself whether it is back.</p>\n'
)
_HEAD = """\
<thead><tr><th scope="col">State</th><th scope="col">Name</th><th scope="col">CPU</th>\
<th scope="col">Memory</th><th scope="col">Uptime</th><th scope="col">PID</th>\
<th scope="col">Restarts</th><th scope="col"><span class="unseen">Actions</span></th></tr></thead>
"""
_SORT_TEXTS = ("By group and name", "Trouble first", "CPU", "Memory", "Uptime")
_EVENTS = """\
<section class="events"><h2>Events</h2>\
<a href="tail.html?channel=main">The supervisor's own log</a>"""
_KEYS = (
    ("/", "filter"),
    ("j k", "next, previous process"),
    ("s", "start it"),
    ("x", "stop it"),
    ("r", "restart it"),
    ("l", "its log"),
    ("o", "its last output"),
    ("t", "light or dark"),
    ("?", "this help"),
)


async def status_page(supervisor: Supervisor, request: Request) -> Response:
    """Show the page, or carry out an action and send the browser back to it.

    Whom a request comes from, and whether another site is behind it, was asked before.
    """
    if supervisor.state is not DaemonState.RUNNING:
        return going_down()
    fields = request.fields
    if "action" not in fields or request.method == "HEAD":
        await supervisor.vitals.refresh()
        return _show(supervisor, fields, viewer_of(request))
    ours = csrf.is_ours(request)
    if fields.get(CONFIRM) == ASK or (csrf.is_from_browser(request) and not ours):
        # A script that passes for a browser must notice that nothing was done.
        is_refusal = not ours and (request.method == "POST" or not csrf.tells_origin(request))
        return confirmation(fields, csrf.token_for(request), status=403 if is_refusal else 200)
    message = (await act(supervisor, fields))[:MESSAGE_LIMIT]
    if JSON in request.headers.get("accept", ""):
        outcome = {"message": message, "failed": is_failure(message)}
        return Response(200, json.dumps(outcome).encode(), JSON, NO_CACHE)
    where = f"./?message={quote(message, safe='')}"
    return Response(303, b"", headers=(("Location", where), *NO_CACHE))


def going_down() -> Response:
    return page(
        "Supervisor",
        _GOING_DOWN,
        kind="gone",
        head=f'<noscript><meta http-equiv="refresh" content="{RETRY}"></noscript>\n',
        status=503,
        headers=(("Retry-After", str(RETRY)),),
    )


def _show(supervisor: Supervisor, fields: Mapping[str, str], viewer: Viewer) -> Response:
    board = Board(supervisor, viewer)
    words, sort = fields.get("filter", ""), fields.get("sort", BY_NAME)
    message = fields.get("message", "")[:MESSAGE_LIMIT]
    return page(
        f"Supervisor status: {supervisor.config.daemon.identifier}",
        f"{message_line(message, bad=is_failure(message))}"
        f'<nav class="bar"><ul class="summary">{board.summary()}</ul>'
        f"{_controls(words, sort)}</nav>\n"
        f"{_table(supervisor, board.table(words, sort))}"
        f"{_EVENTS}<ol>{board.events()}</ol></section>\n{shortcuts(_KEYS)}",
        kind="status",
        heading=supervisor.config.daemon.identifier,
        bar=f'<div class="everything">{viewer.form(OF_ALL)}</div>{TOOLS}',
    )


def _controls(words: str, sort: str) -> str:
    options = "".join(
        f'<option value="{way}"{" selected" if way == sort else ""}>{text}</option>'
        for way, text in zip(SORTS, _SORT_TEXTS, strict=True)
    )
    return (
        '<form class="controls" method="get" action="./" role="search">'
        f'<input type="search" name="filter" value="{visible(words)}" placeholder="Filter" '
        'aria-label="Filter by name or state" autocomplete="off">'
        f'<select name="sort" aria-label="Sort">{options}</select>'
        '<button class="apply">Apply</button></form>'
    )


def _table(supervisor: Supervisor, bodies: str) -> str:
    if not supervisor.processes():
        return '<p class="empty">No programs to manage</p>\n'
    return f'<table class="processes">\n{_HEAD}{bodies}</table>\n'
