"""The progress of a long call: one line on standard error, which is a terminal.

Asks the daemon over its own connection; if it does not answer, only the seconds are shown.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

from trio_supervisor.cli.client.client import Fault
from trio_supervisor.cli.ctl.names import short_name
from trio_supervisor.cli.ctl.text import clip, plain
from trio_supervisor.core.process.states import State

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from typing import Any

    from trio_supervisor.cli.ctl.session import Session

#: Seconds before progress is shown.
PATIENCE = 1.0
#: Timeout in seconds of the calls that ask for the progress.
ANSWER = 1.0
#: Number of names shown; the others are counted.
SHOWN = 3
#: Return to the first column and erase the line.
CLEAR = "\r\x1b[K"

#: Operation -> the state during it, and of a daemon that does not tell what it does next: the
#: option that limits the state, and what follows.
PHASES = {
    "stopping": (State.STOPPING, "stopwaitsecs", "KILL"),
    "starting": (State.STARTING, "startsecs", "up"),
    "waiting for": (State.STARTING, "startsecs", "up"),
}
#: Operations that the daemon continues if the client stops waiting.
LASTING = frozenset({"stopping", "starting"})


class Progress:
    """A context manager that shows the progress of a call: ``stopping web... 12s, KILL in 18s``."""

    def __init__(self, session: Session, doing: str, who: str) -> None:
        self._session = session
        self._state, self._limit, self._then = PHASES[doing]
        self._title = f"{doing} {who}"
        self._lasts = doing in LASTING
        self._began = time.monotonic()
        self._shown = False
        self._client = session.another_client(ANSWER)
        self._limits: dict[tuple[str, str], int] | None = None

    def __enter__(self) -> Progress:
        client = self._session.client()
        self._before, client.while_waiting = client.while_waiting, self._show
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        self._session.client().while_waiting = self._before
        self._client.close()
        if self._shown:
            _write(CLEAR)
        if kind is KeyboardInterrupt and self._lasts:
            _write(f"{CLEAR}not waiting any longer; the daemon goes on {self._title}\n")

    def _show(self) -> None:
        elapsed = time.monotonic() - self._began
        if elapsed < PATIENCE:
            return
        text = f"{self._title}... {elapsed:.0f}s{self._waits()}"
        _write(CLEAR + clip(plain(text), os.get_terminal_size(sys.stderr.fileno()).columns - 1))
        self._shown = True

    def _waits(self) -> str:
        """Describe the processes that are waited for, with the next step and the seconds left."""
        with suppress(Exception):  # the elapsed seconds are shown in any case
            rows = [row for row in self._rows() if row["state"] == self._state]
            waits = [self._wait(row, len(rows)) for row in rows[:SHOWN]]
            return "".join(waits) + (f", {len(rows) - SHOWN} more" if len(rows) > SHOWN else "")
        return ""

    def _rows(self) -> list[dict[str, Any]]:
        """Fetch all processes; from Supervisor's daemon without their next steps."""
        if self._limits is None:
            try:
                rows: list[dict[str, Any]] = self._client.call("tsupervisor.getAllProcessDetails")
            except Fault:
                configured = self._client.call("supervisor.getAllConfigInfo")
                self._limits = {_key(row): row[self._limit] for row in configured}
            else:
                return rows
        rows = self._client.call("supervisor.getAllProcessInfo")
        for row in rows:
            starting = self._state is State.STARTING
            elapsed = row["now"] - row["start"] if starting else time.monotonic() - self._began
            left = self._limits.get(_key(row), 0) - elapsed
            row["next_step"] = {"what": self._then, "seconds": left} if left > 0 else {}
        return rows

    def _wait(self, row: dict[str, Any], count: int) -> str:
        who = f" {short_name(row)}" if count > 1 else ""
        step = row["next_step"]
        then = f" {step['what']} in {step['seconds']:.0f}s" if step else ""
        return f",{who}{then}" if who or then else ""


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["group"], row["name"]


def _write(text: str) -> None:
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
