"""The commands ``wait``, for a state of processes, and ``healthy``, a health check."""

from __future__ import annotations

import time

from trio_supervisor.cli.ctl.arguments import mistake
from trio_supervisor.cli.ctl.names import ALL, matching, short_name
from trio_supervisor.cli.ctl.session import GENERIC, TIMED_OUT, explained
from trio_supervisor.core.process.states import State

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from typing import Any

    from trio_supervisor.cli.ctl.arguments import Arguments
    from trio_supervisor.cli.ctl.session import Session

#: Seconds that one request waits. It limits how long a request outlives a client that is gone.
SLICE = 20.0
#: Timeout in seconds of a health check without --timeout: shorter than the usual intervals of
#: container health checks.
HEALTH_PATIENCE = 2.0


def wait(session: Session, arguments: Arguments) -> None:
    if not arguments.words:
        raise mistake("wait requires a process name")
    states = _states(arguments.options.get("for", State.RUNNING.name))
    patience = arguments.number("timeout", float("inf"))
    if not session.upcheck():
        return
    names = [short_name(row) for row in matching(session, arguments.words)]
    if session.exit_status or not names:
        return
    if session.is_watched:
        # Imported here because scripts have no terminal.
        from trio_supervisor.cli.ctl.progress import Progress

        with Progress(session, "waiting for", " ".join(names)):
            rows = _await(session, names, states, patience)
    else:
        rows = _await(session, names, states, patience)
    for row in rows:
        there = row["statename"] in states
        line = f"{short_name(row)}: {row['statename']}"
        if not there:
            session.exit_status = TIMED_OUT
            reason = session.own_call("getProcessDetails", short_name(row))["reason"]
            line += f", not {' or '.join(states)} within {patience:g} s"
            line += f": {reason}" if reason else ""
        session.line(line)


def _await(
    session: Session, names: list[str], states: list[str], patience: float
) -> list[dict[str, Any]]:
    """Return the processes when all are in one of the states, or after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while True:
        left = max(0.0, deadline - time.monotonic())
        rows: list[dict[str, Any]] = session.own_call(
            "waitForState", names, states, min(left, _slice(session))
        )
        if left == 0 or all(row["statename"] in states for row in rows):
            return rows


def _states(text: str) -> list[str]:
    states = text.upper().split(",")
    for state in states:
        if state not in State.__members__:
            raise mistake(f"no such state: {state}; there are {', '.join(State.__members__)}")
    return states


def _slice(session: Session) -> float:
    """Seconds for one request, well below --timeout, which is for a daemon that does not answer."""
    timeout = session.options.timeout
    return SLICE if timeout is None else min(SLICE, timeout / 2)


def healthy(session: Session, arguments: Arguments) -> None:
    """Check the health; the exit status is 0 or 1, the only ones that containers define."""
    given = session.options.timeout
    session.options.timeout = HEALTH_PATIENCE if given is None else given
    session.disconnect()
    try:
        unhealthy = _unhealthy(session, arguments.words, strict=arguments.has("strict"))
    except Exception as error:  # any error means unhealthy
        session.fail(explained(session, error)[0])
        return
    finally:  # for the next actions of a shell
        session.options.timeout = given
        session.disconnect()
    for row in unhealthy:
        session.fail(f"{short_name(row)}: {row['statename']}: {row['reason']}")
    if session.exit_status:
        session.exit_status = GENERIC
    else:
        session.line("healthy")


def _unhealthy(session: Session, words: list[str], *, strict: bool) -> list[dict[str, Any]]:
    names: list[str] = []
    if words and ALL not in words:
        names = [short_name(row) for row in matching(session, words)]
        if not names:
            return []
    # An older daemon does not know the second parameter.
    asked = (names, True) if strict else (names,)
    rows: list[dict[str, Any]] = session.own_call("getUnhealthy", *asked)
    return rows
