"""The commands in README.md print what it shows."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from pathlib import Path

from tests.kit.daemon import run_to_end
from tests.kit.docs import README, blocks
from tests.kit.root import NOBODY, as_user


def test_the_check_of_the_first_configuration() -> None:
    (shown,) = [body for body in blocks(README, "console") if "tsupervisord --check" in body]
    prepare, check, *expected = shown.splitlines(keepends=True)
    # As root there are more findings; the page shows those of an ordinary user.
    nobody = pwd.getpwnam(NOBODY)
    within = as_user(nobody.pw_uid, nobody.pw_gid) if os.getuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="trio-supervisor-test-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        (text,) = [body for body in blocks(README, "ini") if "; supervisord.conf" in body]
        (directory / "supervisord.conf").write_text(text)
        subprocess.run(prepare.removeprefix("$ "), shell=True, cwd=directory, check=True)
        arguments = check.removeprefix("$ tsupervisord ").split()
        done = run_to_end(*arguments, cwd=directory, within=within)
    assert done.stdout == "".join(expected)
    assert done.returncode == 2
