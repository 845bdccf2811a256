"""The examples of docs/policies.md are configurations without a mistake or a remark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kit.config import load
from tests.kit.ctl import install, run
from tests.kit.daemon import BASE, daemon
from tests.kit.docs import blocks, sessions, shows

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = blocks("policies.md", "ini")


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_right(text: str) -> None:
    config = load(text, base="")
    remarks = [message.text for message in config.messages if "AUTO" not in message.text]
    assert remarks == []
    assert config.groups


def test_the_program_that_takes_too_much_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at more often than the page says."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'trio_supervisor' in sys.orig_argv:\n"
        "    from trio_supervisor.core.process import memory_watch\n"
        "    memory_watch.INTERVAL = 1.2\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (text,) = [text for text in EXAMPLES if "[program:leaky]" in text]
    base = BASE.replace("[supervisord]\n", "[supervisord]\nextended = true\n")
    shown = dict(sessions("policies.md"))
    with daemon(tmp_path, text.partition("\n\n")[2], base=base) as running:
        running.wait_for("leaky", "RUNNING")
        first = running.pid("leaky")
        running.wait_for_another_child("leaky", first)
        line = next(line for line in running.log.splitlines() if "memory_max" in line)
        assert shows(shown["grep memory_max supervisord.log"], line + "\n")
        command = "history leaky --kind limit"
        told = run([install(tmp_path / "bin"), "-c", "c.conf", *command.split()], cwd=tmp_path).out
        assert shows(shown[f"tsupervisorctl {command}"], told)
