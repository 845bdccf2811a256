"""Options about restarts and the end of the supervisor in files."""

from __future__ import annotations

from signal import SIGTERM
from typing import Any

import pytest

from tests.kit.config import BASE, HERE, eval_context, load
from trio_supervisor.core.config.build import build
from trio_supervisor.core.config.ini import Document
from trio_supervisor.core.config.model import Config, ExitWhen
from trio_supervisor.core.config.options import ROWS
from trio_supervisor.core.config.restarting import (
    NO_RESTART_OPTIONS,
    Backoff,
    RestartLimit,
    RestartOptions,
)
from trio_supervisor.core.config.toml import read_toml
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.core.process.exit import Exit

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
PROGRAM = "[program:x]\ncommand=/bin/cat\nautostart=false\n"
LINES = """\
backoff = exponential
backoff_initial = 500ms
backoff_max = 5m
backoff_jitter = 0.25
restart_delay = 2
retry_forever = true
restart_limit = 5/60s
restart_prevent = 78, SIGTERM
"""
TOML = """\
[supervisord]
user = "root"
exit_when = "all_ended"
[program.x]
command = "/bin/cat"
backoff = "exponential"
backoff_initial = 0.5
backoff_max = "5m"
backoff_jitter = 0.25
restart_delay = 2
retry_forever = true
restart_limit = "5/60s"
restart_prevent = [78, "SIGTERM"]
"""
WANTED = RestartOptions(
    backoff=Backoff.EXPONENTIAL,
    backoff_initial=0.5,
    backoff_max=300,
    backoff_jitter=0.25,
    restart_delay=2,
    retry_forever=True,
    restart_limit=RestartLimit(5, 60),
    restart_prevent=(Exit(78), Exit(None, SIGTERM)),
)


def restarting(config: Config) -> RestartOptions:
    ((process,),) = (group.processes for group in config.groups)
    return process.restarting


def load_toml(text: str) -> Config:
    document = Document()
    read_toml(text, file="c.toml", here=HERE, into=document)
    return build(document, eval_context(), overrides={}, here=HERE)


def ini(lines: str, base: str = EXTENDED) -> RestartOptions:
    return restarting(load(PROGRAM + lines, base=base))


def test_ini() -> None:
    assert ini(LINES) == WANTED
    assert ini("on_fatal = retry:5m").on_fatal == 300
    assert ini("on_fatal = stay").on_fatal is None
    assert ini("backoff = 1s, 5, 1m").backoff == (1, 5, 60)
    base = EXTENDED.replace("extended=true", "extended=true\nexit_when=all_ended")
    assert load(PROGRAM, base=base).daemon.exit_when is ExitWhen.ALL_ENDED


def test_toml() -> None:
    config = load_toml(TOML)
    assert restarting(config) == WANTED
    assert config.daemon.exit_when is ExitWhen.ALL_ENDED
    listed = TOML.replace('"exponential"', '[0.5, 5, "1m"]')
    assert restarting(load_toml(listed)).backoff == (0.5, 5, 60)


def test_without_extended_such_options_change_nothing() -> None:
    wrong = "\n".join(f"{line.split(' = ')[0]} = $nonsense" for line in LINES.splitlines())
    config = load(PROGRAM + wrong)
    assert restarting(config) is NO_RESTART_OPTIONS
    assert config.groups == load(PROGRAM).groups


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        (
            "backoff = exponental",
            "invalid 'backoff' value 'exponental'",
            "did you mean exponential?",
        ),
        ("backoff = 1s, x", "invalid 'backoff' value '1s, x'", "use linear, constant, exponential"),
        ("backoff_initial = 1w", "invalid duration '1w'", "use a number, or 500ms"),
        ("backoff_jitter = 20%%", "'20%' is not between 0 and 1", "use a fraction, like 0.2"),
        ("backoff_jitter = nan", "'nan' is not between 0 and 1", "use a fraction, like 0.2"),
        ("restart_limit = 5", "invalid limit '5'", "use restarts/time, both above 0, like 5/60s"),
        ("restart_limit = 0/60s", "invalid limit '0/60s'", "both above 0"),
        ("restart_limit = 5/0", "invalid limit '5/0'", "both above 0"),
        ("restart_prevent = 256", "256 is not an exit code", "use 0 to 255"),
        ("restart_prevent = TREM", "value 'TREM' is not a valid signal name", "did you mean TERM?"),
        ("on_fatal = restart", "invalid 'on_fatal' value 'restart'", "use stay, or retry:5m"),
        ("on_fatal = retry:soon", "invalid duration 'soon'", "use a number"),
    ],
)
def test_mistakes_name_what_to_write(line: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ini(line)
    assert caught.value.message.startswith(message)
    assert hint in (caught.value.hint or "")
    assert caught.value.option == line.partition(" =")[0]
    assert caught.value.line


@pytest.mark.behaviour("policies.md#essential")
def test_an_essential_program_cannot_have_another_life() -> None:
    with pytest.raises(ConfigError, match="cannot be started again after FATAL") as caught:
        ini("essential = true\non_fatal = retry:5m")
    assert caught.value.option == "on_fatal"
    ((process,),) = (
        group.processes
        for group in load(f"{PROGRAM}essential = true\non_fatal = stay", base=EXTENDED).groups
    )
    assert process.essential


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("backoff", "linear", "linear"),
        ("backoff", "500ms, 1m", [0.5, 60]),
        ("restart_limit", "5/1m", "5/60s"),
        ("restart_prevent", "78,term", [78, "SIGTERM"]),
        ("on_fatal", "retry:5m", "retry:300s"),
        ("essential", "true", True),
    ],
)
def test_how_values_are_shown_and_written_as_toml(name: str, text: str, shown: Any) -> None:
    option = ROWS["program"][name]
    value = option.type.convert(text, eval_context())
    assert option.shown(value) == shown
    again = option.type.native(text)
    written = ",".join(map(str, again)) if isinstance(again, list) else str(again)
    assert option.type.convert(written, eval_context()) == value
