"""The daemon of a storm, and its clients."""

from __future__ import annotations

import mmap
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.probe import UnixTransport
from benchmarks.storm import health
from benchmarks.storm.fleet import Fleet

_HERE = Path(__file__).parent
_ROOT = Path(__file__).parents[2]

#: Longest time in seconds that a request may take which does not wait for a program.
ANSWER_LIMIT = 15.0
#: Longest time in seconds that stopping everything may take.
STOP_LIMIT = 60.0


class Clock:
    """The system clock of the daemon alone, by a preloaded library; needs a C compiler."""

    def __init__(self, directory: Path) -> None:
        self.environment: dict[str, str] = {}
        compiler = shutil.which("cc")
        if compiler is None:
            return
        library, offset = directory / "clock.so", directory / "clock"
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_HERE / "clock.c")]
        if subprocess.run(command, check=False).returncode == 0:
            offset.write_bytes(bytes(8))
            with offset.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), 8)
            self.environment = {"LD_PRELOAD": str(library), "STORM_CLOCK": str(offset)}

    def __bool__(self) -> bool:
        return bool(self.environment)

    def shift(self, seconds: int) -> None:
        """Set the clock; 0 is the time of the machine."""
        struct.pack_into("=q", self._map, 0, seconds)


class Daemon:
    """A real daemon in the foreground, which a storm may use from many threads."""

    def __init__(self, fleet: Fleet, configuration: Path) -> None:
        self.fleet = fleet
        self.clock = Clock(fleet.directory)
        #: In the environment of everything that the daemon starts.
        self.marker = f"STORM_MARKER={os.getpid()}.{time.monotonic_ns()}"
        name, _, value = self.marker.partition("=")
        self._output = (fleet.directory / "output").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trio_supervisor", "-n", "-c", str(configuration)],
            env=os.environ | self.clock.environment | {name: value, "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        self.faults: Counter[int] = Counter()
        self.slowest = 0.0
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def socket_path(self) -> Path:
        return self.fleet.directory / "daemon.sock"

    def call(self, method: str, *arguments: object) -> Any:
        """Ask the daemon; faults are counted and answered with None.

        Raises OSError (TimeoutError included) if there is no answer.
        """
        proxy = xmlrpc.client.ServerProxy(
            "http://localhost", transport=UnixTransport(self.socket_path), allow_none=True
        )
        began = time.monotonic()
        try:
            with proxy:
                return getattr(proxy, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            self.count(fault.faultCode)
            return None
        finally:
            if method in ("supervisor.getState", "supervisor.getAllProcessInfo"):
                with self._lock:
                    self.slowest = max(self.slowest, time.monotonic() - began)

    def count(self, code: int) -> None:
        """Count the fault of a request, or the status of an answer of the JSON API."""
        with self._lock:
            self.faults[code] += 1

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(ANSWER_LIMIT)
        connection.connect(str(self.socket_path))
        return connection

    def infos(self) -> list[dict[str, Any]]:
        return self.call("supervisor.getAllProcessInfo") or []

    def signal_child(self, name: str, number: int) -> bool:
        """Signal the child of a program as a stranger would; never another process."""
        info = self.call("supervisor.getProcessInfo", name)
        if not info or not info["pid"]:
            return False
        try:
            handle = os.pidfd_open(info["pid"])
        except OSError:
            return False
        try:
            process = health.look(info["pid"])
            if process is None or process.parent != self.pid:
                return False
            signal.pidfd_send_signal(handle, number)
        except OSError:
            return False
        finally:
            os.close(handle)
        return True

    @contextmanager
    def limit(self, kind: int, soft: int) -> Iterator[None]:
        """Take a resource away from the daemon for the block."""
        _, hard = resource.prlimit(self.pid, kind)
        before = resource.prlimit(self.pid, kind, (soft, hard))
        try:
            yield
        finally:
            resource.prlimit(self.pid, kind, before)

    def output(self) -> str:
        return (self.fleet.directory / "output").read_text(errors="replace")

    def log(self) -> str:
        return (self.fleet.directory / "daemon.log").read_text(errors="replace")

    def end(self) -> int | None:
        """TERM; return the exit status, or None if it had to be killed."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None
        finally:
            self._output.close()
