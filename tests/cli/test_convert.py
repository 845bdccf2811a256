"""``--convert``: nothing that the INI form says is lost without a word."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from trio_supervisor.cli.convert import EXIT_DIFFERENT, convert, meaning
from trio_supervisor.cli.ctl.options import read_options
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.load import load_config

DAEMON = "[supervisord]\nuser=root\n"
A = "[program:a]\ncommand=/bin/cat\n"


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("T_DIR", "T_USER", "T_MODE", "T_PORT"):
        monkeypatch.delenv(name, raising=False)


class Converted:
    """What a conversion of ``c.conf`` has printed."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    @property
    def data(self) -> dict[str, Any]:
        return tomllib.loads(self.out)


class Converter:
    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._directory = directory
        self._capsys = capsys

    def write(self, name: str, text: str) -> None:
        path = self._directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def __call__(self, text: str | None = None, name: str = "c.conf", **options: bool) -> Converted:
        if text is not None:
            self.write(name, text)
        status = convert(str(self._directory / name), "tsupervisord", **options)
        return Converted(status, *self._capsys.readouterr())


@pytest.fixture
def converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Converter:
    return Converter(tmp_path, capsys)


@pytest.mark.behaviour("configuration.md#converting-ini-to-toml")
def test_an_include_is_said_to_be_replaced_by_its_files(
    converted: Converter, tmp_path: Path
) -> None:
    converted.write("d/a.conf", A)
    result = converted(DAEMON + "[include]\nfiles=d/*.conf\n")
    note = f"[include] d/*.conf is replaced by what stands in {tmp_path}/d/a.conf\n"
    assert (result.status, result.err) == (0, note)
    assert result.out.startswith(f"# {note}")
    assert result.data["program"] == {"a": {"command": "/bin/cat"}}


@pytest.mark.behaviour("configuration.md#converting-ini-to-toml")
@pytest.mark.parametrize("files", ["d/*.conf", "a.conf d/*.conf", "d/*.conf a.conf"])
def test_a_pattern_that_matches_nothing_is_not_dropped_in_silence(
    converted: Converter, files: str
) -> None:
    converted.write("a.conf", A)
    result = converted(DAEMON + f"[include]\nfiles={files}\n")
    note = "not converted: [include] d/*.conf matches no file here; --keep-includes keeps it\n"
    assert result.status == EXIT_DIFFERENT
    assert note in result.err
    assert f"# {note}" in result.out


def test_an_included_file_that_cannot_be_read_is_named(
    converted: Converter, tmp_path: Path
) -> None:
    (tmp_path / "d.conf").mkdir()
    result = converted(DAEMON + "[include]\nfiles=d.conf\n")
    note = f"not converted: [include] {tmp_path}/d.conf: it cannot be read\n"
    assert (result.status, result.err) == (EXIT_DIFFERENT, note)


def test_the_variable_of_an_include_that_is_not_set_is_named(converted: Converter) -> None:
    text = DAEMON + "[include]\nfiles=%(ENV_T_DIR)s/*.conf\n"
    why = "[include] %(ENV_T_DIR)s/*.conf: not set here, so its files are unknown: T_DIR\n"
    result = converted(text)
    assert (result.status, result.err) == (EXIT_DIFFERENT, f"not converted: {why}")
    result = converted(text, keep_includes=True)
    assert (result.status, result.err) == (0, f"not compared: {why}")
    assert result.data["include"] == ["${ENV_T_DIR}/*.toml"]


def test_an_include_can_be_kept_and_its_files_converted_one_by_one(
    converted: Converter, tmp_path: Path
) -> None:
    converted.write("d/a.conf", A + "directory=%(here)s\n")
    converted.write("d/g.conf", "[group:g]\nprograms=a\n")
    result = converted(DAEMON + "[include]\nfiles=d/*.conf later/*.conf\n", keep_includes=True)
    d = tmp_path / "d"
    assert (result.status, result.err) == (
        0,
        f"convert it too: tsupervisord --convert {d}/a.conf > {d}/a.toml\n"
        f"convert it too: tsupervisord --convert {d}/g.conf > {d}/g.toml\n",
    )
    converted.write("c.toml", result.out)
    for name in ("d/a", "d/g"):
        part = converted(name=f"{name}.conf")
        assert (part.status, part.err) == (0, "")
        assert "supervisord" not in part.data
        converted.write(f"{name}.toml", part.out)
    one, other = (load_config(str(tmp_path / name)) for name in ("c.conf", "c.toml"))
    assert meaning(one) == meaning(other)


