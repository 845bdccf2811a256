"""The table of commands: every row leads to a function, options are parsed, plugins come first."""

from __future__ import annotations

import io

import pytest

from trio_supervisor.cli.ctl import commands as ctl_commands
from trio_supervisor.cli.ctl import dispatch
from trio_supervisor.cli.ctl.arguments import Arguments, parse
from trio_supervisor.cli.ctl.commands import ClientCommand, resolved
from trio_supervisor.cli.ctl.dispatch import Dispatcher
from trio_supervisor.cli.ctl.options import ClientOptions
from trio_supervisor.cli.ctl.session import Session, UsageMistake

SAMPLE = ClientCommand(
    "sample",
    f"{__name__}:unused",
    ("sample <name> ...", "Do nothing"),
    options=(
        ("-n, --lines N", "how many"),
        ("-f, --follow", "go on"),
        ("--since TIME", "from then on"),
    ),
    extension=True,
)
EXTENDED = ClientCommand(
    "sample",
    "",
    ("sample", "Do nothing"),
    options=SAMPLE.options,
    extended=(f"{__name__}:unused", ("sample <option>", "Do nothing")),
)


@pytest.mark.parametrize(
    "target",
    [row.target for row in ctl_commands.ROWS]
    + [row.extended[0] for row in ctl_commands.ROWS if row.extended is not None],
)
def test_every_row_leads_to_a_function(target: str) -> None:
    assert callable(resolved(target))


@pytest.mark.behaviour("client.md#commands-that-supervisor-does-not-have")
def test_no_command_hides_an_action() -> None:
    assert len(ctl_commands.COMMANDS) == len(ctl_commands.ROWS)
    assert all(row.extended is None or not row.extension for row in ctl_commands.ROWS)


@pytest.mark.parametrize(
    ("argument", "words", "options"),
    [
        ("", [], {}),
        ("a b", ["a", "b"], {}),
        ("-n 5 a", ["a"], {"lines": "5"}),
        ("-n5 a --follow", ["a"], {"lines": "5", "follow": ""}),
        ("a --lines=5 b --since 12:00", ["a", "b"], {"lines": "5", "since": "12:00"}),
        ("--lines -5", [], {"lines": "-5"}),
        ("--since=a=b", [], {"since": "a=b"}),
        ("-n 1 -n 2", [], {"lines": "2"}),
        ("-n 1 -- a --follow -- b", ["a", "--follow", "--", "b"], {"lines": "1"}),
        ("-n 1 --", [], {"lines": "1"}),
    ],
)
def test_options_are_parsed(argument: str, words: list[str], options: dict[str, str]) -> None:
    for command in (SAMPLE, EXTENDED):
        arguments = parse(command.name, command.options, argument, strict=command.extension)
        assert (arguments.words, arguments.options) == (words, options)


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--bogus", "Error: sample has no option --bogus"),
        ("-x", "Error: sample has no option -x"),
        ("--follow=1", "Error: sample has no option --follow=1"),
        ("-fn", "Error: sample has no option -fn"),
        ("a -n", "Error: -n needs a value: -n, --lines N"),
    ],
)
def test_wrong_options_are_told(argument: str, text: str) -> None:
    with pytest.raises(UsageMistake) as caught:
        parse("sample", SAMPLE.options, argument, strict=True)
    assert (caught.value.text, caught.value.status) == (text, 2)


@pytest.mark.parametrize("argument", ["--bogus", "-x", "--follow=1", "-fn", "cat", "-"])
def test_an_extended_action_takes_any_other_word_for_a_name(argument: str) -> None:
    assert not EXTENDED.has_options(argument)
    assert parse("sample", SAMPLE.options, argument, strict=False).words == [argument]
    assert EXTENDED.has_options(f"{argument} --follow")


@pytest.mark.parametrize("text", ["x", "nan", "inf", "-1", ""])
def test_a_number_must_be_one(text: str) -> None:
    arguments = Arguments()
    arguments.options["lines"] = text
    with pytest.raises(UsageMistake, match="--lines takes a number from 0 up, not"):
        arguments.number("lines", 10)
    assert arguments.number("other", 10) == 10


class Plugin:
    """A plugin that has long had a command of a name that this client uses as well."""

    name = "old"

    def __init__(self, session: Session) -> None:
        self._session = session

    def do_sample(self, argument: str) -> None:
        self._session.line(f"plugin: {argument}")


@pytest.mark.behaviour("client.md#commands-that-supervisor-does-not-have")
def test_plugins_come_before_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "COMMANDS", {"sample": SAMPLE})
    said = io.StringIO()
    session = Session(ClientOptions(), said)
    dispatcher = Dispatcher(session)
    assert dispatcher.run("sample --bogus") is False
    assert session.exit_status == 2
    assert said.getvalue().splitlines() == [
        "Error: sample has no option --bogus",
        "sample <name> ...\tDo nothing",
        "  -n, --lines N\t\thow many",
        "  -f, --follow\t\tgo on",
        "  --since TIME\t\tfrom then on",
    ]
    dispatcher = Dispatcher(session)
    dispatcher.plugins = [Plugin(session)]
    dispatcher.run("sample --bogus")
    assert said.getvalue().endswith("\nplugin: --bogus\n")
