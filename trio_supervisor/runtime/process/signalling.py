"""Signals to the children of a process, with the lines that the log has about them."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.errors import Failed
from trio_supervisor.core.process.signals import signal_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.core.process.stop import StopStep
    from trio_supervisor.runtime.spawn.child import Child

#: After one of these as ``stopsignal`` the child is meant to stay paused.
PAUSING = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})


class Signaller:
    """Sends signals to the children of one process. All methods raise Failed if that is refused.

    It is no error if a child has just ended by itself.
    """

    __slots__ = ("_config", "_log", "killed")

    def __init__(self, config: ProcessConfig, log: Callable[[Severity, str], None]) -> None:
        self._config = config
        self._log = log
        self.killed = False
        """Whether the present child was sent SIGKILL."""

    def send(self, child: Child, number: int) -> None:
        """Send a signal on request."""
        name = self._config.name
        self._log(Severity.DEBUG, f"sending {name} (pid {child.pid}) sig {signal_name(number)}")
        self._deliver(child, number, "sending sig")

    def stop(self, child: Child, step: StopStep) -> None:
        """Send the stop signal, and resume a child that is paused (SIGSTOP), or it stays so."""
        number, group = step.signal, step.group
        self._log(
            Severity.DEBUG,
            f"killing {self._config.name} (pid {child.pid}) {'process group ' if group else ''}"
            f"with signal {signal_name(number)}",
        )
        self._deliver(child, number, "killing", group=group)
        if number not in PAUSING:
            with contextlib.suppress(OSError):
                child.resume(group=group)

    def kill(self, child: Child, step: StopStep) -> None:
        """Send the last signal to a child that has not ended after the stop signal."""
        if child.cannot_be_killed:
            self._log(Severity.WARN, f"task '{self._config.name}' {child.cannot_be_killed}")
            return
        self._log(Severity.WARN, f"killing '{self._config.name}' ({child.pid}) with SIGKILL")
        self._deliver(child, step.signal, "killing", group=step.group)

    def _deliver(self, child: Child, number: int, doing: str, *, group: bool = False) -> None:
        """``doing`` is what a refusal is called in the log."""
        who = f"{self._config.name} ({child.pid})"
        try:
            (child.send_group_signal if group else child.send_signal)(number)
            self.killed = self.killed or number == signal.SIGKILL
        except ProcessLookupError as error:
            # A race lost to an exit is no error; the exit is about to be noticed.
            self._log(
                Severity.DEBUG,
                f"unable to signal {self._config.name} (pid {child.pid}), "
                f"it probably just exited on its own: {error}",
            )
        except OSError as error:
            text = f"unknown problem {doing} {who}:{error}"
            self._log(Severity.CRITICAL, text)
            raise Failed(text) from error
