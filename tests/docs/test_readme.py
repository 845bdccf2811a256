"""The commands in README.md print what it shows."""

from __future__ import annotations

import os
import pwd
import re
import sys
import tempfile
from pathlib import Path

from tests.kit.ctl import run
from tests.kit.daemon import run_to_end
from tests.kit.docs import README, blocks, sessions
from tests.kit.reader import Reader
from tests.kit.root import NOBODY, as_user

#: Of these the output depends on when they are run: they are repeated until it is as shown.
LOOKING = ("tsupervisorctl status", "tail ")


def test_the_first_configuration_runs(tmp_path: Path) -> None:
    (tmp_path / "supervisord.conf").write_text(file("supervisord.conf"))
    reader = Reader(tmp_path)
    *session, (last, said) = sessions(README, block=0)
    try:
        for command, output in session:
            if command.startswith(LOOKING):
                reader.sees(command, output)
            else:
                assert reader.prints(command, output), command
    finally:
        assert reader.prints(last, said)


def test_the_embedding(tmp_path: Path) -> None:
    (tmp_path / "supervisord.conf").write_text(file("supervisord.conf"))
    (program,) = blocks(README, "python")
    done = run([sys.executable, "-c", program], cwd=tmp_path)
    assert re.fullmatch(r"pid \d+\npid \d+\n", done.out), done.err


def test_the_check_of_a_broken_configuration() -> None:
    ((command, output),) = sessions(README, block=1)
    # As root there are more findings; the page shows those of an ordinary user.
    nobody = pwd.getpwnam(NOBODY)
    within = as_user(nobody.pw_uid, nobody.pw_gid) if os.getuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="trio-supervisor-test-") as name:
        directory = Path(name)
        directory.chmod(0o777)
        (directory / "broken.conf").write_text(file("broken.conf"))
        done = run_to_end(*command.split()[1:], cwd=directory, within=within)
    assert done.stdout == output
    assert done.returncode == 2


def file(name: str) -> str:
    """The file that the page shows under this name."""
    (text,) = [text for text in blocks(README, "ini") if text.startswith(f"; {name}\n")]
    return text
