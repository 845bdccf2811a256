"""The client and a configuration written as TOML."""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_supervisor.cli.ctl_flags import OptionError
from trio_supervisor.cli.ctl_options import read_options

ENVIRON = {"NAME": "me", "WORD": "p%w"}


def write(directory: Path, text: str) -> str:
    path = directory / "tsupervisord.toml"
    path.write_text(text)
    return str(path)


def test_the_section_of_the_client(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "[supervisord]\nnodaemon = true\n[supervisorctl]\n"
        'serverurl = "unix://${here}/s.sock"\nusername = "${ENV_NAME}"\n'
        'password = "${ENV_WORD}$$"\nprompt = "${ENV_NONE:-100%}"\n'
        '[ctlplugin.mine]\n"supervisor.ctl_factory" = "a:b"\ncolor = "red"\n',
    )
    options = read_options(["tsupervisorctl", "-c", path, "status"], ENVIRON)
    assert options.serverurl == f"unix://{tmp_path}/s.sock"
    assert (options.username, options.password) == ("me", "p%w$")
    assert options.prompt == "100%"
    assert [section.name for section in options.plugin_sections] == ["mine"]


@pytest.mark.parametrize(
    "text", ["[supervisorctl]\nserverurl = \n", '[supervisorctl]\nprompt = "${ENV_NO}"\n']
)
def test_mistakes_are_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(OptionError, match=r"tsupervisord\.toml"):
        read_options(["tsupervisorctl", "-c", write(tmp_path, text), "status"], ENVIRON)
