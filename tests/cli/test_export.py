"""``--export`` and ``--convert``: the configuration in effect, and in the other form."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from trio_supervisor.cli.convert import convert, meaning
from trio_supervisor.cli.export import export
from trio_supervisor.core.config.options import TABLES
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


@pytest.mark.behaviour("configuration.md#exporting-the-configuration-in-effect")
def test_every_value_with_where_it_came_from(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(path, {"loglevel": "debug"}, "json", "tsupervisord") == 0
    text = capsys.readouterr().out
    assert "hidden" not in text
    data = json.loads(text)
    assert data["supervisord"]["loglevel"] == {"value": "debug", "from": "command line"}
    assert data["supervisord"]["minfds"] == {"value": 1024, "from": "default"}
    assert data["supervisord"]["environment"]["SECRET"] == {"value": "***", "from": f"{path}:2"}
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


def exported(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What is exported of a text, with the number of the line in place of file and line."""
    path = tmp_path / "c.conf"
    path.write_text(text)
    assert export(str(path), {}, "json", "tsupervisord") == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out.replace(f"{path}:", "line "))
    return data


EVERY_KIND = """\
[supervisord]
environment=SECRET="hidden",SAME="1"
[unix_http_server]
file=%(here)s/s
chown=0:0
[inet_http_server]
port=127.0.0.1:9001
username=u
password=hidden
[rpcinterface:x]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
token=hidden
[supervisorctl]
password=hidden
[program:a]
command=/bin/cat --password %(ENV_SECRET)s
numprocs=1
numprocs_start=3
process_name=zz%(process_num)d
environment=OWN="hidden",SAME="1"
stopasgroup=true
[fcgi-program:f]
command=/bin/cat
socket=unix://%(here)s/f
socket_mode=0600
redirect_stderr=true
[eventlistener:l]
command=/bin/cat
events=TICK_5
[group:g]
programs=a
priority=5
[include]
files=more.conf
"""


@pytest.mark.behaviour("configuration.md#exporting-the-configuration-in-effect")
def test_every_option_of_every_kind_has_its_origin_and_no_secret_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more.conf").write_text("[supervisorctl]\nprompt=no client reads this\n")
    data = exported(EVERY_KIND, tmp_path, capsys)
    assert "hidden" not in json.dumps(data)
    listener, group, fcgi = data["group"]
    (inet, unix) = data["server"]
    plain, served = group["process"][0], fcgi["process"][0]
    shown = {
        "supervisord": data["supervisord"],
        "inet_http_server": inet,
        "unix_http_server": unix,
        "supervisorctl": data["supervisorctl"],
        "rpcinterface": data["rpcinterface"]["x"],
        "program": plain,
        "fcgi-program": served,
        "eventlistener": {**listener["process"][0], **listener},
        "group": group,
    }
    for kind, options in shown.items():
        assert {option.name for option in TABLES[kind]} <= set(options), kind
    assert unix["chown"] == {"value": "0:0", "from": "line 5"}
    assert inet["password"] == {"value": "***", "from": "line 9"}
    assert data["rpcinterface"]["x"]["token"] == {"value": "***", "from": "line 12"}
    assert data["supervisorctl"]["prompt"] == {"value": "supervisor", "from": "default"}
    assert group["priority"] == {"value": 5, "from": "line 32"}
    assert group["programs"] == {"value": ["a"], "from": "line 31"}
    assert plain["process_name"] == {"value": "zz3", "from": "line 19"}
    assert plain["numprocs_start"] == {"value": 3, "from": "line 18"}
    # A text that uses a variable is shown as it stands in the file.
    written = "/bin/cat --password %(ENV_SECRET)s"
    assert plain["command"] == {"value": written, "from": "line 16"}
    assert plain["environment"] == {
        "SECRET": {"value": "***", "from": "line 2"},
        "OWN": {"value": "***", "from": "line 20"},
        "SAME": {"value": "***", "from": "line 20"},
    }
    assert plain["killasgroup"] == {"value": True, "from": "line 21"}
    assert served["stderr_logfile"] == {"value": "none", "from": "line 26"}
    assert served["socket_mode"] == {"value": "0600", "from": "line 25"}
    assert listener["priority"] == {"value": -1, "from": "default"}
    assert listener["events"] == {"value": ["TICK_5"], "from": "line 29"}


