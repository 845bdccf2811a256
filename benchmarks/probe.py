"""Looks at a running daemon from outside: XML-RPC over its unix socket, and /proc (Linux)."""

from __future__ import annotations

import http.client
import os
import socket
import time
import xmlrpc.client
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Seconds one XML-RPC call may take; a daemon that is this slow has failed the run.
CALL_LIMIT = 30.0

#: Seconds between two looks at a condition: short beside everything that is measured, and long
#: enough to leave the processor to the daemon.
LOOK_INTERVAL = 0.002

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class MeasurementError(Exception):
    """A run gave no measurement; the text says what was waited for, or what went wrong."""


def wait_until(condition: Callable[[], bool], *, deadline: float, what: str) -> float:
    """Wait for the condition and return when it was seen (``time.monotonic``)."""
    while not condition():
        if time.monotonic() >= deadline:
            raise MeasurementError(f"gave up waiting for {what}")
        time.sleep(LOOK_INTERVAL)
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


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        connection = self._connection[1]
        if connection is None:
            connection = _Connection(self._path)
            self._connection = (host, connection)  # where the base class looks for reuse and close
        return connection


class Rpc:
    """The daemon's ``supervisor`` namespace."""

    def __init__(self, path: Path) -> None:
        self._proxy = xmlrpc.client.ServerProxy(
            "http://localhost", transport=_Transport(str(path)), allow_none=True
        )

    def answers(self) -> bool:
        try:
            self._call("getState")
        except MeasurementError:
            return False
        return True

    def all_running(self, count: int) -> bool:
        """Whether there are exactly this many processes, all RUNNING."""
        table = cast("list[dict[str, object]]", self._call("getAllProcessInfo"))
        return [row["statename"] for row in table] == ["RUNNING"] * count

    def pid(self, name: str) -> int:
        """The pid the daemon reports; 0 while there is none."""
        return cast("dict[str, int]", self._call("getProcessInfo", name))["pid"]

    def start(self, name: str) -> None:
        """Ask for a start without waiting until it is done."""
        self._call("startProcess", name, False)

    def stop(self, name: str) -> None:
        """Ask for a stop without waiting until it is done."""
        self._call("stopProcess", name, False)

    def stop_all(self) -> None:
        """Stop everything and wait until it has."""
        self._call("stopAllProcesses")

    def reread(self) -> int:
        """Read the configuration again; how many groups are new."""
        [[added, _, _]] = cast("list[list[list[str]]]", self._call("reloadConfig"))
        return len(added)

    def remote_events(self, type: str, data: Sequence[str]) -> None:
        """Emit a REMOTE_COMMUNICATION event for each of the data."""
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
    """The pids of all child processes of a process, whichever thread made them."""
    found: set[int] = set()
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.update(map(int, thread.read_text().split()))
        except (FileNotFoundError, ProcessLookupError):  # that thread has just ended
            continue
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, of all its threads, without its children."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = after_name[11], after_name[12]  # fields 14 and 15 of proc(5)
    return (int(user) + int(system)) / _CLOCK_TICKS


def memory(pid: int) -> dict[str, float]:
    """MiB of a process: ``Rss`` resident, ``Pss`` with shared pages divided by their users."""
    values: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, kibibytes = line.split()[:2]
        values[name.removesuffix(":")] = int(kibibytes) / 1024
    return values
