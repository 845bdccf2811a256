"""``wait``: until processes are in a state; ``healthy``: whether they are as they should be."""

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

#: Seconds one request waits: a client that goes away leaves none behind for longer.
SLICE = 20.0
#: Seconds in which a health check that has no --timeout must have its answer: shorter than the
#: intervals of containers' checks.
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
    """The processes when all of them are in one of the states, or when patience is over."""
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
    """Well within --timeout, which is for daemons that do not answer."""
    timeout = session.options.timeout
    return SLICE if timeout is None else min(SLICE, timeout / 2)


def healthy(session: Session, arguments: Arguments) -> None:
    """Exit status 0 or 1 and nothing else: containers know no others."""
    given = session.options.timeout
    session.options.timeout = HEALTH_PATIENCE if given is None else given
    session.disconnect()
    try:
        ailing = _ailing(session, arguments.words)
    except Exception as error:  # whatever it is, this is not healthy
        session.fail(explained(session, error)[0])
        return
    finally:  # a shell goes on, and its actions may take longer
        session.options.timeout = given
        session.disconnect()
    for row in ailing:
        session.fail(f"{short_name(row)}: {row['statename']}: {row['reason']}")
    if session.exit_status:
        session.exit_status = GENERIC
    else:
        session.line("healthy")


def _ailing(session: Session, words: list[str]) -> list[dict[str, Any]]:
    if not words or ALL in words:
        rows: list[dict[str, Any]] = session.own_call("getUnhealthy", [])
        return rows
    names = [short_name(row) for row in matching(session, words)]
    return session.own_call("getUnhealthy", names) if names else []
