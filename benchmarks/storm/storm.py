"""The course of a storm: rounds of disturbances, each followed by a calm that checks all."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.storm import health
from benchmarks.storm.daemon import ANSWER_LIMIT, Daemon
from benchmarks.storm.disturbances import ALONE, DISTURBANCES, Disturbance, Scene
from benchmarks.storm.fleet import Fleet
from benchmarks.storm.history import check_history, count_events
from benchmarks.storm.lines import check_lines, count_lines

#: Seconds of one round of disturbances.
ROUND = 30.0
#: Threads that disturb, and the mean of the pause of each in seconds.
WORKERS = 6
PAUSE = 0.25
#: Seconds in which everything must be in order again after a round.
CALM_LIMIT = 90.0
#: KiB of the history of one program that the daemon keeps in memory: the last 50 entries of the
#: journal with the last lines of its ends, times of its output, events.
HISTORY = 200
#: Seconds after which all of it is there, so that memory must stay as it is.
HISTORY_FULL = 900.0
#: Calms with the largest of which later ones are compared: one may fall just after an upgrade,
#: which begins with fresh memory.
CALMS = 5
#: Bytes of the disk that fills.
DISK_SIZE = "8m"
#: Texts in the log or the output of the daemon that no disturbance may cause.
_INTERNAL = ("Traceback", "internal error", "Exception")

_STRANGER = """\
import os, signal, sys
for number in range(1, signal.NSIG):
    if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, 32, 33):
        signal.signal(number, lambda number, frame: print(number, flush=True))
print("ready", flush=True)
while True:
    signal.pause()
