"""The aid for test suites without trio."""

from __future__ import annotations

import os
import sys

import pytest

from trio_supervisor import RequestError
from trio_supervisor.testing import NotReady, supervised_programs

TALKER = "import os; print('pid', os.getpid(), flush=True); input()"


def test_no_process_outlives_the_block() -> None:
    pids = []
    with supervised_programs() as programs:
        for name in ("a", "b"):
            line = programs.start(name, [sys.executable, "-c", TALKER], ready="pid")
            pids.append(int(line.split()[1]))
        programs.stop("a")
        assert programs.lines("a") == [f"pid {pids[0]}"]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_one_that_is_not_ready_shows_what_it_wrote() -> None:
    with supervised_programs() as programs:
        programs.start("a", [sys.executable, "-c", TALKER], ready="pid")
        with pytest.raises(NotReady, match="a wrote no 'zz' within 0 seconds, but:\npid"):
            programs.wait_for_line("a", "zz", timeout=0)
        with pytest.raises(RequestError, match="NO_FILE"):
            programs.start("none", "/no/such/file")
