"""Processor time and memory, of real processes and of a made-up /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from trio_supervisor.runtime.inspect.procfs import NOTHING, ProcessTable, Usage

#: Uses processor time and memory, makes a child that does too, then waits to be told to end.
HUNGRY = """
import subprocess, sys, time
ballast = bytearray(b"x" * 30_000_000)
while time.process_time() < 0.1: pass
if sys.argv[1:]:
    child = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=sys.stdout)
else:
    print("ready", flush=True)
sys.stdin.read()
"""
TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def test_a_process_and_its_descendants(tmp_path: Path) -> None:
    program = tmp_path / "hungry.py"
    program.write_text(HUNGRY)
    with subprocess.Popen(
        [sys.executable, program, "with a child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        used = ProcessTable.read().usage(process.pid)
        process.communicate()
    assert used.processes == 2
    assert used.memory > 60_000_000
    assert used.cpu_seconds >= 0.18  # two of 0.1 s, each rounded down to ticks


def test_a_process_that_is_gone_uses_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert ProcessTable.read().usage(process.pid) == NOTHING


def test_any_command_name_and_depth(tmp_path: Path) -> None:
    for pid, name, parent in ((5, "a) b (", 1), (6, "x", 5), (7, "y", 6), (8, "other", 1)):
        (tmp_path / str(pid)).mkdir()
        fields = ["0"] * 50
        fields[0], fields[1], fields[21] = "S", str(parent), "3"
        fields[11:15] = ["10", "20", "30", "40"]  # utime, stime, cutime, cstime: proc(5)
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
    (tmp_path / "9").mkdir()  # has ended between the listing and the read
    (tmp_path / "uptime").write_text("1 2\n")
    table = ProcessTable.read(str(tmp_path))
    assert {pid: table.usage(pid) for pid in (5, 8, 9)} == {
        5: Usage(3 * 100 / TICKS, 3 * 3 * PAGE, 3),
        8: Usage(100 / TICKS, 3 * PAGE, 1),
        9: NOTHING,
    }


def test_a_proc_that_cannot_be_read_shows_nothing(tmp_path: Path) -> None:
    """No descriptor may be left."""
    assert ProcessTable.read(str(tmp_path / "missing")).usage(1) == NOTHING
