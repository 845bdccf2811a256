"""The command ``upgrade``: the daemon replaces its program by the one on disk, without a stop."""

from __future__ import annotations

import time

from trio_supervisor.cli.client.xml import Fault
from trio_supervisor.core.process.states import FaultCode

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from typing import Any

    from trio_supervisor.cli.ctl.arguments import Arguments
    from trio_supervisor.cli.ctl.session import Session

#: Seconds between two questions whether the next program has come.
PAUSE = 0.1
#: Seconds that the daemon gets for it: it waits for what is under way for 90 at most.
PATIENCE = 120.0


def upgrade(session: Session, arguments: Arguments) -> None:
    before = session.own_call("getUpgrade")["upgrades"]
    try:
        answer = session.own_call("upgrade")
    except Fault as fault:
        if fault.code not in (FaultCode.FAILED, FaultCode.SHUTDOWN_STATE):
            raise
        session.fail(f"ERROR: {fault.text.partition(': ')[2] or 'already shutting down'}")
        return
    state = _outcome(session)
    if state["upgrades"] == before:
        why = state["failure"] or f"it is not there after {PATIENCE:g} seconds"
        session.fail(f"ERROR: the upgrade has failed, everything keeps running: {why}")
        return
    session.line(f"Upgraded from version {answer['from']} to {state['version']}")


def _outcome(session: Session) -> Any:
    """Return what the daemon knows when the upgrade is over, or takes too long."""
    deadline = time.monotonic() + PATIENCE
    while True:
        late = time.monotonic() >= deadline
        try:
            state = session.own_call("getUpgrade")
            if late or not state["under_way"]:
                return state
        except ConnectionError:  # a connection with TLS does not go on
            if late:
                raise
            session.disconnect()
        time.sleep(PAUSE)