"""


class Violation(Exception):
    """An invariant does not hold; the text says which."""


class Storm:
    """One storm in a directory of its own."""

    def __init__(
        self, directory: Path, *, seed: int, count: int, say: Callable[[str], None]
    ) -> None:
        self.seed = seed
        self.say = say
        self.fleet = Fleet(directory, count, disk=os.path.ismount(directory / "disk"))
        self.daemon = Daemon(self.fleet, self.fleet.write())
        self.done: Counter[str] = Counter()
        self._jobs = {program.name for program in self.fleet.programs if program.is_job}
        self.errors: list[str] = []

    def run(self, seconds: float) -> list[str]:
        """Run the storm; return the violations."""
        with _strangers(self.fleet.directory) as strangers:
            try:
                helpers = self._settle()
                end = time.monotonic() + seconds
                number, kept = 0, HISTORY * len(self.fleet.programs)
                full = time.monotonic() + HISTORY_FULL
                earlier: list[health.Usage] = []
                later: list[health.Usage] = []
                while (left := end - time.monotonic()) > 0:
                    self._round(number, min(ROUND, left))
                    self._settle(helpers)
                    now = health.usage(self.daemon.pid)
                    if earlier:
                        self.errors += self._grown(health.largest(earlier), kept)
                    if len(earlier) < CALMS:
                        earlier.append(now)
                    elif kept and time.monotonic() > full:
                        later.append(now)
                        if len(later) == CALMS:
                            earlier, kept = later, 0
                    self.say(self._progress(number, now))
                    if self.errors:
                        break
                    number += 1
            except (Violation, OSError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
            self.errors += strangers()
            self._end()
        self.errors += check_lines(self.fleet)
        self.errors += check_history(self.fleet)
        return self.errors

    def summary(self) -> str:
        done = ", ".join(f"{what} {count}" for what, count in sorted(self.done.items()))
        faults = ", ".join(f"{code}: {count}" for code, count in sorted(self.daemon.faults.items()))
        return (
            f"disturbances: {done}\nfaults of requests: {faults}\n"
            f"lines: {count_lines(self.fleet)}, events: {count_events(self.fleet)},"
            f" slowest answer: {self.daemon.slowest:.2f} s"
        )

    def _progress(self, number: int, usage: health.Usage) -> str:
        return (
            f"round {number}: {sum(self.done.values())} disturbances, {usage.descriptors}"
            f" descriptors, {usage.threads} threads, {usage.resident} KiB, slowest answer"
            f" {self.daemon.slowest:.2f} s"
        )

    # A round

    def _round(self, number: int, seconds: float) -> None:
        (self.fleet.directory / "calm").unlink(missing_ok=True)
        over = threading.Event()
        threads = [
            threading.Thread(target=self._disturb, args=(number, worker, over))
            for worker in range(WORKERS)
        ]
        threads.append(threading.Thread(target=self._ask, args=(over,)))
        for thread in threads:
            thread.start()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and not self.errors:
            time.sleep(0.5)
            if self.daemon.process.poll() is not None:
                self.errors.append(f"the daemon has ended with {self.daemon.process.returncode}")
        over.set()
        (self.fleet.directory / "calm").touch()
        for thread in threads:
            thread.join()

    def _disturb(self, number: int, worker: int, over: threading.Event) -> None:
        scene = Scene(
            self.daemon, self.fleet, random.Random(f"{self.seed} {number} {worker}"), over
        )
        weights = [disturbance.weight for disturbance in DISTURBANCES]
        while not over.is_set():
            [disturbance] = scene.chance.choices(DISTURBANCES, weights)
            pause = scene.chance.expovariate(1 / PAUSE)
            if disturbance.possible(scene):
                self._act(disturbance, scene)
            over.wait(pause)

    def _act(self, disturbance: Disturbance, scene: Scene) -> None:
        if disturbance.alone and not ALONE.acquire(blocking=False):
            return
        try:
            disturbance.act(scene)
            self.done[disturbance.what] += 1
        except ConnectionError:
            pass  # the daemon may refuse while it has no descriptor left; _ask knows the bound
        except Exception as error:
            self.errors.append(f"{disturbance.what}: {type(error).__name__}: {error}")
        finally:
            if disturbance.alone:
                ALONE.release()

    def _ask(self, over: threading.Event) -> None:
        """Ask all the time; a question must be answered within the bound."""
        failed_since = 0.0
        while not over.wait(0.2):
            try:
                self.daemon.call("supervisor.getAllProcessInfo")
                failed_since = 0.0
            except TimeoutError:
                self.errors.append(f"no answer within {ANSWER_LIMIT:.0f} s")
            except Exception as error:
                failed_since = failed_since or time.monotonic()
                if time.monotonic() - failed_since > ANSWER_LIMIT:
                    self.errors.append(f"no answer for {ANSWER_LIMIT:.0f} s: {error}")
                    return

    # A calm

    def _grown(self, first: health.Usage, kept: int) -> list[str]:
        """Compare with earlier calms; connections and threads may take a while to end."""
        deadline = time.monotonic() + CALM_LIMIT / 3
        while found := list(health.check_growth(first, health.usage(self.daemon.pid), kept)):
            if time.monotonic() > deadline:
                return found
            time.sleep(0.5)
        return []

    def _settle(self, helpers: set[int] | None = None) -> set[int]:
        """Wait until all programs run as they should; return the daemon's other children."""
        deadline = time.monotonic() + CALM_LIMIT
        (self.fleet.directory / "calm").touch()
        wrong = "no answer"
        while time.monotonic() < deadline:
            if self.daemon.process.poll() is not None:
                raise Violation(f"the daemon has ended with {self.daemon.process.returncode}")
            with suppress(OSError):
                infos = self.daemon.infos()
                wrong = self._wrong(infos, helpers)
                for info in infos:
                    # A stop during the pause before a restart leaves EXITED.
                    down = ("STOPPED", "FATAL", "UNKNOWN", "EXITED")
                    if info["statename"] in down[: 3 if info["name"] in self._jobs else 4]:
                        name = f"{info['group']}:{info['name']}"
                        self.daemon.call("supervisor.startProcess", name, False)
                if not wrong:
                    others = health.children(self.daemon.pid).keys() - {
                        info["pid"] for info in infos
                    }
                    return set(others)
            time.sleep(0.3)
        raise Violation(f"not in order after {CALM_LIMIT:.0f} s: {wrong}")

    def _wrong(self, infos: list[dict[str, Any]], helpers: set[int] | None) -> str:
        missing = set(self.fleet.names) - {info["group"] for info in infos}
        if missing:
            self._add(missing)
            return f"not there: {sorted(missing)}"
        for info in infos:
            wanted = "EXITED" if info["name"] in self._jobs else "RUNNING"
            if info["statename"] != wanted:
                return f"{info['name']} is {info['statename']}: {info['description']}"
        children = health.children(self.daemon.pid)
        zombies = [child.pid for child in children.values() if child.state == "Z"]
        if zombies:
            return f"zombies: {zombies}"
        told = {info["pid"] for info in infos if info["pid"]}
        if lost := told - children.keys():
            return f"told as running, but no children: {sorted(lost)}"
        others = children.keys() - told
        if helpers is not None and len(others) > len(helpers) + 1:
            return f"children that the daemon does not tell: {sorted(others)}"
        return ""

    def _add(self, names: set[str]) -> None:
        """Bring back programs whose change was interrupted."""
        self.daemon.call("supervisor.reloadConfig")
        for name in names:
            self.daemon.call("supervisor.addProcessGroup", name)

    def _end(self) -> None:
        status = self.daemon.end()
        if status != 0:
            self.errors.append(f"the daemon ended with {status}")
        text = self.daemon.output() + self.daemon.log()
        for word in _INTERNAL:
            if word in text:
                place = text.index(word)
                self.errors.append(f"the daemon said: {text[max(place - 200, 0) : place + 1500]}")
                break
        left = health.marked(self.daemon.marker)
        for pid in left:
            name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if " tree" in name:
                self.errors.append(f"left behind by kill_mode = tree: {pid} {name}")
            with suppress(ProcessLookupError):
                os.kill(pid, 9)


@contextmanager
def _strangers(directory: Path) -> Iterator[Callable[[], list[str]]]:
    """Processes that nobody may signal; the function tells which got signals."""
    outputs = [directory / f"stranger{number}" for number in range(3)]
    processes = []
    for output in outputs:
        with output.open("wb") as file:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _STRANGER],
                    stdout=file,
                    start_new_session=True,
                )
            )

    def signalled() -> list[str]:
        return [
            f"a process that is none of the daemon's got signals: {output.read_text()}"
            for output, process in zip(outputs, processes, strict=True)
            if output.read_text() != "ready\n" or process.poll() is not None
        ]

    try:
        yield signalled
    finally:
        for process in processes:
            process.kill()
            process.wait()
