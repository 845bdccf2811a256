"""The directories of notify sockets: made once, and removed when nobody lives who has made them."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.daemon import eventually
from trio_supervisor.runtime.probes.notify_directory import PREFIX, NotifyDirectory, remove_dead

if TYPE_CHECKING:
    from pathlib import Path

MESSAGE = "policies.md#ready-by-a-message"


def bound(path: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    found.bind(str(path))
    return found


def left(parent: Path, name: str = "dead") -> Path:
    """What a killed daemon leaves: a directory with a socket that nobody holds."""
    directory = parent / f"{PREFIX}{name}"
    directory.mkdir()
    bound(directory / "socket").close()
    return directory


@pytest.mark.behaviour(MESSAGE)
async def test_a_directory_is_made_and_removed(tmp_path: Path) -> None:
    dead = left(tmp_path)
    directory = NotifyDirectory({"RUNTIME_DIRECTORY": f"{tmp_path}:/nowhere"})
    path = directory.new_path()
    made = tmp_path / os.path.basename(os.path.dirname(path))
    assert stat.S_IMODE(made.stat().st_mode) == 0o711
    assert os.path.dirname(directory.new_path()) == str(made)
    await trio.to_thread.run_sync(eventually, lambda: not dead.exists(), "a thread removing it")
    assert made.exists()
    directory.close()
    assert os.listdir(tmp_path) == []


@pytest.mark.behaviour(MESSAGE)
def test_what_lives_or_is_not_ours_stays(tmp_path: Path) -> None:
    held, other = tmp_path / f"{PREFIX}held", tmp_path / "another"
    for each in (held, other):
        each.mkdir()
    strange = left(tmp_path, "strange")
    (strange / "file").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(left(other))
    with closing(bound(held / "socket")):  # handed over: no lock, but a living socket
        remove_dead(str(tmp_path))
        assert (held / "socket").exists()
    assert (strange / "file").exists()
    assert (other / f"{PREFIX}dead" / "socket").exists()
    remove_dead(str(tmp_path))
    assert not held.exists()
    remove_dead(str(tmp_path / "nowhere"))


@pytest.mark.behaviour(MESSAGE)
@pytest.mark.skipif(os.getuid() != 0, reason="needs root to give a directory away")
def test_that_of_another_user_stays(tmp_path: Path) -> None:
    theirs = left(tmp_path)
    os.chown(theirs, 65534, 65534)
    remove_dead(str(tmp_path))
    assert (theirs / "socket").exists()


@pytest.mark.behaviour(MESSAGE)
async def test_one_that_was_handed_over_is_locked_again(tmp_path: Path) -> None:
    path = left(tmp_path, "earlier")
    directory = NotifyDirectory({}, str(path))
    remove_dead(str(tmp_path))
    assert (directory.path, path.exists()) == (str(path), True)
    (path / "socket").unlink()
    directory.close()
    assert not path.exists()
