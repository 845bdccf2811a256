"""The daemon as a service: tells systemd, or another service manager, about its life.

Loaded only if ``NOTIFY_SOCKET`` is set. ``core/notify.py`` decides what is said.
"""

from __future__ import annotations

import math
import os
import socket
import time
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.events import ProcessState, SupervisorStateChangeStopping
from trio_supervisor.core.notify import (
    STOP_EXTENSION,
    environment_of_programs,
    may_extend_stop,
    status_text,
)
from trio_supervisor.core.process.states import STOPPED_STATES, DaemonState
from trio_supervisor.core.process.stop import StopSequence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_supervisor.core.events import Event
    from trio_supervisor.core.notify import NotifySettings
    from trio_supervisor.runtime.supervisor import Supervisor

    Log = Callable[[Severity, str], None]

#: Seconds between two messages about the status, and between two extensions of the stop timeout.
PAUSE = 1.0
#: The words for the states of the daemon in which it stops everything.
LEAVING = {DaemonState.SHUTDOWN: "stopping", DaemonState.RESTARTING: "restarting"}


class ServiceManager:
    """Sends messages to the service manager of the daemon.

    No message waits: a manager that does not read its socket loses messages about the status, and
    gets those about the state of the daemon later. A socket that fails is logged once.
    """

    def __init__(self, settings: NotifySettings, environment: Mapping[str, str]) -> None:
        self.settings = settings
        self.environment = environment_of_programs(environment)
        """What programs inherit of the environment of the daemon."""
        self._socket: socket.socket | None = None
        self._told: DaemonState | None = None
        """State of the daemon that the manager was told last; None means none."""
        self._unsent: list[str] = []
        """Message about the state that the socket had no room for."""
        self._status = ""
        self._has_failed = False
        self._changed = trio.Event()
        self._changed_at = 0.0

    def watch(self, supervisor: Supervisor) -> Callable[[Event], None]:
        """Return the observer of the events of an incarnation."""

        def see(event: Event) -> None:
            if isinstance(event, (ProcessState, SupervisorStateChangeStopping)):
                self._changed_at = trio.current_time()
                self._changed.set()
            if isinstance(event, SupervisorStateChangeStopping):
                self._tell_state(supervisor.state, supervisor.log)

        return see

    def tell_ready(self, supervisor: Supervisor) -> None:
        """Report that the servers are bound, also after a restart that was refused."""
        self._tell_state(DaemonState.RUNNING, supervisor.log, f"MAINPID={os.getpid()}")

    def tell_reloading(self, supervisor: Supervisor) -> None:
        """Report a restart before the configuration is read. ``tell_ready`` has to follow."""
        self._tell_state(DaemonState.RESTARTING, supervisor.log)

    async def run(self, supervisor: Supervisor) -> None:
        """Report the status of the programs, and extend the stop timeout, until cancelled."""
        async with trio.open_nursery() as nursery:
            if self.settings.watchdog is not None:
                nursery.start_soon(self._feed_watchdog, self.settings.watchdog / 2, supervisor.log)
            while True:
                self._changed = trio.Event()
                leaving = supervisor.state in LEAVING
                if leaving:
                    self._tell_state(supervisor.state, supervisor.log)
                    self._extend_stop(supervisor)
                self._send_unsent(supervisor.log)
                again = not self._tell_status(supervisor) or self._unsent or leaving
                with trio.move_on_after(PAUSE if again else math.inf):
                    await self._changed.wait()
                await trio.sleep(PAUSE)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _feed_watchdog(self, interval: float, log: Log) -> None:
        """Give signs of life from the event loop: one that hangs gives none."""
        while True:
            self._send(["WATCHDOG=1"], log)
            await trio.sleep(interval)

    def _tell_state(self, state: DaemonState, log: Log, *more: str) -> None:
        """Report a state of the daemon, once."""
        if state is self._told:
            return
        self._told = state
        lines = [*more]
        if state is DaemonState.RUNNING:
            lines.insert(0, "READY=1")
        elif state is DaemonState.RESTARTING:
            # The time tells the manager that this is the reaction to its own request.
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            lines = ["RELOADING=1", f"MONOTONIC_USEC={now}"]
        else:
            lines = ["STOPPING=1"]
        self._send_unsent(log)
        if self._unsent or not self._send(lines, log):
            self._unsent = lines  # a newer state replaces one that was never told

    def _tell_status(self, supervisor: Supervisor) -> bool:
        """Report the states of the programs if they have changed; return False to try again."""
        states = {process.full_name: process.state for process in supervisor.processes()}
        status = status_text(states, leaving=LEAVING.get(supervisor.state, ""))
        if status != self._status:
            if not self._send([f"STATUS={status}"], supervisor.log):
                return False
            self._status = status
        return True

    def _extend_stop(self, supervisor: Supervisor) -> None:
        left = [
            StopSequence.of(p.config).patience
            for p in supervisor.processes()
            if p.state not in STOPPED_STATES
        ]
        if may_extend_stop(trio.current_time() - self._changed_at, left):
            self._send([f"EXTEND_TIMEOUT_USEC={int(STOP_EXTENSION * 1e6)}"], supervisor.log)

    def _send_unsent(self, log: Log) -> None:
        if self._unsent and self._send(self._unsent, log):
            self._unsent = []

    def _send(self, lines: list[str], log: Log) -> bool:
        """Send one message; return False if the socket has no room for it now."""
        address = self.settings.address
        if address.startswith("@"):
            address = f"\0{address[1:]}"
        try:
            if self._socket is None:
                # After detaching, which closes all descriptors.
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            self._socket.sendto("\n".join(lines).encode(), address)
        except BlockingIOError:
            return False
        except (OSError, ValueError) as error:
            if not self._has_failed:
                log(
                    Severity.WARN,
                    "cannot notify the service manager "
                    f"(NOTIFY_SOCKET={self.settings.address}): {error}",
                )
            self._has_failed = True
        return True
