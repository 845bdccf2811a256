"""The client and a configuration written as TOML."""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_supervisor.cli.ctl.options import OptionError, read_options

ENVIRON = {"NAME": "me", "WORD": "p%w"}


def write(directory: Path, text: str) -> str:
    path = directory / "tsupervisord.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.behaviour("client.md#configuration-of-the-client")
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
    ("text", "message"),
    [
        ("[supervisorctl]\nserverurl = \n", "Invalid value"),
        ('[supervisorctl]\nprompt = "${ENV_NO}"\n', "prompt contains the unknown name 'ENV_NO'"),
        ('[supervisorctl]\npassword = "secret$x"\n', "password has a dollar sign"),
        ("[supervisorctl]\npassword = 1.5\n", "password must be a text or a whole number"),
        ("supervisorctl = 1\n", r"supervisorctl must be a table: write \[supervisorctl\]"),
        ("ctlplugin = 1\n", r"ctlplugin must be a table"),
        ("[ctlplugin]\nx = 1\n", r"ctlplugin:x must be a table: write \[ctlplugin\.x\]"),
        ("a = " + "[" * 20_000, "nested too deeply"),
        ("a = " + "9" * 5_000, "digits"),
        ("a = '\\xff'\nb", "Expected"),
    ],
    ids=lambda text: text[:30],
)
def test_mistakes_are_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        read_options(["tsupervisorctl", "-c", write(tmp_path, text), "status"], ENVIRON)
    assert "tsupervisord.toml" in str(caught.value)
    assert "secret" not in str(caught.value)
