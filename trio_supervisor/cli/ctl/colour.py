"""Colours of states, and harmless text, for a terminal. Imported only when there is one."""

from __future__ import annotations

import codecs

from trio_supervisor.cli.ctl.text import RESET, harmless

RED, GREEN, YELLOW, GREY = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[90m"
COLOURS = {
    "RUNNING": GREEN,
    "STARTING": YELLOW,
    "STOPPING": YELLOW,
    "BACKOFF": RED,
    "FATAL": RED,
    "UNKNOWN": RED,
    "STOPPED": GREY,
    "EXITED": GREY,
}


def painted(text: str, state: str) -> str:
    return f"{COLOURS[state]}{text}{RESET}" if state in COLOURS else text


class AnsiFilter:
    """Makes a log that comes in pieces harmless, whole lines at a time where it can."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        """What of it may be shown. A sequence cut in two by the pieces is shown, not obeyed."""
        lines = self._decoder.decode(data).split("\n")
        return "\n".join(harmless(line) for line in lines)
