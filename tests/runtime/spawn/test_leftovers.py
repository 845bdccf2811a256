"""Which processes count as those of an earlier daemon, from a directory in the form of /proc."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kit.config import load
from trio_supervisor.runtime.spawn.leftovers import find_leftovers

if TYPE_CHECKING:
    from pathlib import Path

DAEMON, EARLIER, PROGRAM = 40, 20, 30
#: The clock tick in which the daemon began.
BORN = 5000


def process(proc: Path, pid: int, *, session: int, started: int, **environment: str) -> None:
    """Lay the files of a process; ``stat`` as proc(5) has it, up to the start in ticks."""
    directory = proc / str(pid)
    (directory / "ns").mkdir(parents=True)
    (directory / "ns" / "pid").symlink_to("pid:[1]")
    after_name = ["S", "1", str(pid), str(session), *("0" for _ in range(15)), str(started)]
    (directory / "stat").write_text(f"{pid} (a (b) c) {' '.join(after_name)}\n")
    pairs = (f"{name}={value}\0" for name, value in environment.items())
    (directory / "environ").write_text("".join(pairs))


@pytest.mark.behaviour("process.md#processes-that-outlive-the-daemon")
@pytest.mark.parametrize(("started", "counts"), [(BORN - 1, True), (BORN, True), (BORN + 1, False)])
def test_a_process_counts_up_to_the_tick_in_which_the_daemon_began(
    tmp_path: Path, started: int, counts: bool
) -> None:
    """An earlier daemon that was killed at once may have started it in that very tick."""
    child = {
        "SUPERVISOR_ENABLED": "1",
        "SUPERVISOR_GROUP_NAME": "x",
        "SUPERVISOR_PROCESS_NAME": "x",
    }
    process(tmp_path, DAEMON, session=EARLIER, started=BORN, **child)  # run by another supervisor
    process(tmp_path, PROGRAM, session=EARLIER, started=started, **child)
    found = find_leftovers(
        load("[program:x]\ncommand=/bin/cat\n"),
        daemon=DAEMON,
        earlier=EARLIER,
        proc=str(tmp_path),
    )
    assert [leftover.pid for leftover in found] == ([PROGRAM] if counts else [])
