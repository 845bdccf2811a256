"""The status page: shows what is running, why something is not, and has buttons to act.

It is plain HTML that works without the script, which adds live updates (``live.py``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import trio

from trio_supervisor.core.process.states import DaemonState
from trio_supervisor.web.message import Response
from trio_supervisor.web.pages import csrf
from trio_supervisor.web.pages.actions import act, is_failure
from trio_supervisor.web.pages.forms import (
    ASK,
    CONFIRM,
    OF_ALL,
    Viewer,
    confirmation,
    text_of,
    viewer_of,
)
from trio_supervisor.web.pages.layout import NO_CACHE, TOOLS, message_line, page, shortcuts, visible
from trio_supervisor.web.pages.questions import question_of
from trio_supervisor.web.pages.status_model import GROUPED, SORTS, SortOrder, StatusModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.message import Request

#: Most characters of a message, which goes through a redirect.
MESSAGE_LIMIT = 500
JSON = "application/json"
#: Seconds after which a page without the script checks whether the daemon is back.
RETRY = 5
_GOING_DOWN = (
    "<p>The supervisor is shutting down.</p>\n"
    '<p class="hint">This page looks by itself whether it is back.</p>\n'
)
#: Columns by which the table can be sorted, with their titles.
_COLUMNS = {
    "state": "State",
    "name": "Name",
    "cpu": "CPU",
    "memory": "Memory",
    "uptime": "Uptime",
    "pid": "PID",
    "restarts": "Restarts",
}
#: Columns that are sorted in descending order.
_DESCENDING = frozenset({"cpu", "memory", "uptime", "restarts"})
_EVENTS = """\
<section class="events"><h2>Events</h2>\
<a href="history.html">What has happened</a> \
<a href="log.html?channel=main">The supervisor's own log</a>"""
_KEYS = (
    ("/", "filter"),
    ("j k", "next, previous process"),
    ("s", "start it"),
    ("x", "stop it, after a question"),
    ("r", "restart it, after a question"),
    ("l", "its log"),
    ("o", "its last output"),
    ("t", "light or dark"),
    ("?", "this help"),
)


async def status_page(supervisor: Supervisor, request: Request) -> Response:
    """Show the page, or carry out an action and redirect the browser to the page.

    Access and origin of the request were checked before.
    """
    if supervisor.state is not DaemonState.RUNNING:
        return going_down()
    fields = request.fields
    if "action" not in fields or request.method == "HEAD":
        await supervisor.usage.refresh()
        return _show(supervisor, fields, viewer_of(request))
    ours = csrf.is_ours(request)
    wants_json = JSON in request.headers.get("accept", "")
    if fields.get(CONFIRM) == ASK or (csrf.is_from_browser(request) and not ours):
        # A script that looks like a browser must notice that nothing was done.
        is_refusal = not ours and (request.method == "POST" or not csrf.tells_origin(request))
        question = question_of(supervisor, fields)
        if ours and wants_json:
            return _json({"question": question, "button": text_of(fields["action"])})
        status = 403 if is_refusal else 200
        return confirmation(fields, question, csrf.token_for(request), status=status)
    message = (await act(supervisor, fields, request.has_left))[:MESSAGE_LIMIT]
    if wants_json:
        return _json({"message": message, "failed": is_failure(message)})
    where = f"./?message={quote(message, safe='')}"
    return Response(303, b"", headers=(("Location", where), *NO_CACHE))


def _json(answer: dict[str, object]) -> Response:
    return Response(200, json.dumps(answer).encode(), JSON, NO_CACHE)


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
    model = StatusModel(supervisor, viewer)
    words, order = fields.get("filter", ""), SortOrder.of(fields.get("sort", ""))
    message = fields.get("message", "")[:MESSAGE_LIMIT]
    # A filtered page has no mark: the script also needs the rows that are filtered out.
    mark = "" if words else supervisor.event_history.mark
    return page(
        f"Supervisor status: {supervisor.config.daemon.identifier}",
        f"{message_line(message, bad=is_failure(message))}"
        f'<nav class="bar" data-mark="{mark}" '
        f'data-clock="{trio.current_time():.1f}"><ul class="summary">{model.summary()}</ul>'
        f"{_controls(words, order)}</nav>\n"
        f"{_table(supervisor, model.table(words, order), words, order)}"
        f"{_EVENTS}<ol>{model.events()}</ol></section>\n{shortcuts(_KEYS)}",
        kind="status",
        heading=supervisor.config.daemon.identifier,
        bar=f'<div class="everything">{viewer.form(OF_ALL)}</div>{TOOLS}',
    )


def _controls(words: str, order: SortOrder) -> str:
    options = "".join(
        f'<option value="{way}"{" selected" if way == order.key else ""}>{text}</option>'
        for way, text in SORTS.items()
    )
    return (
        '<form class="controls" method="get" action="./" role="search">'
        f'<input type="search" name="filter" value="{visible(words)}" placeholder="Filter" '
        'aria-label="Filter by name or state" autocomplete="off">'
        f'<select name="sort" aria-label="Sort">{options}</select>'
        '<button class="apply">Apply</button></form>'
    )


def _table(supervisor: Supervisor, bodies: str, words: str, order: SortOrder) -> str:
    if not supervisor.processes():
        return '<p class="empty">No programs to manage</p>\n'
    headings = "".join(_heading(key, title, words, order) for key, title in _COLUMNS.items())
    kind = "processes" if order.key in GROUPED else "processes sorted"
    return (
        f'<table class="{kind}">\n<thead><tr>{headings}'
        '<th scope="col"><span class="unseen">Actions</span></th></tr></thead>\n'
        f"{bodies}</table>\n"
        f'<p class="empty nothing" role="status"{" hidden" if bodies else ""}>'
        f"No name or state contains <q>{visible(words)}</q>. "
        '<a href="./">Show all</a></p>\n'
    )


def _heading(key: str, title: str, words: str, order: SortOrder) -> str:
    """Return a heading that sorts by its column; a second click reverses the order."""
    fields = {"sort": order.then(key)} | ({"filter": words} if words else {})
    descends = (key in _DESCENDING) is not order.is_reversed
    direction = "descending" if descends else "ascending"
    sorted_by = f' aria-sort="{direction}"' if key == order.key else ""
    return (
        f'<th scope="col" data-sort="{key}"{sorted_by}>'
        f'<a href="?{visible(urlencode(fields))}">{title}</a></th>'
    )
