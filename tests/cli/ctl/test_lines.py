"""Lines of several logs: put together, prefixed with names, and found by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from trio_supervisor.cli.ctl import lines as ctl_lines
from trio_supervisor.cli.ctl.lines import LinePrefix, LineSplitter
from trio_supervisor.cli.ctl.logs import seconds_since

STREAM = "one\n\nzwei ä 二\nno end".encode()
NOW = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)


def test_lines_split_anywhere() -> None:
    for split in range(len(STREAM)):
        lines = LineSplitter()
        found = [*lines.feed(STREAM[:split]), *lines.feed(b""), *lines.feed(STREAM[split:])]
        assert found == [b"one", b"", "zwei ä 二".encode()]
        assert lines.finish() == [b"no end"]
        assert lines.finish() == []


def test_a_line_without_end_is_shown_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctl_lines, "LONGEST_LINE", 10)
    lines = LineSplitter()
    assert lines.feed(b"x" * 10) == []
    assert lines.feed(b"y") == [b"xxxxxxxxxxy"]
    assert lines.feed(b"a\n" + b"z" * 11) == [b"a", b"z" * 11]


def prefix(**changes: bool) -> LinePrefix:
    given = {"prefixed": True, "on_terminal": False, "coloured": False, **changes}
    return LinePrefix(["web:1", "日本", "web:1"], **given)


def test_prefixes_are_aligned() -> None:
    assert prefix().line("web:1", "stdout", b"x") == b"web:1 | x\n"
    assert prefix().line("日本", "stderr", b"") == "日本  | \n".encode()
    assert prefix(prefixed=False).line("日本", "stderr", b"x") == b"x\n"


def test_colours_tell_names_and_stderr_apart() -> None:
    coloured = prefix(coloured=True)
    seen = {
        coloured.line(name, channel, b"x")
        for name in ("web:1", "日本")
        for channel in ("stdout", "stderr")
    }
    assert len(seen) == 4
    assert all(line.endswith(b"\x1b[0m x\n") for line in seen)
    assert coloured.line("web:1", "stderr", b"x").startswith(b"\x1b[36mweb:1\x1b[31m |")


@pytest.mark.parametrize(
    ("line", "piped", "on_terminal", "raw"),
    [
        (b"a\xffb", "a\ufffdb".encode(), "a\ufffdb".encode(), b"a\xffb"),
        (b"a\r", b"a", b"a", b"a\r"),
        (b"\x1b[2Ja", b"\x1b[2Ja", b"^[[2Ja", b"\x1b[2Ja"),
        (b"\x1b[1mb", b"\x1b[1mb", b"\x1b[1mb\x1b[0m", b"\x1b[1mb"),
    ],
)
def test_what_programs_write(line: bytes, piped: bytes, on_terminal: bytes, raw: bytes) -> None:
    def shown(prefix: LinePrefix) -> bytes:
        return prefix.line("web:1", "stdout", line)

    assert shown(prefix(prefixed=False)) == piped + b"\n"
    assert shown(prefix(prefixed=False, on_terminal=True)) == on_terminal + b"\n"
    with_raw = LinePrefix(["web:1"], prefixed=False, on_terminal=True, coloured=True, raw=True)
    assert shown(with_raw) == raw + b"\n"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1w", 604800),
        ("12:00", 1800),
        ("12:29:59", 1),
        ("9:30", 3 * 3600),
        ("13:00", 23.5 * 3600),  # yesterday's
        ("2026-11-26T12:00", 1800),
        ("2026-11-26", 12.5 * 3600),
        ("2026-11-26T12:30:00+01:00", 3600),
    ],
)
def test_since(text: str, seconds: float) -> None:
    assert seconds_since(text, NOW) == seconds


def test_since_is_local_time() -> None:
    here = NOW.astimezone(timezone(timedelta(hours=2)))
    assert seconds_since("14:00", here) == 1800
    assert seconds_since("2026-11-26T14:00", here) == 1800


@pytest.mark.parametrize(
    "text", ["", "5x", "m", "-5m", "25:00", "12:60", "2026-11-26T13:00", "2027-01-01", "٣m"]
)
def test_no_past_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        seconds_since(text, NOW)