@pytest.mark.behaviour("configuration.md#exporting-the-configuration-in-effect")
def test_toml_and_json_say_the_same(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    export(path, {}, "json", "tsupervisord")
    as_json = json.loads(capsys.readouterr().out)
    export(path, {}, "toml", "tsupervisord")
    assert tomllib.loads(capsys.readouterr().out) == as_json


@pytest.mark.behaviour("configuration.md#converting-ini-to-toml")
def test_convert_prints_a_file_that_means_the_same(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(path, "tsupervisord") == 0
    converted = tmp_path / "c.toml"
    converted.write_text(capsys.readouterr().out)
    assert meaning(load_config(str(converted))) == meaning(load_config(path))
    with pytest.raises(ConfigError, match="is TOML already"):
        convert(str(converted), "tsupervisord")


def test_convert_needs_no_variable_to_be_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("T_PORT", "T_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "c.conf"
    path.write_text(
        "[supervisord]\n[program:x]\ncommand=a %(ENV_T_PORT)s %(ENV_OWN)s\n"
        'numprocs_start=%(ENV_T_PORT)s\nenvironment=OWN="x",P="%(ENV_T_PASSWORD)s"\n'
    )
    assert convert(str(path), "tsupervisord") == 0
    captured = capsys.readouterr()
    assert tomllib.loads(captured.out)["program"]["x"] == {
        "command": "a ${ENV_T_PORT} ${ENV_OWN}",
        "numprocs_start": "${ENV_T_PORT}",
        "environment": {"OWN": "x", "P": "${ENV_T_PASSWORD}"},
    }
    assert captured.err == "not set here, compared as if it were 1: T_PORT, T_PASSWORD\n"


def test_convert_keeps_what_here_means_in_included_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result is one file, in the place of the main one."""
    main = tmp_path / "main"
    (main / "conf$d").mkdir(parents=True)
    for path, name in ((main / "conf$d" / "a.conf", "a"), (tmp_path / "b.conf", "b")):
        path.write_text(f'[program:{name}]\ncommand=%(here)s/x $$ %%\nenvironment=H="%(here)s"\n')
    path = main / "c.conf"
    path.write_text("[supervisord]\n[include]\nfiles=conf$d/*.conf ../b.conf\n")
    assert convert(str(path), "tsupervisord") == 0
    converted = tomllib.loads(capsys.readouterr().out)["program"]
    assert converted["a"]["command"] == "${here}/conf$$d/x $$$$ %"
    assert converted["a"]["environment"] == {"H": "${here}/conf$$d"}
    assert converted["b"]["command"] == f"{tmp_path}/x $$$$ %"


def test_convert_needs_nothing_else_of_the_machine_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is often converted where it does not run: no user, no directory, no value is there."""
    for name in ("T_LEVEL", "T_EVENTS", "T_DIR"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "c.conf"
    path.write_text(
        "[supervisord]\nuser=no-such-user\nloglevel=%(ENV_T_LEVEL)s\nlogfile=/no/such/dir/l\n"
        "[unix_http_server]\nfile=%(ENV_T_DIR)s/s\nchown=no-such-user:no-such-group\n"
        "[eventlistener:l]\ncommand=a\nevents=%(ENV_T_EVENTS)s\nuser=no-such-user\n"
        "stdout_logfile=%(ENV_T_DIR)s/l.log\n"
    )
    assert convert(str(path), "tsupervisord") == 0
    converted = tomllib.loads(capsys.readouterr().out)
    assert converted["supervisord"]["loglevel"] == "${ENV_T_LEVEL}"
    assert converted["eventlistener"]["l"]["events"] == "${ENV_T_EVENTS}"
    path.write_text(path.read_text() + "autostart=maybe\n")
    with pytest.raises(ConfigError, match="not a valid boolean value: 'maybe'"):
        convert(str(path), "tsupervisord")


@pytest.mark.behaviour("configuration.md#converting-ini-to-toml")
def test_convert_says_what_has_no_counterpart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.conf"
    path.write_text("[supervisord]\nlogfle=1\n[program:x]\ncommand=a %(process_num)foo\n")
    assert convert(str(path), "tsupervisord") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("# not converted: [supervisord] logfle is ignored")
    assert "not converted: [supervisord] logfle" in captured.err


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


@pytest.mark.behaviour("configuration.md#nested-includes")
def test_an_include_of_an_included_toml_file_is_an_error(tmp_path: Path) -> None:
    """The INI form ignores it; in TOML nothing that is unknown is ignored."""
    (tmp_path / "a.toml").write_text('\ninclude = ["b.toml"]\n')
    (tmp_path / "b.toml").write_text("[program.x]\ncommand = 'cat'\n")
    (tmp_path / "c.toml").write_text('include = ["a.toml"]\n[supervisord]\n')
    with pytest.raises(ConfigError, match="an included file cannot include others") as caught:
        load_config(str(tmp_path / "c.toml"))
    assert (caught.value.file, caught.value.line) == (f"{tmp_path}/a.toml", 2)
    assert caught.value.hint == "name its files in the main file"


def test_toml_files_include_each_other(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.toml").write_text('[program.x]\ncommand = "cat ${here}"\n')
    (tmp_path / "c.toml").write_text('include = ["d/*.toml"]\n[supervisord]\n')
    config = load_config(str(tmp_path / "c.toml"))
    assert config.groups[0].processes[0].command == f"cat {tmp_path}/d"
