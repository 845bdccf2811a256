"""The command line of the daemon."""

from __future__ import annotations

import pytest

from trio_supervisor.cli.daemon_options import FLAGS, DaemonOptions, UsageError, parse, usage


@pytest.mark.behaviour("configuration.md#parsing-of-the-command-line")
def test_getopt_rules() -> None:
    assert parse(["--nod", "--conf", "FILE"]) == DaemonOptions(
        configuration="FILE", overrides={"nodaemon": "true"}
    )
    assert parse(["-nkt", "-cc.conf"]) == DaemonOptions(
        configuration="c.conf",
        overrides={"nodaemon": "true", "nocleanup": "true", "strip_ansi": "true"},
    )
    assert parse(["-n", "-c", "c.conf", "--"]).configuration == "c.conf"
    assert parse(["--loglevel=debug", "--minprocs", "3"]).overrides == {
        "loglevel": "debug",
        "minprocs": "3",
    }
    assert parse(["--profile_options", "cumulative,callers"]).profile == "cumulative,callers"


@pytest.mark.behaviour(
    "configuration.md#parsing-of-the-command-line",
    "configuration.md#command-line-options-override-the-file",
)
@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["foo"], "positional arguments are not supported: foo"),
        (["foo", "-n"], "positional arguments are not supported: foo -n"),
        (["-x"], "option -x not recognized"),
        (["-c"], "option -c requires argument"),
        (["--nodaemon=1"], "option --nodaemon must not have an argument"),
        (["-n", "-n"], "conflicting command line option '-n'"),
        (["-l", "a", "-l", "b"], "conflicting command line option '-l'"),
        (["--log", "x"], "option --log not a unique prefix"),
        (["-v", "--bogus"], "option --bogus not recognized"),
        (["--check", "a", "b"], "positional arguments are not supported: b"),
        (["--check", "a", "-c", "b"], "conflicting command line option '-c'"),
        (["--hash-password", "a"], "positional arguments are not supported: a"),
    ],
)
def test_usage_errors(argv: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(argv)
    assert str(caught.value) == text


@pytest.mark.behaviour("configuration.md#parsing-of-the-command-line")
@pytest.mark.parametrize(
    ("argv", "action"),
    [
        (["-h"], "help"),
        (["-?"], "help"),
        (["--help"], "help"),
        (["-v"], "version"),
        (["-v", "-h"], "version"),
        (["--demo"], "demo"),
        ([], "run"),
    ],
)
def test_help_and_version(argv: list[str], action: str) -> None:
    assert parse(argv).action == action


@pytest.mark.parametrize(
    "argv",
    [
        ["--convert", "c.conf"],
        ["--check", "c.conf", "--format", "json"],
        ["--export=toml", "c.conf"],
    ],
)
def test_actions_on_a_file_take_its_name_alone(argv: list[str]) -> None:
    assert parse(argv).configuration == "c.conf"


def test_help_names_every_option() -> None:
    text = usage("/usr/bin/tsupervisord")
    assert text.startswith("usage: tsupervisord [options]")
    for flag in FLAGS:
        assert f"--{flag.long}" in text
    assert max(map(len, text.splitlines())) <= 80


def test_an_empty_value_is_not_a_flag_without_one() -> None:
    assert parse(["--logfile=", "-n"]).overrides == {"logfile": "", "nodaemon": "true"}
