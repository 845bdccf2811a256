"""``--export`` and ``--convert``: the configuration in effect, and in the other form."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from trio_supervisor.cli.convert import convert, meaning
from trio_supervisor.cli.export import export
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.load import load_config

TEXT = """\
[supervisord]
environment=SECRET="hidden"
[unix_http_server]
file=%(here)s/s
username=u
password=hidden
[program:a]
command=/bin/cat %(here)s
numprocs=2
process_name=a_%(process_num)d
environment=B="hidden"
[program:b]
command=/bin/cat
stdout_logfile=NONE
stdout_logfile_maxbytes=1KB
[group:g]
programs=a
[include]
files=more.conf
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "more.conf").write_text("[program:b]\nstartsecs=7\n")
    path = tmp_path / "c.conf"
    path.write_text(TEXT)
    return str(path)


def test_every_value_with_where_it_came_from(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(path, {"loglevel": "debug"}, "json", "tsupervisord") == 0
    text = capsys.readouterr().out
    assert "hidden" not in text
    data = json.loads(text)
    assert data["supervisord"]["loglevel"] == {"value": "debug", "from": "command line"}
    assert data["supervisord"]["minfds"] == {"value": 1024, "from": "default"}
    assert data["supervisord"]["environment"] == {"value": {"SECRET": "***"}, "from": f"{path}:2"}
    b, g = data["group"]
    assert (b["name"], g["name"]) == ("b", "g")
    (process,) = b["process"]
    assert process["startsecs"] == {"value": 7, "from": f"{tmp_path}/more.conf:2"}
    assert process["stdout_logfile"] == {"value": "none", "from": f"{path}:14"}
    assert process["stdout_logfile_maxbytes"] == {"value": 1024, "from": f"{path}:15"}
    assert process["stderr_logfile"] == {"value": "auto", "from": "default"}
    assert [p["process_name"]["value"] for p in g["process"]] == ["a_0", "a_1"]
    assert g["process"][1]["command"] == {"value": f"/bin/cat {tmp_path}", "from": f"{path}:8"}
    (server,) = data["server"]
    assert server["password"] == {"value": "***", "from": f"{path}:6"}


def test_toml_and_json_say_the_same(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    export(path, {}, "json", "tsupervisord")
    as_json = json.loads(capsys.readouterr().out)
    export(path, {}, "toml", "tsupervisord")
    assert tomllib.loads(capsys.readouterr().out) == as_json


def test_convert_prints_a_file_that_means_the_same(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(path, "tsupervisord") == 0
    converted = tmp_path / "c.toml"
    converted.write_text(capsys.readouterr().out)
    assert meaning(load_config(str(converted))) == meaning(load_config(path))
    with pytest.raises(ConfigError, match="is TOML already"):
        convert(str(converted), "tsupervisord")


def test_convert_says_what_has_no_counterpart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.conf"
    path.write_text("[supervisord]\nbogus=1\n[program:x]\ncommand=a %(process_num)foo\n")
    assert convert(str(path), "tsupervisord") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("# not converted: [supervisord] bogus is ignored")
    assert "not converted: [supervisord] bogus" in captured.err


def test_forms_cannot_be_mixed(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[supervisord]\n")
    (tmp_path / "c.conf").write_text("[supervisord]\n[include]\nfiles=a.toml\n")
    with pytest.raises(ConfigError, match=r"--convert") as caught:
        load_config(str(tmp_path / "c.conf"))
    assert "a.toml: one is TOML, the other is not" in str(caught.value)
    (tmp_path / "b.conf").write_text("[supervisord]\n")
    (tmp_path / "c.toml").write_text('include = ["${here}/b.conf"]\n[supervisord]\n')
    with pytest.raises(ConfigError, match="one is TOML, the other is not"):
        load_config(str(tmp_path / "c.toml"))


def test_toml_files_include_each_other(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.toml").write_text('[program.x]\ncommand = "cat ${here}"\n')
    (tmp_path / "c.toml").write_text('include = ["d/*.toml"]\n[supervisord]\n')
    config = load_config(str(tmp_path / "c.toml"))
    assert config.groups[0].processes[0].command == f"cat {tmp_path}/d"
