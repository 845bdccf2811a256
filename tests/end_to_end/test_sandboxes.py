"""The real daemon where the kernel is old, or a sandbox refuses what it would like to use."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import alive, daemon, eventually
from tests.kit.strace import failing

if TYPE_CHECKING:
    from pathlib import Path

#: Leaves a line for each of its lives.
PROGRAM = """\
[program:x]
command=/bin/sh -c "echo $$ >> lives; exec cat"
directory=%(here)s
startsecs=0
stopasgroup=true
"""


@pytest.mark.behaviour("process.md#no-child-is-lost-after-the-fork")
@pytest.mark.parametrize("error", ["ENOSYS", "EPERM", "EMFILE"])
def test_without_pidfds_children_are_watched_by_sigchld(tmp_path: Path, error: str) -> None:
    """None is lost and none runs twice; ends, restarts and stops are noticed."""
    lives = tmp_path / "lives"
    with daemon(tmp_path, PROGRAM, within=failing("pidfd_open", error)) as running:
        running.wait_for("x", "RUNNING")
        first = running.pid("x")
        eventually(lambda: lives.exists() and lives.read_text() == f"{first}\n", "its line")
        os.kill(first, signal.SIGKILL)
        running.wait_for_another_child("x", first)
        running.wait_for("x", "RUNNING")
        second = running.pid("x")
        eventually(lambda: lives.read_text().split() == [str(first), str(second)], "both lines")
        assert running.rpc.stopProcess("x") is True
        assert running.info("x")["statename"] == "STOPPED"
        assert not alive(second)
        assert lives.read_text().split() == [str(first), str(second)]
