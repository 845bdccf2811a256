"""How long nothing answers at an upgrade: ``python -m benchmarks.upgrade [PROGRAMS]``.

A client asks for the state all the time, on one connection. The gap of an upgrade is the longest
time that an answer has taken. On a busy machine it says little, so the processor time of the daemon
is shown too, and that of an interpreter that only loads the same modules.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

from benchmarks.probe import UnixTransport

UPGRADES = 10
CONFIG = """\
[supervisord]
logfile=%(here)s/log
pidfile=%(here)s/pid
user={user}
[unix_http_server]
file=%(here)s/sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:x]
command=/bin/cat
process_name=x_%(process_num)d
numprocs={programs}
stdout_logfile=%(here)s/x_%(process_num)d.log
"""


def proxy(path: str) -> Any:
    """The methods of the daemon at this socket, on one connection."""
    return xmlrpc.client.ServerProxy("http://localhost", transport=UnixTransport(Path(path)))


class Asker(threading.Thread):
    """Asks all the time; ``longest`` is the longest time in seconds that an answer has taken."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self._rpc = proxy(path)
        self.longest = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            began = time.perf_counter()
            self._rpc.supervisor.getState()
            self.longest = max(self.longest, time.perf_counter() - began)
            time.sleep(0.001)


def processor_seconds(pid: int) -> float:
    """Return what the main thread of a process has used, also before it executed a program."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def interpreter() -> tuple[float, float]:
    """Return the time and the processor time that loading the daemon takes, in seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", "import trio_supervisor.cli.upgrade.resume"], check=True)
    after, took = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(programs: int) -> None:
    """Upgrade a daemon again and again, and print what was seen."""
    with tempfile.TemporaryDirectory() as directory:
        config, path = Path(directory, "c"), f"{directory}/sock"
        config.write_text(CONFIG.format(user=os.getuid(), programs=programs))
        daemon = subprocess.Popen(
            [sys.executable, "-m", "trio_supervisor", "-n", "-s", "-c", str(config)],
            stdout=subprocess.DEVNULL,
        )
        try:
            while not os.path.exists(path):
                time.sleep(0.05)
            rpc, asker = proxy(path), Asker(path)
            while {info["statename"] for info in rpc.supervisor.getAllProcessInfo()} != {"RUNNING"}:
                time.sleep(0.1)
            asker.start()
            gaps, costs, starts = [], [], []
            for number in range(UPGRADES):
                starts.append(interpreter())
                asker.longest, before = 0.0, processor_seconds(daemon.pid)
                rpc.tsupervisor.upgrade()
                while rpc.tsupervisor.getUpgrade()["upgrades"] == number:
                    time.sleep(0.05)
                time.sleep(0.1)
                gaps.append(asker.longest)
                costs.append(processor_seconds(daemon.pid) - before)
            asker.over.set()
            asker.join()
        finally:
            daemon.terminate()
            daemon.wait()
    print(f"{programs} programs, {UPGRADES} upgrades, medians in seconds")
    print(f"no answer for:                        {statistics.median(gaps):.3f}")
    print(f"  start of an interpreter, separately {statistics.median(s for s, _ in starts):.3f}")
    print(f"processor time of the daemon:         {statistics.median(costs):.3f}")
    print(f"  start of an interpreter, separately {statistics.median(c for _, c in starts):.3f}")


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
