"""What TAB offers."""

from __future__ import annotations

import io

import pytest

from tests.kit.rpc_stub import Stub, fault, info, serving
from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.dispatch import Dispatcher, columns
from trio_supervisor.cli.ctl.options import ClientOptions
from trio_supervisor.cli.ctl.session import Session
from trio_supervisor.cli.ctl.shell import Completer

ROWS = [
    info("cat"),
    info("pool:pool_00"),
    info("pool:pool_01"),
    info("one:other"),
    info("web:web"),
    info("web:x"),
]
PROCESSES = ["cat", "one:*", "one:other", "pool:*", "pool:pool_00", "pool:pool_01", "web:*"]
PROCESSES += ["web:web", "web:x"]
GROUPS = ["cat", "one", "pool", "web"]
ACTION_NAMES = sorted([*COMMANDS, "help"])


class Line:
    """The part of the readline module that the completer asks."""

    def __init__(self) -> None:
        self.text = ""
        self.begin = 0
        self.history = 0

    def get_line_buffer(self) -> str:
        return self.text

    def get_begidx(self) -> int:
        return self.begin

    def get_current_history_length(self) -> int:
        return self.history


def offered(stub: Stub, *lines: str) -> list[list[str]]:
    """What TAB offers at the end of these lines, typed one after another."""
    options = ClientOptions()
    options.serverurl = stub.url
    session = Session(options, io.StringIO())
    line = Line()
    completer = Completer(Dispatcher(session), line)
    found = []
    try:
        for line.history, line.text in enumerate(lines):
            line.begin = max(line.text.rfind(" "), line.text.rfind("\t")) + 1
            text = line.text[line.begin :]
            matches: list[str] = []
            while (match := completer.complete(text, len(matches))) is not None:
                matches.append(match)
            assert all(match.endswith(" ") for match in matches)
            found.append([match.strip() for match in matches])
    finally:
        session.disconnect()
    return found


@pytest.mark.behaviour("client.md#completion")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ACTION_NAMES),
        pytest.param("  ", ACTION_NAMES, id="after blanks"),
        ("st", ["start", "status", "stop"]),
        pytest.param("help st", ["start", "status", "stop"], id="after help"),
        ("stop p", ["pool:*", "pool:pool_00", "pool:pool_01"]),
        ("stop cat:", ["cat:*", "cat:cat"]),
        pytest.param("signal HUP c", ["cat"], id="signal"),
        ("stop ", PROCESSES),
        pytest.param("stop cat ", PROCESSES, id="second name"),
        pytest.param("update ", GROUPS, id="groups"),
        pytest.param("remove p", ["pool"], id="remove"),
        pytest.param("maintail ", [], id="nothing"),
        ("e ", []),
        pytest.param("el ", [], id="el"),
        pytest.param("nosuch ", [], id="unknown action"),
    ],
)
def test_offers(line: str, expected: list[str]) -> None:
    stub = Stub()
    stub.answers["getAllProcessInfo"] = ROWS
    with serving(stub):
        assert offered(stub, line) == [expected]


def test_every_action_that_takes_names_completes_them() -> None:
    rows = [row for row in COMMANDS.values() if not row.extension]
    kinds = {row.name: row.completes for row in rows if row.completes}
    processes = ["clear", "fg", "pid", "restart", "signal", "start", "status", "stop", "tail"]
    assert kinds == {
        **dict.fromkeys(processes, "processes"),
        **dict.fromkeys(("add", "remove", "update"), "groups"),
    }


def test_names_are_fetched_once_for_a_typed_line() -> None:
    stub = Stub()
    stub.answers["getAllProcessInfo"] = ROWS
    with serving(stub):
        offered(stub, "stop p", "stop c")
        assert len(stub.calls) == 2


@pytest.mark.parametrize("protected", [False, True])
def test_daemon_that_does_not_answer_offers_nothing(protected: bool) -> None:
    stub = Stub()
    stub.answers["getAllProcessInfo"] = fault("SHUTDOWN_STATE")
    stub.password = "a:b" if protected else ""
    with serving(stub):
        assert offered(stub, "stop p") == [[]]


@pytest.mark.parametrize(
    ("names", "width", "rows"),
    [
        ([], 10, []),
        (["a"], 10, ["a"]),
        (["a", "bb", "ccc"], 10, ["a  bb  ccc"]),
        (["a", "bb", "ccc"], 9, ["a   ccc", "bb"]),
        (["long-name", "x"], 3, ["long-name", "x        "]),
    ],
)
def test_columns(names: list[str], width: int, rows: list[str]) -> None:
    assert columns(names, width) == rows
