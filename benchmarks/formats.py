"""``python -m benchmarks.formats``: the processor time that log formats take for a line.

The formats take turns within a round, so that what else the machine does affects all of them.
``s6-log`` and ``svlogd``, which put times before lines too, get the same lines by a pipe.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.launched import adopt_orphans
from benchmarks.probe import MeasurementError, cpu_seconds
from benchmarks.subjects import ours, running
from trio_supervisor.core.config.model import LogFormat
from trio_supervisor.core.line_records import RENDERERS, LineRecords, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.subjects import Daemon

RUNS = 5
FORMATS = ("raw", "prefix", "json")
PROGRAMS, RATE, SECONDS = 50, 100, 10.0
#: Lines at full speed: enough to measure processor time, which is counted in steps of 10 ms.
LINES = 2_000_000
#: A line as many programs write it, with characters that JSON must escape: 100 bytes.
LINE = (
    b'10.0.0.1 - - [30/Nov/2026:12:00:00 +0000] "GET /items/42?page=3 HTTP/1.1" 200 5123'
    b' "-" "curl/8.5.0"\n'
)
BLOCK = 64 * 1024

_STEADY = f"""\
import os, time
due = time.monotonic()
while True:
    os.write(1, {LINE!r})
    due += 1 / {RATE}
    time.sleep(max(0, due - time.monotonic()))
"""
_FLOOD = f"""\
import os
text = {LINE!r} * {LINES}
for start in range(0, len(text), {BLOCK}):
    rest = memoryview(text)[start:start + {BLOCK}]
    while rest:
        rest = rest[os.write(1, rest):]
"""
_PROGRAM = """\
[program:{name}]
command = {python} -S -E {script}
autostart = {autostart}
autorestart = false
startsecs = 0
log_format = {log_format}
stdout_logfile = {directory}/{name}.log
stdout_logfile_maxbytes = 0
"""


@dataclass(frozen=True)
class Logger:
    """Another program that puts times before lines."""

    name: str
    package: str
    """Of Debian."""
    arguments: tuple[str, ...]
    settings: str = ""
    """Text of the file ``config`` in its directory."""

    @property
    def path(self) -> str | None:
        return shutil.which(self.name)


LOGGERS = (
    Logger("s6-log", "s6", ("T", "n2", "s268435455")),
    Logger("svlogd", "runit", ("-tt",), "s0\n"),
)


def steady(log_format: str, directory: Path) -> float:
    """Microseconds a line of the daemon with many programs that write a little all the time."""
    names = [f"writer-{number}" for number in range(PROGRAMS)]
    text = _programs(names, _STEADY, log_format, directory, autostart=True)
    logs = [directory / f"{name}.log" for name in names]
    with running(ours(), directory, text, settings="extended = true\n") as daemon:
        daemon.wait_for_running(PROGRAMS)
        daemon.wait(lambda: all(map(_size, logs)), "a line of each")
        length = _line_length(logs[0])
        processor, before = cpu_seconds(daemon.pid), sum(map(_size, logs))
        time.sleep(SECONDS)
        processor, after = cpu_seconds(daemon.pid) - processor, sum(map(_size, logs))
    return processor * 1e6 / ((after - before) / length)


def flood(log_format: str, directory: Path) -> float:
    """Microseconds a line of the daemon with one program that writes as fast as it can."""
    text = _programs(["writer"], _FLOOD, log_format, directory, autostart=False)
    log = directory / "writer.log"

    def is_written(daemon: Daemon) -> None:
        daemon.wait(lambda: _size(log) > 0, "the first output")
        total = LINES * _line_length(log)
        daemon.wait(lambda: _size(log) >= total, "the last output")

    with running(ours(), directory, text, settings="extended = true\n") as daemon:
        daemon.wait_for_answer()
        processor = cpu_seconds(daemon.pid)
        daemon.rpc.start("writer")
        is_written(daemon)
        processor = cpu_seconds(daemon.pid) - processor
    return processor * 1e6 / LINES


def rendering(log_format: str, _: Path) -> float:
    """Microseconds a line of making the records of blocks of 64 KiB, without reading, writing."""
    records = LineRecords(RENDERERS[LogFormat(log_format)](Origin("web", "web", "web", "stdout")))
    text = LINE * (LINES // 10)
    blocks = [text[start : start + BLOCK] for start in range(0, len(text), BLOCK)]
    now = time.time()
    began = time.process_time()
    for block in blocks:
        records.feed(block, now, 12345)
    return (time.process_time() - began) * 1e6 / (LINES // 10)


def other(logger: Logger, directory: Path) -> float:
    """Microseconds a line of another program. Raises MeasurementError."""
    script, logs = directory / "flood.py", directory / "logs"
    script.write_text(_FLOOD)
    logs.mkdir()
    if logger.settings:
        (logs / "config").write_text(logger.settings)
    with subprocess.Popen(
        [sys.executable, "-S", "-E", str(script)], stdout=subprocess.PIPE
    ) as writer:
        process = subprocess.Popen([logger.name, *logger.arguments, str(logs)], stdin=writer.stdout)
        assert writer.stdout is not None
        writer.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise MeasurementError(f"{logger.name} ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e6 / LINES


def _programs(
    names: Sequence[str], code: str, log_format: str, directory: Path, *, autostart: bool
) -> str:
    script = directory / "writer.py"
    script.write_text(code)
    return "\n".join(
        _PROGRAM.format(
            name=name,
            python=sys.executable.replace("%", "%%"),
            script=script,
            autostart=str(autostart).lower(),
            log_format=log_format,
            directory=directory,
        )
        for name in names
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _line_length(log: Path) -> int:
    """Bytes of a record; all have the same."""
    with log.open("rb") as file:
        return len(file.readline())


def measures() -> dict[str, Callable[[Path], float]]:
    """What is measured, by name, in the order of a round."""
    found: dict[str, Callable[[Path], float]] = {}
    for name in FORMATS:
        found[f"{PROGRAMS} programs, {name}"] = partial(steady, name)
    for name in FORMATS:
        found[f"full speed, {name}"] = partial(flood, name)
    for name in FORMATS[1:]:
        found[f"records of 64 KiB, {name}"] = partial(rendering, name)
    for logger in LOGGERS:
        if logger.path is None:
            text = f"there is no {logger.name} (Debian: apt-get install {logger.package})"
            print(f"not measured: {text}", file=sys.stderr)
        else:
            command = " ".join((logger.name, *logger.arguments))
            found[f"full speed, {command}"] = partial(other, logger)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print medians; return 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.formats", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help="default: %(default)s")
    runs = parser.parse_args(argv).runs
    adopt_orphans()
    functions = measures()
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(runs + 1):  # the first round is a warm-up
        for name, function in functions.items():
            with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
                value = function(Path(directory))
            if number:
                samples[name].append(value)
    print(f"{runs} runs of each in turns; us of processor time a line: median (lowest to highest)")
    for name, values in samples.items():
        median = statistics.median(values)
        text = f"{median:.2f} ({min(values):.2f} to {max(values):.2f})"
        raw = samples.get(f"{name.partition(',')[0]}, raw")
        ratios = [value / base for value, base in zip(values, raw or (), strict=False)]
        beside = f"  {statistics.median(ratios):.2f} times raw" if ratios else ""
        print(f"{name:40} {text}{beside}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
