"""The pidfile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trio_supervisor.cli.pidfile import Pidfile
from trio_supervisor.cli.recorded_pid import recorded_pid


@pytest.mark.behaviour("process.md#pidfile")
def test_the_pidfile_is_written_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("something old that is longer than a pid\n")
    pidfile = Pidfile(str(path))
    pidfile.write()
    assert path.read_text() == f"{os.getpid()}\n"
    pidfile.remove()
    assert not path.exists()
    pidfile.remove()


@pytest.mark.behaviour(
    "process.md#a-second-daemon-with-the-same-configuration", "process.md#pidfile"
)
def test_a_pidfile_taken_over_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    pidfile = Pidfile(str(path))
    pidfile.write()
    path.write_text("1\n")
    pidfile.remove()
    assert path.read_text() == "1\n"


@pytest.mark.behaviour("process.md#pidfile")
def test_an_unwritable_pidfile_raises_and_is_never_removed(tmp_path: Path) -> None:
    pidfile = Pidfile(str(tmp_path))
    with pytest.raises(OSError, match="directory"):
        pidfile.write()
    pidfile.remove()
    assert tmp_path.is_dir()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Neither in writing nor in removing: it may have been put there by another user."""
    path, victim = tmp_path / "pid", tmp_path / "victim"
    victim.write_text("precious")
    path.symlink_to(victim)
    pidfile = Pidfile(str(path))
    with pytest.raises(OSError, match="it is a link, which is not followed"):
        pidfile.write()
    path.unlink()
    pidfile.write()
    victim.write_text(path.read_text())
    path.unlink()
    path.symlink_to(victim)
    pidfile.remove()
    assert path.is_symlink()
    assert victim.exists()


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    os.mkfifo(path)
    pidfile = Pidfile(str(path))
    with pytest.raises(OSError, match="No such device or address"):
        pidfile.write()
    path.unlink()
    pidfile.write()
    path.unlink()
    os.mkfifo(path)
    pidfile.remove()
    assert path.exists()
    with pytest.raises(ValueError, match="not a process id"):
        recorded_pid(str(path))


def test_a_device_is_written(tmp_path: Path) -> None:
    """``pidfile=/dev/null`` is an idiom of container images."""
    pidfile = Pidfile(os.devnull)
    pidfile.write()
    pidfile.remove()
    assert os.path.exists(os.devnull)
