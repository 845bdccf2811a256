"""The files of programs that tell the benchmarks when they are executed."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from benchmarks.probe import MeasurementError
from benchmarks.starts import Executables

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds for a notification of the kernel; only a failing test waits so long.
LIMIT = 60


def test_each_program_is_known_when_it_is_executed(tmp_path: Path) -> None:
    with Executables(tmp_path, 3) as programs:
        programs.wait(0)
        assert programs.started == set()
        for number in (2, 0, 2):
            subprocess.run([programs.paths[number], "0"], check=True)
            programs.wait(LIMIT)
        assert programs.started == {0, 2}
        programs.started.clear()
        subprocess.run([programs.paths[1], "0"], check=True)
        programs.wait(LIMIT)
        assert programs.started == {1}


def test_what_daemons_do_to_find_a_program_is_no_start(tmp_path: Path) -> None:
    with Executables(tmp_path, 1) as programs:
        path = programs.paths[0]
        assert os.access(path, os.X_OK)
        os.stat(path)
        programs.wait(0)
        assert programs.started == set()


def test_a_directory_in_which_nothing_can_be_executed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = os.statvfs_result((0, 0, 0, 0, 0, 0, 0, 0, os.ST_NOEXEC, 0))
    monkeypatch.setattr("benchmarks.starts.os.statvfs", lambda _: flags)
    with pytest.raises(MeasurementError, match="cannot be executed: set TMPDIR"):
        Executables(tmp_path, 1)
