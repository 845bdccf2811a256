"""What ``top`` has the daemon do, and how the outcome is told. Blocks; knows no screen."""

from __future__ import annotations

from trio_supervisor.cli.client.client import Fault
from trio_supervisor.cli.ctl import process_actions as ctl_control
from trio_supervisor.cli.ctl.streams import words_of
from trio_supervisor.cli.ctl.top.keys import RESTART, SIGNAL, START, STOP
from trio_supervisor.core.process.states import FaultCode

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.cli.client.client import Client
    from trio_supervisor.cli.ctl.top.keys import ActionRequest


def _start(client: Client, intent: ActionRequest) -> str:
    client.call("supervisor.startProcess", intent.name, False)
    return "started"


def _stop(client: Client, intent: ActionRequest) -> str:
    client.call("supervisor.stopProcess", intent.name, False)
    return "told to stop"


def _restart(client: Client, intent: ActionRequest) -> str:
    """Like the action: what does not run is just started, what another restart has started runs."""
    for method, wait, done in (
        ("supervisor.stopProcess", True, FaultCode.NOT_RUNNING),
        ("supervisor.startProcess", False, FaultCode.ALREADY_STARTED),
    ):
        try:
            client.call(method, intent.name, wait)
        except Fault as fault:
            if fault.code != done:
                raise
    return "started"


def _signal(client: Client, intent: ActionRequest) -> str:
    client.call("supervisor.signalProcess", intent.name, intent.argument)
    return f"{intent.argument} sent"


def reason_of(error: Exception, intent: ActionRequest) -> str:
    """In the words that the action of that name has for it."""
    if isinstance(error, Fault):
        return VERBS[intent.verb].reasons.get(error.code, ("", None))[0] or error.text
    return words_of(error)


VERBS = {
    START: ctl_control.START,
    STOP: ctl_control.STOP,
    RESTART: ctl_control.START,
    SIGNAL: ctl_control.SIGNAL,
}
PERFORM: dict[str, Callable[[Client, ActionRequest], str]] = {
    START: _start,
    STOP: _stop,
    RESTART: _restart,
    SIGNAL: _signal,
}
