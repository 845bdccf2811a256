"""The recipes for the client use only existing commands and options."""

from __future__ import annotations

import shlex

import pytest

from tests.kit.docs import blocks
from trio_supervisor.cli.ctl.arguments import parse
from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.options import parse_flags

PAGES = ("tsupervisorctl-recipes.md", "troubleshooting.md")


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_the_recipes_exist(page: str) -> None:
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    commands = [shlex.split(line.partition(" | ")[0])[2:] for line in lines if line[:2] == "$ "]
    assert len(commands) > 8
    for words in commands:
        _, (name, *rest) = parse_flags(words)
        command = COMMANDS[name]
        arguments = parse(name, command.options, " ".join(rest), strict=command.extension)
        if not command.extension:
            unknown = arguments.words
            assert not [word for word in unknown if word.startswith("-")], words
