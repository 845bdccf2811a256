"""The children that write as fast as they can, for the scenarios that measure draining."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from benchmarks.probe import MeasurementError

if TYPE_CHECKING:
    from pathlib import Path

_WRITER = """\
import os, sys
left, size = int(sys.argv[1]), int(sys.argv[2])
block = bytes(range(32, 95)) + b"\\n"
block *= size // len(block)
while left:
    left -= os.write(1, block[:left])
"""

_PROGRAM = """\
[program:{name}]
command = {python} -S -E {script} {amount} {block}
autostart = false
autorestart = false
startsecs = 0
stdout_logfile = {directory}/{name}.log
stdout_logfile_maxbytes = 0
"""


def programs(names: list[str], directory: Path, *, amount: int, block: int) -> str:
    """Return the sections of programs that write ``amount`` bytes each, in such blocks.

    A program NAME is started by the scenario, and its log is ``NAME.log`` in the directory. Raises
    MeasurementError if the logs do not fit on the disk twice.
    """
    free = shutil.disk_usage(directory).free
    if free < 2 * amount * len(names):
        raise MeasurementError(f"{directory} has only {free / 1e9:.1f} GB free; set TMPDIR")
    script = directory / "writer.py"
    script.write_text(_WRITER)
    return "\n".join(
        _PROGRAM.format(
            name=name,
            python=sys.executable.replace("%", "%%"),
            script=script,
            amount=amount,
            block=block,
            directory=directory,
        )
        for name in names
    )


def written(directory: Path, names: list[str]) -> int:
    """Return how many bytes are in the logs of these programs."""
    return sum(_size(directory / f"{name}.log") for name in names)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
