"""``tsupervisord --hash-password``, from a terminal and from a pipe."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.terminal import CTRL_C, terminal
from trio_supervisor.core.config.passwords import matches

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "trio_supervisor", "--hash-password"]


def piped(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND, input=text, capture_output=True, text=True, check=False, timeout=60
    )


def test_from_a_pipe_each_with_its_own_salt() -> None:
    first, second = piped("sécret\n"), piped("sécret")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout != second.stdout
    for done in (first, second):
        assert matches("sécret".encode(), done.stdout.removesuffix("\n"))


def test_nothing_is_no_password() -> None:
    done = piped("")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: the password is empty\n")


@pytest.mark.parametrize(
    ("again", "status", "said"),
    [("secret\n", 0, "{SCRYPT}"), ("other\n", 2, "the two passwords differ"), (CTRL_C, 2, "typed")],
)
def test_on_a_terminal_nothing_is_shown(tmp_path: Path, again: str, status: int, said: str) -> None:
    with terminal(COMMAND, cwd=tmp_path) as person:
        person.expect("Password: ")
        person.type("secret\n")
        person.expect("Again: ")
        person.type(again)
        ended, shown = person.end()
    assert ended == status
    assert said in shown
    assert "secret" not in shown
