"""A Procfile as a configuration."""

from __future__ import annotations

from typing import Any

import pytest
import tomli_w

from tests.kit.config import HERE, eval_context
from trio_supervisor.core.config.build import build
from trio_supervisor.core.config.ini import Document
from trio_supervisor.core.config.procfile import procfile_tables
from trio_supervisor.core.config.toml import read_toml

PROCFILE = """\
# comment
web: gunicorn app:app --bind 0.0.0.0:$PORT
worker:   python -m worker --queue "high low"
worker: twice
not an entry
release: ./migrate
one-two_3: A=b run
"""


def programs(text: str, variables: str = "") -> dict[str, Any]:
    tables: dict[str, Any] = procfile_tables(text, variables)
    return tables


@pytest.mark.behaviour("configuration.md#converting-a-procfile")
def test_each_entry_is_a_program_with_a_port_of_its_own() -> None:
    found = programs(PROCFILE)["program"]
    assert {name: program["environment"]["PORT"] for name, program in found.items()} == {
        "web": "5000",
        "worker": "5100",
        "release": "5200",
        "one-two_3": "5300",
    }
    assert found["worker"]["command"] == ["python", "-m", "worker", "--queue", "high low"]
    assert "stopasgroup" not in found["worker"]
    assert found["release"]["autostart"] is False


@pytest.mark.behaviour("configuration.md#converting-a-procfile")
@pytest.mark.parametrize("command", ["a $PORT", "a && b", "a > b", "A=b c", "a 'b", "(a)"])
def test_a_shell_runs_what_only_a_shell_understands(command: str) -> None:
    program = programs(f"x: {command}")["program"]["x"]
    assert program["command"] == ["/bin/sh", "-c", command.replace("$", "$$")]
    assert program["stopasgroup"] is True


@pytest.mark.behaviour("configuration.md#converting-a-procfile")
def test_the_result_means_what_the_procfile_means() -> None:
    variables = "# comment\nA=1\nexport B='two words'\nC=\"$x\"\nno variable\n"
    document = Document()
    text = tomli_w.dumps(programs(PROCFILE, variables))
    read_toml(text, file="c.toml", here=HERE, into=document)
    config = build(document, eval_context(), overrides={}, here=HERE)
    assert dict(config.daemon.environment) == {"A": "1", "B": "two words", "C": "$x"}
    commands = {p.name: p.command for group in config.groups for p in group.processes}
    assert "gunicorn app:app --bind 0.0.0.0:$PORT" in commands["web"]


def test_a_text_without_entries_makes_no_program() -> None:
    assert "program" not in programs("nothing: \n: x\n")
