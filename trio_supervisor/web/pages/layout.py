"""The common parts of all pages: frame, headers, escaping of text."""

from __future__ import annotations

import re
from html import escape

from trio_supervisor._version import __version__
from trio_supervisor.core.escape import UNSAFE
from trio_supervisor.web.message import PLAIN, SECURITY, Response, http_date
from trio_supervisor.web.pages.assets import ICON, SCRIPT, STYLE

#: Pages are true only for the moment.
NO_CACHE = (
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache"),
    ("Expires", http_date(0)),
)
#: Characters that no page may contain.
_CONTROL = re.compile(f"[{UNSAFE}]")
_HEADERS = (*NO_CACHE, *SECURITY)
#: Characters that are escaped at once. Between two pieces, other threads run.
PIECE = 32 * 1024
#: Hidden until the script, which uses them, shows them.
TOOLS = """\
<div class="tools" hidden><span class="live" role="status">connecting</span>\
<button type="button" data-do="theme" aria-label="Light or dark">◐</button>\
<button type="button" data-do="help" aria-label="Keyboard shortcuts">?</button></div>"""


def page(
    title: str,
    content: str,
    *,
    kind: str,
    heading: str = "",
    bar: str = "",
    head: str = "",
    status: int = 200,
    headers: tuple[tuple[str, str], ...] = (),
) -> Response:
    """Return a complete page. Links are relative, so that it works behind a path prefix.

    ``kind`` tells the script which page it is on; an empty ``heading`` means the title.
    ``content``, ``bar`` (on the right of the top line) and ``head`` are HTML.
    """
    html = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{visible(title)}</title>\n'
        f'<link rel="icon" href="{ICON}">\n<link rel="stylesheet" href="{STYLE}">\n'
        f'<script src="{SCRIPT}"></script>\n{head}</head>\n'
        f'<body data-page="{kind}">\n'
        f'<header class="top"><h1>{visible(heading or title)}</h1>{bar}</header>\n'
        f"<main>\n{content}</main>\n"
        f"<footer>trio-supervisor {__version__}</footer>\n</body>\n</html>\n"
    )
    return Response(status, html.encode(errors="replace"), headers=(*headers, *_HEADERS))


def message_line(text: str, *, bad: bool = False) -> str:
    """Return the message bar for the result of an action, hidden if ``text`` is empty.

    It lies over the page, at the bottom of the window, so that it moves nothing when it appears.
    """
    kind = " bad" if bad else ""
    shown = "" if text else " hidden"
    return (
        f'<div class="message{kind}"{shown}><p role="status">{visible(text)}</p>'
        '<a href="./" aria-label="Close the message">✕</a></div>\n'
    )


def shortcuts(keys: tuple[tuple[str, str], ...]) -> str:
    """Return the help dialog, from pairs of keys, separated by blanks, and descriptions."""
    pairs = "".join(
        f"<div><dt><kbd>{some.replace(' ', '</kbd> <kbd>')}</kbd></dt><dd>{does}</dd></div>"
        for some, does in keys
    )
    return (
        '<dialog class="help" aria-label="Keyboard shortcuts"><h2>Keyboard shortcuts</h2>'
        f'<dl>{pairs}</dl><form method="dialog"><button class="primary">Close</button></form>'
        "</dialog>\n"
    )


def visible(text: str) -> str:
    """Escape text for HTML, with control characters replaced."""
    pieces = (text[start : start + PIECE] for start in range(0, len(text), PIECE))
    return "".join([escape(_CONTROL.sub("\ufffd", piece)) for piece in pieces])


def health() -> Response:
    """Answer ``/ok.html``: any answer means that the supervisor is alive."""
    return Response(200, b"OK", PLAIN, headers=SECURITY)
