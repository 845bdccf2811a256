"""Requests of ``top`` to the daemon, and the texts of their outcomes. The functions block."""

from __future__ import annotations

from trio_supervisor.cli.client.client import Fault
from trio_supervisor.cli.ctl import process_actions
from trio_supervisor.cli.ctl.streams import words_of
from trio_supervisor.cli.ctl.top.keys import RESTART, SIGNAL, START, STOP
from trio_supervisor.core.process.states import FaultCode

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.cli.client.client import Client
    from trio_supervisor.cli.ctl.top.keys import ActionRequest


def _start(client: Client, request: ActionRequest) -> str:
    client.call("supervisor.startProcess", request.name, False)
    return "started"


def _stop(client: Client, request: ActionRequest) -> str:
    client.call("supervisor.stopProcess", request.name, False)
    return "stopping"


def _restart(client: Client, request: ActionRequest) -> str:
    """Like the action ``restart``, succeed if the process was not running before, or runs already
    because another client has started it.
    """
    for method, wait, done in (
        ("supervisor.stopProcess", True, FaultCode.NOT_RUNNING),
        ("supervisor.startProcess", False, FaultCode.ALREADY_STARTED),
    ):
        try:
            client.call(method, request.name, wait)
        except Fault as fault:
            if fault.code != done:
                raise
    return "started"


def _signal(client: Client, request: ActionRequest) -> str:
    client.call("supervisor.signalProcess", request.name, request.argument)
    return f"{request.argument} sent"


def reason_of(error: Exception, request: ActionRequest) -> str:
    """Describe a failure in the words of the action of that name."""
    if isinstance(error, Fault):
        return PROCESS_ACTIONS[request.verb].reasons.get(error.code, ("", None))[0] or error.text
    return words_of(error)


PROCESS_ACTIONS = {
    START: process_actions.START,
    STOP: process_actions.STOP,
    RESTART: process_actions.START,
    SIGNAL: process_actions.SIGNAL,
}
PERFORM: dict[str, Callable[[Client, ActionRequest], str]] = {
    START: _start,
    STOP: _stop,
    RESTART: _restart,
    SIGNAL: _signal,
}
