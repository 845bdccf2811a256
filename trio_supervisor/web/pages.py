"""What all pages share: their frame, their headers, their style."""

from __future__ import annotations

import re
from html import escape

from trio_supervisor.web.message import PLAIN, SECURITY, Response, http_date

#: Pages show the moment, nobody may keep them.
NO_CACHE = (
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache"),
    ("Expires", http_date(0)),
)
STYLESHEET = "stylesheets/supervisor.css"
STYLE = """\
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #c62828; --dim: #777; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
h1 { font-size: 1.3rem }
.message { border-left: .25rem solid var(--dim); padding: .4rem .8rem }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .6rem; text-align: left }
.state { font-weight: 600; color: var(--dim) }
.running { color: var(--good) }
.error { color: var(--bad) }
form { display: inline }
button { font: inherit; cursor: pointer }
pre { border: 1px solid var(--line); overflow: auto; padding: .8rem }
footer { color: var(--dim); font-size: .85rem }
"""

#: Control characters but tab and newline, which no page may carry (4.2).
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


def page(title: str, content: str, *, status: int = 200) -> Response:
    """``content`` is HTML. Links are relative, so that a page works behind a path prefix."""
    html = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
        f'<link rel="stylesheet" href="{STYLESHEET}">\n</head>\n'
        f"<body>\n<h1>{escape(title)}</h1>\n{content}</body>\n</html>\n"
    )
    return Response(status, html.encode(errors="replace"), headers=(*NO_CACHE, *SECURITY))


def visible(text: str) -> str:
    """Text as HTML, without what would upset a browser."""
    return escape(_CONTROL.sub("\ufffd", text))


def health() -> Response:
    """``/ok.html``: the answer itself is the good news."""
    return Response(200, b"OK", PLAIN, headers=SECURITY)


def stylesheet() -> Response:
    return Response(200, STYLE.encode(), "text/css;charset=utf-8", headers=SECURITY)
