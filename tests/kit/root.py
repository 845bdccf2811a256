"""Tests that only root can run: they run where the tests are root, and say so where not."""

from __future__ import annotations

import importlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_root = pytest.mark.skipif(
    os.getuid() != 0, reason="changes users or namespaces, which only root may; run as root"
)

#: A user without rights that exists everywhere.
NOBODY = "nobody"


#: What the daemon imports, in directories or files of site-packages.
_LIBRARY = (
    *("trio_supervisor", "trio", "attr", "attrs", "outcome", "sniffio", "sortedcontainers", "idna"),
    *("h11", "defusedxml", "tomli_w"),
)


def runnable_by(user: str, directory: Path) -> list[str]:
    """The command of a daemon that a user may run and read, from copies in this directory.

    The test is skipped where there is no interpreter that the user may run.
    """
    library = directory / "library"
    for name in _LIBRARY:
        [origin] = importlib.import_module(name).__path__
        ignored = shutil.ignore_patterns("__pycache__", "_tests", "tests")
        shutil.copytree(origin, library / name, ignore=ignored)
    test = "import sys; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        with suppress(OSError):
            command = [python, "-I", "-S", "-c", test]
            if subprocess.run(command, user=user, check=False, cwd="/").returncode == 0:
                return ["env", f"PYTHONPATH={library}", python, "-m", "trio_supervisor"]
    pytest.skip(f"there is no python3 >= 3.11 that {user} can run (apt-get install python3)")


#: Imports the daemon and what its other actions import late, becomes another user, and runs the
#: command that follows: that user may be unable to read this checkout, and even the interpreter.
_BECOME = """
import os, sys
from trio_supervisor.cli.daemon import main
from trio_supervisor.cli.late_modules import keep_late_modules
from trio_supervisor.cli.privileges import load_what_is_read_late
keep_late_modules()
load_what_is_read_late()
import trio_supervisor.cli.check.check, trio_supervisor.cli.convert, trio_supervisor.cli.export
import trio_supervisor.cli.service_files
uid, gid, *command = sys.argv[1:]
os.setgroups([])
os.setresgid(int(gid), int(gid), int(gid))
os.setresuid(int(uid), int(uid), int(uid))
sys.argv = command[command.index("trio_supervisor"):]
main()
"""


def as_user(uid: int, gid: int) -> list[str]:
    """What stands before a command of the daemon to run it as another user, in no further group."""
    return [sys.executable, "-c", _BECOME, str(uid), str(gid)]


@contextmanager
def directory_of(user: str) -> Iterator[Path]:
    """An empty directory that belongs to a user; pytest's are closed to all but root."""
    path = Path(tempfile.mkdtemp(prefix="trio-supervisor-test-"))
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)
    try:
        yield path
    finally:
        shutil.rmtree(path)
