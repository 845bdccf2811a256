"""The commands in README.md print what it shows."""

from __future__ import annotations

import os
import pwd
import tempfile
from functools import partial
from pathlib import Path

from tests.kit.ctl import environment, install, run, until
from tests.kit.daemon import run_to_end
from tests.kit.docs import README, blocks, sessions, shows
from tests.kit.root import NOBODY, as_user

#: Of these the output depends on when they are run: they are repeated until it is as shown.
LOOKING = ("tsupervisorctl status", "tail ")


def prints(command: str, output: str, directory: Path) -> bool:
    path = f"{directory / 'bin'}:{environment()['PATH']}"
    done = run(["/bin/sh", "-c", command], cwd=directory, PATH=path, LC_ALL="C")
    return shows(output, done.out + done.err)


def test_the_first_configuration_runs(tmp_path: Path) -> None:
    (tmp_path / "supervisord.conf").write_text(file("supervisord.conf"))
    install(tmp_path / "bin")
    install(tmp_path / "bin", "tsupervisord", "daemon:main")
    *session, (last, said) = sessions(README, block=0)
    try:
        for command, output in session:
            if command.startswith(LOOKING):
                until(partial(prints, command, output, tmp_path), f"{command}: {output}")
            else:
                assert prints(command, output, tmp_path), command
    finally:
        assert prints(last, said, tmp_path)


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
