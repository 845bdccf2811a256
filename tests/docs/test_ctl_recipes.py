"""The recipes for the client use only existing commands and options."""

from __future__ import annotations

import shlex

import pytest

from tests.kit.config import load
from tests.kit.docs import blocks
from trio_supervisor.cli.ctl.arguments import parse
from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.options import parse_flags

PAGES = ("tsupervisorctl-recipes.md", "troubleshooting.md", "logging.md")


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_the_recipes_exist(page: str) -> None:
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    start = "$ tsupervisorctl "
    commands = [
        shlex.split(line.partition(" | ")[0])[2:] for line in lines if line.startswith(start)
    ]
    assert len(commands) > 3
    for words in commands:
        _, (name, *rest) = parse_flags(words)
        command = COMMANDS[name]
        arguments = parse(name, command.options, " ".join(rest), strict=command.extension)
        if not command.extension:
            unknown = arguments.words
            assert not [word for word in unknown if word.startswith("-")], words


def test_configurations_of_the_page_about_logging_load() -> None:
    for block in blocks("logging.md", "ini"):
        head = "" if "[supervisord]" in block else "[supervisord]\nextended = true\n"
        config = load(head + block.replace("/var/log/app/", "").replace("/dev/", ""), base="")
        assert [message.text for message in config.messages] == []
        assert config.groups
