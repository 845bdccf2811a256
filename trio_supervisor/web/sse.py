"""Server-sent events as bytes (WHATWG HTML, section 9.2). Pure: knows nothing of what they mean."""

from __future__ import annotations

import re

from trio_supervisor.web.message import NO_STORE

TYPE = "text/event-stream;charset=utf-8"
#: No proxy on the way may hold anything back.
HEADERS = (*NO_STORE, ("X-Accel-Buffering", "no"))
#: A comment: tells proxies and clients that the connection lives.
KEEP_ALIVE = b": keep-alive\n\n"

#: What ends a line for a reader; nothing else does.
_LINE_END = re.compile("\r\n|\r|\n")


def message(data: str, *, event: str = "", id: str = "") -> bytes:
    """One message; ``event`` and ``id`` are left out if empty, and kept to one line each.

    What UTF-8 has no bytes for (lone surrogates) is escaped as JSON does.
    """
    lines = [f"data: {line}" for line in _LINE_END.split(data)]
    named = (("id", id), ("event", event))
    head = [f"{name}: {_one_line(value)}" for name, value in named if value]
    return "\n".join([*head, *lines, "\n"]).encode(errors="backslashreplace")


def _one_line(text: str) -> str:
    return _LINE_END.sub(" ", text).replace("\0", " ")  # an id with NUL is ignored by readers
