"""The pidfile (process.md P-318 to P-320)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trio_supervisor.cli.pidfile import Pidfile


def test_P318_P320_written_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("something old that is longer than a pid\n")
    pidfile = Pidfile(str(path))
    pidfile.write()
    assert path.read_text() == f"{os.getpid()}\n"
    pidfile.remove()
    assert not path.exists()
    pidfile.remove()


def test_S130_a_pidfile_taken_over_is_left_alone(tmp_path: Path) -> None:
    """Q-66."""
    path = tmp_path / "pid"
    pidfile = Pidfile(str(path))
    pidfile.write()
    path.write_text("1\n")
    pidfile.remove()
    assert path.read_text() == "1\n"


def test_S128_an_unwritable_pidfile_raises_and_is_never_removed(tmp_path: Path) -> None:
    """P-319."""
    pidfile = Pidfile(str(tmp_path))
    with pytest.raises(OSError, match="directory"):
        pidfile.write()
    pidfile.remove()
    assert tmp_path.is_dir()
