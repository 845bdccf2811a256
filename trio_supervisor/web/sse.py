"""Encoding of server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import re

from trio_supervisor.web.message import NO_STORE

TYPE = "text/event-stream;charset=utf-8"
#: X-Accel-Buffering: a proxy must not buffer the stream.
HEADERS = (*NO_STORE, ("X-Accel-Buffering", "no"))
#: A comment, so that proxies and clients see that the connection is alive.
KEEP_ALIVE = b": keep-alive\n\n"

#: The line ends of the format.
_LINE_END = re.compile("\r\n|\r|\n")


def message(data: str, *, event: str = "", id: str = "") -> bytes:
    """Encode a message. ``event`` and ``id`` are omitted if empty; line ends in them become blanks.

    Lone surrogates, which UTF-8 cannot encode, are escaped as in JSON.
    """
    lines = [f"data: {line}" for line in _LINE_END.split(data)]
    named = (("id", id), ("event", event))
    head = [f"{name}: {_one_line(value)}" for name, value in named if value]
    return "\n".join([*head, *lines, "\n"]).encode(errors="backslashreplace")


def _one_line(text: str) -> str:
    return _LINE_END.sub(" ", text).replace("\0", " ")  # readers ignore an id with NUL
