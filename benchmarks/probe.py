"""Observation of a running daemon from outside: XML-RPC over its unix socket, and /proc (Linux)."""

from __future__ import annotations

import http.client
import socket
import time
import xmlrpc.client
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Timeout in seconds of one XML-RPC call; after it the run has failed.
CALL_LIMIT = 30.0

#: Seconds between two checks of a condition: short compared with the measured times, and long
#: enough to leave the processor to the daemon.
POLL_INTERVAL = 0.002

#: The clock of a process is numbered so by its pid (clock_getcpuclockid(3)).
_CPUCLOCK_SCHED = 2


class MeasurementError(Exception):
    """A run failed; the text says which wait timed out, or which error occurred."""


def wait_until(condition: Callable[[], bool], *, deadline: float, what: str) -> float:
    """Poll the condition; return the time at which it was true (``time.monotonic``).

    Raises MeasurementError at the deadline.
    """
    while not condition():
        if time.monotonic() >= deadline:
            raise MeasurementError(f"gave up waiting for {what}")
        time.sleep(POLL_INTERVAL)
    return time.monotonic()


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CALL_LIMIT)
        self._path = path

    def connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.timeout)
        try:
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        self.sock = connection


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over the unix socket at ``path``."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = str(path)

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        connection = self._connection[1]
        if connection is None:
            connection = _Connection(self._path)
            self._connection = (host, connection)  # the base class reuses and closes it
        return connection


class Rpc:
    """Client for the daemon's ``supervisor`` namespace; calls raise MeasurementError."""

    def __init__(self, path: Path) -> None:
        self._proxy = xmlrpc.client.ServerProxy(
            "http://localhost", transport=UnixTransport(path), allow_none=True
        )

    def answers(self) -> bool:
        """Return True if the daemon answers requests."""
        try:
            self._call("getState")
        except MeasurementError:
            return False
        return True

    def all_running(self, count: int) -> bool:
        """Return True if there are exactly this many processes and all are RUNNING."""
        table = cast("list[dict[str, object]]", self._call("getAllProcessInfo"))
        return [row["statename"] for row in table] == ["RUNNING"] * count

    def pid(self, name: str) -> int:
        """Return the pid that the daemon reports; 0 means that there is none."""
        return cast("dict[str, int]", self._call("getProcessInfo", name))["pid"]

    def state(self, name: str) -> str:
        """Return the name of the state of a process."""
        return cast("dict[str, str]", self._call("getProcessInfo", name))["statename"]

    def start(self, name: str) -> None:
        """Request a start without waiting for it."""
        self._call("startProcess", name, False)

    def stop(self, name: str) -> None:
        """Request a stop without waiting for it."""
        self._call("stopProcess", name, False)

    def stop_all(self) -> None:
        """Stop all processes and wait until they have stopped."""
        self._call("stopAllProcesses")

    def reread(self) -> int:
        """Reread the configuration; return the number of new groups."""
        [[added, _, _]] = cast("list[list[list[str]]]", self._call("reloadConfig"))
        return len(added)

    def remote_events(self, type: str, data: Sequence[str]) -> None:
        """Emit one REMOTE_COMMUNICATION event for each element of ``data``."""
        method = "supervisor.sendRemoteCommEvent"
        self._checked(
            f"{len(data)} times {method}",
            lambda: self._proxy.system.multicall(
                [{"methodName": method, "params": [type, text]} for text in data]
            ),
        )

    def close(self) -> None:
        self._proxy("close")()

    def _call(self, method: str, *arguments: object) -> object:
        return self._checked(
            f"supervisor.{method}", lambda: getattr(self._proxy.supervisor, method)(*arguments)
        )

    def _checked(self, what: str, call: Callable[[], object]) -> object:
        try:
            return call()
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise MeasurementError(f"{what}: {error}") from error


def children(pid: int) -> set[int]:
    """Return the pids of all child processes of a process, of all its threads."""
    found: set[int] = set()
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.update(map(int, thread.read_text().split()))
        except (FileNotFoundError, ProcessLookupError):  # the thread has just ended
            continue
    return found


def executes(pid: int, program: str) -> bool:
    """Return True if a process executes the program of that file name."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n") == program
    except (FileNotFoundError, ProcessLookupError):
        return False


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, all threads included, without its children.

    From its processor clock, to the nanosecond: ``/proc`` counts in steps of 10 ms. Raises OSError
    if there is no such process.
    """
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)


def memory(pid: int) -> dict[str, float]:
    """Return MiB of a process: ``Rss`` (resident) and ``Pss`` (shared pages divided by users)."""
    values: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, kibibytes = line.split()[:2]
        values[name.removesuffix(":")] = int(kibibytes) / 1024
    return values
