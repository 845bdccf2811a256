"""The exit of a child in the variables that systemd passes to ExecStopPost."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from trio_supervisor.core.process.signals import signal_name

if TYPE_CHECKING:
    from trio_supervisor.core.process.exit import Exit

#: Signals by which a program ends that was asked to, by a terminal or another program too.
_POLITE = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE})


def service_result(
    ended: Exit,
    *,
    expected: bool,
    stopped: bool,
    timed_out: bool = False,
    unhealthy: bool = False,
    out_of_memory: bool = False,
) -> str:
    """Return the word of SERVICE_RESULT.

    ``expected``: the exit code is one of exitcodes. ``stopped``: a stop was requested.
    ``timed_out``: it had to be killed, or was not ready in time. ``unhealthy``: it was stopped for
    its ill health. ``out_of_memory``: for lack of memory, or because it used too much.
    """
    if out_of_memory:
        return "oom-kill"
    if unhealthy:
        return "watchdog"
    if timed_out:
        return "timeout"
    if ended.core_dumped:
        return "core-dump"
    if ended.signal is not None:
        return "success" if stopped or ended.signal in _POLITE else "signal"
    return "success" if expected else "exit-code"


def end_variables(ended: Exit, result: str) -> dict[str, str]:
    """Return the variables of a command that is run after the end."""
    if ended.signal is None:
        code, status = "exited", str(ended.status)
    else:
        code = "dumped" if ended.core_dumped else "killed"
        status = signal_name(ended.signal).removeprefix("SIG").removeprefix("signal ")
    return {"SERVICE_RESULT": result, "EXIT_CODE": code, "EXIT_STATUS": status}
