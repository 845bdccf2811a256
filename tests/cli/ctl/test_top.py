"""``top`` without a terminal: what samples tell, what keys do, what is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.ctl import install
from tests.kit.screen import screen
from trio_supervisor.cli.ctl.text import cells
from trio_supervisor.cli.ctl.top.keys import KEYS, ActionRequest, Top
from trio_supervisor.cli.ctl.top.model import CPU, NAME, OUTPUT, STATE, Row, Table
from trio_supervisor.cli.ctl.top.view import render

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.rpc_stub import Stub

DOWN, UP, PAGE_DOWN, END, HOME, ENTER, ESCAPE = (
    *("KEY_DOWN", "KEY_UP", "KEY_NPAGE", "KEY_END", "KEY_HOME"),
    *("\n", "\x1b"),
)


def details(name: str, state: str = "RUNNING", **changes: Any) -> dict[str, Any]:
    """A row of getAllProcessDetails."""
    alive = state in ("RUNNING", "STARTING", "STOPPING")
    return {
        "full_name": name,
        "statename": state,
        "description": "pid 7, uptime 0:00:09" if alive else "Nov 26 04:03 PM",
        "pid": 7 if alive else 0,
        "uptime": 9 if alive else 0,
        "restarts": 0,
        "reason": "" if alive else "stopped on request: exit status 3",
        "last_output": "",
        "stdout_bytes": 0,
        "stderr_bytes": 0,
        "cpu_seconds": 1.0,
        "memory": 3 * 1024**2 if alive else 0,
        "processes": 1 if alive else 0,
        "now": 1000,
        "start": 100,
        "stop": 0,
        **changes,
    }


def top_of(*rows: dict[str, Any]) -> Top:
    top = Top()
    top.identity = "supervisor  pid 1"
    top.time = "12:00:00"
    top.table.sample(rows, 100.0)
    return top


def press(top: Top, *keys: str) -> ActionRequest | None:
    """The intent of the last key."""
    intent = None
    for key in keys:
        intent = top.press(key)
    return intent


def shown(top: Top, width: int = 80, height: int = 24) -> list[str]:
    """The screen as text; what the colours say is not in it."""
    lines = render(top, width, height)
    texts = ["".join(text for text, _ in line) for line in lines]
    assert len(texts) <= height
    assert all(cells(text) <= width for text in texts), texts
    return [text.rstrip() for text in texts]


def names(table: Table) -> list[str]:
    return [row.name for row in table.rows]


def test_rates_need_two_samples() -> None:
    before = details("a", cpu_seconds=1.0, stdout_bytes=100, stderr_bytes=50)
    after = details("a", cpu_seconds=2.5, stdout_bytes=1100, stderr_bytes=1050)
    first, second = Row(before, None, 0.0), Row(after, before, 2.0)
    assert (first.cpu, first.output) == (None, None)
    assert (second.cpu, second.output) == (75.0, 1000.0)


@pytest.mark.parametrize(
    ("change", "cpu", "output"),
    [
        pytest.param({"pid": 8, "cpu_seconds": 0.1}, None, 0.0, id="another-child"),
        pytest.param({"cpu_seconds": 0.5}, 0.0, 0.0, id="descendant-left"),
        pytest.param({"stdout_bytes": 3}, 0.0, None, id="another-daemon"),
    ],
)
def test_rates_that_cannot_be_told(
    change: dict[str, Any], cpu: float | None, output: float | None
) -> None:
    before = details("a", stdout_bytes=10)
    row = Row(details("a", **{"stdout_bytes": 10, **change}), before, 2.0)
    assert (row.cpu, row.output) == (cpu, output)


def test_trouble_first_then_by_name() -> None:
    states = ("STOPPED", "RUNNING", "EXITED", "BACKOFF", "FATAL", "STARTING", "STOPPING", "UNKNOWN")
    top = top_of(*(details(f"{name}-{state}", state) for name in "ba" for state in states))
    assert names(top.table) == [
        f"{name}-{state}"
        for state in (
            *("FATAL", "BACKOFF", "UNKNOWN", "EXITED"),
            *("STOPPING", "STARTING", "RUNNING", "STOPPED"),
        )
        for name in "ab"
    ]
    press(top, "s")
    assert names(top.table)[0] == "b-STOPPED"


@pytest.mark.parametrize(
    ("key", "order"),
    [("n", "abc"), ("c", "bca"), ("m", "cab"), ("u", "cba"), ("r", "bac"), ("o", "cba")],
)
def test_sorting(key: str, order: str) -> None:
    first = [details(name, cpu_seconds=0.0) for name in "abc"]
    second = [
        details("a", cpu_seconds=0.1, memory=20, uptime=9, restarts=1, stdout_bytes=1),
        details("b", cpu_seconds=9.0, memory=10, uptime=5, restarts=2, stdout_bytes=2),
        details("c", cpu_seconds=3.0, memory=30, uptime=1, restarts=0, stdout_bytes=3),
    ]
    top = top_of(*first)
    top.table.sample(second, 102.0)
    press(top, key)
    assert names(top.table) == list(order)
    press(top, key)
    assert names(top.table) == list(reversed(order))
    press(top, "s", key)
    assert names(top.table) == list(order)


def test_unknown_rates_are_last() -> None:
    top = top_of(details("a"), details("b"))
    top.table.sample([details("a", pid=8), details("b", stdout_bytes=1)], 102.0)
    for column in (CPU, OUTPUT):
        top.table.sort_by(column)
    assert names(top.table) == ["b", "a"]


def test_selection_stays_with_its_process() -> None:
    top = top_of(*map(details, "abcd"))
    assert top.table.selected == "a"
    press(top, DOWN, DOWN)
    assert top.table.selected == "c"
    top.table.sample([details("c", "FATAL"), *map(details, "abd")], 102.0)
    assert (top.table.selected, top.table.position) == ("c", 0)
    press(top, UP)
    assert top.table.selected == "c"
    press(top, END, DOWN)
    assert top.table.selected == "d"
    top.table.sample(map(details, "ab"), 104.0)
    assert top.table.selected == "b"
    top.table.sample([], 106.0)
    assert (top.table.selected, press(top, "S"), press(top, "X", "y")) == ("", None, None)
    top.table.sample(map(details, "ab"), 108.0)
    assert top.table.selected == "a"


@pytest.mark.parametrize(
    ("keys", "intent"),
    [
        ("S", ("start", "a", "")),
        ("Xy", ("stop", "a", "")),
        ("XY", ("stop", "a", "")),
        ("Ry", ("restart", "a", "")),
        ("KUSR1\n", ("signal", "a", "USR1")),
        ("KHUPX\x7f\n", ("signal", "a", "HUP")),
        ("l", ("follow", "a", "")),
        ("q", ("quit", "", "")),
        ("Xn", None),
        ("X\n", None),
        ("Xq", None),
        ("K\n", None),
        ("KHUP\x1b", None),
        ("z", None),
        ("?S", None),
    ],
)
def test_intents(keys: str, intent: tuple[str, str, str] | None) -> None:
    got = press(top_of(details("a"), details("b")), *keys)
    assert (got and (got.verb, got.name, got.argument)) == intent


def test_what_was_asked_about_is_what_is_done() -> None:
    top = top_of(details("a"), details("b"))
    press(top, "X")
    top.table.sample([details("b")], 102.0)
    intent = press(top, "y")
    assert intent is not None
    assert intent.name == "a"


def test_no_key_is_bound_twice() -> None:
    keys = [key for keys, *_ in KEYS for key in keys]
    assert len(keys) == len(set(keys))


def test_filter() -> None:
    top = top_of(details("web:1"), details("Web:2"), details("db"))
    press(top, "/", *"wEb")
    assert names(top.table) == ["Web:2", "web:1"]
    assert "2 shown of 3" in shown(top)[1]
    assert shown(top)[-1] == "names with: wEb"
    press(top, *"x")
    assert "no name contains 'wEbx'; Esc shows all" in shown(top)
    press(top, "\x7f", ENTER, "/", ENTER)
    assert names(top.table) == ["Web:2", "web:1"]
    press(top, ESCAPE)
    assert len(names(top.table)) == 3
    press(top, "/", *"db", ESCAPE)
    assert len(names(top.table)) == 3


def example() -> Top:
    reason = "gave up starting it: Exited too quickly (process log may have details); exit status 3"
    before = [details("web:web_0", cpu_seconds=1.0), details("crash", "FATAL", reason=reason)]
    after = [
        details("web:web_0", cpu_seconds=2.0, memory=1536, uptime=3723, stdout_bytes=4096,
                restarts=2, last_output="one\n\x1b[31mtwo\x1b[0m\n\n"),
        details("crash", "FATAL", reason=reason, last_output="Traceback:\nKeyError: 'X'\n"),
    ]  # fmt: skip
    top = top_of(*before)
    top.table.sample(after, 102.0)
    return top


@pytest.mark.behaviour("client.md#commands-that-supervisor-does-not-have")
def test_the_screen() -> None:
    assert shown(example(), 120, 7) == [
        "supervisor  pid 1" + "CPU 50.0%  MEM 1.5K  12:00:00".rjust(103),
        "2 in all: 1 FATAL 1 RUNNING",
        "NAME       STATE    RESTARTS   UPTIME   CPU%   MEM LOG/s     PID PROCS LAST OUTPUT",
        "crash      FATAL           0 gave up starting it: Exited too quickly; exit status 3"
        " | KeyError: 'X'",
        "web:web_0  RUNNING         2  1:02:03   50.0  1.5K  2.0K       7     1 two",
        "",
        "?:help  S:start  X:stop  R:restart  K:signal  Enter:why  l:log  /:filter  q:quit",
    ]


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (75, "NAME       STATE    RESTARTS   UPTIME   CPU%   MEM LOG/s     PID PROCS"),
        (60, "NAME       STATE    RESTARTS   UPTIME   CPU%   MEM LOG/s"),
        (40, "NAME       STATE      CPU%   MEM LOG/s"),
        (30, "NAME       STATE      CPU%"),
        (20, "NAME       STATE"),
        (12, "NAME"),
    ],
)
def test_columns_of_narrow_terminals(width: int, titles: str) -> None:
    assert shown(example(), width)[2] == titles


@pytest.mark.parametrize("keys", ["", "\n", "?", "X", "/something long"])
def test_any_size(keys: str) -> None:
    """The limits are checked by ``shown``."""
    top = example()
    press(top, *keys)
    for width in (1, 2, 9, 10, 11, 33, 80, 200):
        for height in (1, 2, 3, 4, 5, 11, 24):
            for lost in ("", "no such file or directory"):
                top.lost = lost
                assert shown(top, width, height)


def test_the_pane_tells_of_an_adoption() -> None:
    text = "adopted: started by the daemon of pid 8, which was killed"
    top = top_of(details("a", adopted=text), details("b", adopted=""))
    assert text not in shown(top)
    press(top, "\n")
    assert text in [line.strip() for line in shown(top)]
    press(top, DOWN)
    assert text not in [line.strip() for line in shown(top)]


def test_wide_characters_keep_the_columns() -> None:
    top = top_of(details("日本語:日本語の長い名前", last_output="ログ\n"), details("b"))
    lines = shown(top, 140)
    assert lines[3].endswith("ログ") or lines[4].endswith("ログ")
    state = cells(lines[2].partition("STATE")[0])
    for line in lines[3:5]:
        assert cells(line.partition("RUNNING")[0]) == state


def test_scrolling() -> None:
    top = top_of(*(details(f"p{number:02}") for number in range(50)))

    def window() -> tuple[str, str]:
        rows = [line.split()[0] for line in shown(top, 80, 14)[3:13]]
        return rows[0], rows[-1]

    assert window() == ("p00", "p09")
    press(top, *([DOWN] * 10))
    assert window() == ("p01", "p10")
    press(top, *([UP] * 9))
    assert window() == ("p01", "p10")
    press(top, UP)
    assert window() == ("p00", "p09")
    press(top, PAGE_DOWN)
    assert window() == ("p01", "p10")
    press(top, END)
    assert window() == ("p40", "p49")
    press(top, HOME)
    assert window() == ("p00", "p09")
    press(top, END)
    shown(top, 80, 60)
    assert shown(top, 80, 60)[3].startswith("p00 ")  # a larger terminal is filled


def test_the_pane() -> None:
    top = example()
    press(top, ENTER)
    assert shown(top, 80, 12)[-6:] == [
        "",
        " crash: FATAL Nov 26 04:03 PM",
        "gave up starting it: Exited too quickly; exit status 3",
        "Traceback:",
        "KeyError: 'X'",
        "?:help  S:start  X:stop  R:restart  K:signal  Enter:why  l:log  /:filter  q:quit",
    ]
    press(top, DOWN)
    assert shown(top, 80, 12)[-4:-1] == [" web:web_0: RUNNING pid 7, uptime 0:00:09", "one", "two"]
    press(top, ENTER)
    assert "one" not in shown(top, 80, 12)


def test_help_fits_the_usual_terminal() -> None:
    top = example()
    press(top, "?")
    lines = shown(top, 80, 24)
    assert lines[0] == "Keys of top"
    assert lines[-2:] == ["  q           leave", "any key goes back"]
    assert all(text in "\n".join(lines) for _, written, text, _ in KEYS if written)
    assert press(top, "q") is None
    assert shown(top)[0].startswith("supervisor")


def test_a_lost_daemon_is_told() -> None:
    top = example()
    top.lost = "Connection refused"
    assert shown(top)[0].startswith("reconnecting: Connection refused  ")


def test_what_is_no_longer_known_is_dim() -> None:
    top = example()
    styles = {style for line in render(top, 80, 24)[1:5] for _, style in line}
    assert {"good", "bad"} <= {style.removeprefix("cursor ") for style in styles}
    top.lost = "Connection refused"
    lines = render(top, 80, 24)
    for line in (lines[1], lines[3], lines[4]):
        assert {style.removeprefix("cursor ") for _, style in line} == {"dim"}
    top.lost = ""
    assert ("1 RUNNING", "good") in render(top, 80, 24)[1]


def test_notices_last_until_the_next_key() -> None:
    top = example()
    top.say("web: started")
    assert shown(top)[-1] == "web: started"
    press(top, DOWN)
    assert shown(top)[-1].startswith("?:help")


def test_what_programs_write_cannot_draw() -> None:
    top = top_of(details("a", last_output="\x1b[2J\x07evil\n", reason="\x1b[H"))
    press(top, ENTER)
    screen = "\n".join(shown(top, 140))
    assert "^[[2J^Gevil" in screen
    assert "\x1b" not in screen


def test_the_selected_row_is_marked() -> None:
    top = example()
    assert all(style.startswith("cursor") for _, style in render(top, 80, 24)[3])
    assert not any("cursor" in style for _, style in render(top, 80, 24)[4])


@pytest.mark.parametrize("changes", [{"start": 950}, {"start": 100, "stop": 941}])
def test_a_change_within_the_last_minute_is_marked(changes: dict[str, Any]) -> None:
    top = top_of(details("a"), details("b", **changes), details("c"))
    bold = {text.strip() for line in render(top, 80, 24)[3:6] for text, s in line if "bold" in s}
    assert bold == {"b"}


def test_the_sorted_column_is_marked() -> None:
    top = example()
    for column in (NAME, CPU, STATE):
        top.table.sort_by(column)
        titles = [text.strip() for text, style in render(top, 80, 24)[2] if style == "sorted"]
        assert titles == [column.title]


def test_another_daemon_than_ours(stub: Stub, tmp_path: Path) -> None:
    stub.answers |= {"getIdentification": "supervisor", "getPID": 7}
    with screen([install(tmp_path / "bin"), "-s", stub.url, "top"], cwd=tmp_path) as person:
        assert person.end()[0] == 3
        assert person.lines[0] == (
            "Error: this daemon does not provide what top shows; it is not a tsupervisord"
        )