def test_a_variable_with_several_patterns_cannot_be_kept(
    converted: Converter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T_DIR", "a.conf b.conf")
    text = DAEMON + "[include]\nfiles=%(ENV_T_DIR)s\n"
    for name in ("a", "b"):
        converted.write(f"{name}.conf", f"[program:{name}]\ncommand=/bin/cat\n")
    assert converted(text).status == 0
    result = converted(text, keep_includes=True)
    assert result.status == EXIT_DIFFERENT
    assert "a variable that holds several patterns is one in TOML" in result.err


def test_what_files_inherit_from_the_main_one_is_missed_where_they_are_converted_alone(
    converted: Converter,
) -> None:
    converted.write("a.conf", A)
    text = f"[DEFAULT]\nstartsecs=5\n{DAEMON}[include]\nfiles=a.conf\n"
    result = converted(text, keep_includes=True)
    assert result.status == EXIT_DIFFERENT
    assert "group a does not mean the same" in result.err
    assert converted(text).status == 0


def test_a_variable_that_a_section_sets_is_no_variable_where_it_is_used_before(
    converted: Converter,
) -> None:
    result = converted(
        DAEMON + A + 'user=%(ENV_T_USER)s\nenvironment=T_USER="%(ENV_T_USER)s"\n'
        "[program:b]\ncommand=/bin/echo %(ENV_T_MODE)s\nenvironment=T_MODE=1\n"
    )
    assert (result.status, result.err) == (0, "not set here, compared as if it were 1: T_USER\n")
    assert result.data["program"]["a"] == {
        "command": "/bin/cat",
        "user": "${ENV_T_USER}",
        "environment": {"T_USER": "${ENV_T_USER}"},
    }


def test_unquoted_expansions_of_an_environment_are_converted(
    converted: Converter, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        DAEMON
        + A
        + (
            'environment=MODE=%(ENV_T_MODE)s,PORT="%(ENV_T_PORT)s",D=%(here)s/x,\n'
            "  N=%(process_num)02d,P='50%%',Q='a%(ENV_T_MODE)s$b',R=x%(ENV_T_MODE)s%(ENV_T_PORT)s\n"
        )
    )
    expected = {
        "MODE": "${ENV_T_MODE}",
        "PORT": "${ENV_T_PORT}",
        "D": "${here}/x",
        "N": "${process_num:02d}",
        "P": "50%",
        "Q": "a${ENV_T_MODE}$$b",
        "R": "x${ENV_T_MODE}${ENV_T_PORT}",
    }
    result = converted(text)
    assert (result.status, result.data["program"]["a"]["environment"]) == (0, expected)
    monkeypatch.setenv("T_MODE", "prod")
    monkeypatch.setenv("T_PORT", "80")
    result = converted(text)
    assert (result.status, result.err) == (0, "")
    assert result.data["program"]["a"]["environment"] == expected


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ("%(ENV_T_MODE)s", "its pairs come out of a variable"),
        ("%(ENV_T_MODE)s=1", "the name of a variable comes out of another one"),
    ],
)
def test_pairs_that_come_out_of_a_variable_are_reported(
    converted: Converter, monkeypatch: pytest.MonkeyPatch, environment: str, why: str
) -> None:
    monkeypatch.setenv("T_MODE", "A=1" if "=" not in environment else "A")
    result = converted(DAEMON + A + f"environment={environment}\n")
    assert result.status == EXIT_DIFFERENT
    assert f"not converted: [program:a] environment: {why}\n" in result.err


@pytest.mark.behaviour("configuration.md#converting-ini-to-toml")
def test_keys_of_other_programs_survive_and_mistakes_are_reported(converted: Converter) -> None:
    result = converted(
        DAEMON + A + "dependent_startup=true\ndependent_startup_wait_for=b:running\n"
        "stdout_logfile_backupcount=3\ncomand=x\n"
    )
    assert (result.status, result.err) == (
        0,
        "not converted: [program:a] stdout_logfile_backupcount is ignored by the INI form too\n"
        "not converted: [program:a] comand is ignored by the INI form too\n",
    )
    assert result.data["program"]["a"]["other"] == {
        "dependent_startup": "true",
        "dependent_startup_wait_for": "b:running",
    }


def test_the_client_reads_the_same_from_the_converted_file(
    converted: Converter, tmp_path: Path
) -> None:
    converted.write("more.conf", "[supervisorctl]\nprompt=no client reads this\n")
    result = converted(
        DAEMON + "[supervisorctl]\nserverurl=unix://%(here)s/s.sock\nusername=u\npassword=p%%w$\n"
        "history_file=%(ENV_HOME)s/h\nssl_verify=off\n"
        "[ctlplugin:x]\nsupervisor.ctl_factory=m:f\nspeed=a%%b\n[include]\nfiles=more.conf\n"
    )
    assert "[supervisorctl] prompt" in result.err
    converted.write("c.toml", result.out)
    one, other = (
        read_options(["x", "-c", str(tmp_path / name)], os.environ) for name in ("c.conf", "c.toml")
    )
    for name in ("serverurl", "username", "password", "history_file", "prompt"):
        assert getattr(one, name) == getattr(other, name)
    assert one.tls.verify is other.tls.verify is False
    for section in (*one.plugin_sections, *other.plugin_sections):
        assert (section.name, section.factory, section.options) == ("x", "m:f", {"speed": "a%b"})


def test_what_is_wrong_is_an_error_also_where_variables_are_not_set(converted: Converter) -> None:
    with pytest.raises(ConfigError, match="startsecs"):
        converted(DAEMON + A + "user=%(ENV_T_USER)s\nstartsecs=x\n")
