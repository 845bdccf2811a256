"""The lines of both outputs of a process, in one order, from any place."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.fake_supervisor import NOW, FakeActivity, FakeSupervisor
from trio_supervisor.core.logs.place import cursor_text, parse_cursor
from trio_supervisor.core.logs.times import Marks, Stamps, Stretch
from trio_supervisor.runtime.output import log_lines
from trio_supervisor.runtime.output.log_lines import (
    LinePage,
    LineSource,
    LogLines,
    bytes_in,
    first_place,
    last_place,
    line_sources,
)
from trio_supervisor.runtime.output.log_source import CHANNELS

if TYPE_CHECKING:
    from trio_supervisor.runtime.output.log_lines import Cursor
    from trio_supervisor.runtime.supervisor import Supervisor

UNKNOWN = Marks((), 0)


def text_of(page: LinePage) -> str:
    return " ".join(line.data.decode() for line in page.lines)


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


def again(cursor: Cursor) -> Cursor:
    """As a client sends it back."""
    return parse_cursor(cursor_text(cursor))


@pytest.fixture
def logs(tmp_path: Path) -> LogLines:
    """Written in turns: o1 e1 o2 e2 ... with marks for each."""
    out = Marks(tuple(Stretch(3 * n, 10.0 + n, 10.0 + n) for n in range(9)), 27)
    err = Marks(tuple(Stretch(3 * n, 10.5 + n, 10.5 + n) for n in range(9)), 27)
    for name in ("out", "err"):
        text = "".join(f"{name[0]}{n}\n" for n in range(1, 10))
        (tmp_path / name).write_text(text)
    return LogLines(
        (
            LineSource("stdout", str(tmp_path / "out"), out),
            LineSource("stderr", str(tmp_path / "err"), err),
        )
    )


@pytest.mark.behaviour("http.md#lines-of-both-outputs")
async def test_both_outputs_in_the_order_of_arrival(logs: LogLines) -> None:
    last = await logs.last(5)
    assert text_of(last) == "e7 o8 e8 o9 e9"
    assert last.is_last
    assert not last.is_first
    before = await logs.before(again(last.start), 8)
    assert text_of(before) == "e3 o4 e4 o5 e5 o6 e6 o7"
    first = await logs.before(again(before.start), 100)
    assert text_of(first) == "o1 e1 o2 e2 o3"
    assert first.is_first
    after = await logs.after(again(first.end), 3)
    assert text_of(after) == "e3 o4 e4"
    assert not after.is_last
    around = await logs.around(again(before.end), 4)
    assert text_of(around) == "e6 o7 e7 o8"
    beginning = await logs.after(first_place(logs.sources), 2)
    assert text_of(beginning) == "o1 e1"
    assert beginning.is_first
    only = LogLines(logs.sources[1:])
    assert text_of(await only.before(last.start, 2)) == "e5 e6"


async def test_around_a_place_in_one_output(logs: LogLines) -> None:
    """Of the other the lines of the same time."""
    only = await LogLines(logs.sources[1:]).last(4)
    place = {"stderr": only.lines[0].start}
    assert text_of(await logs.around(again(place), 6)) == "o5 e5 o6 e6 o7 e7"
    none = LogLines((*logs.sources, LineSource("supervisor", "/nonexistent", UNKNOWN)))
    assert text_of(await none.around(again(place), 6)) == "o5 e5 o6 e6 o7 e7"
    end = await logs.last(1)
    assert text_of(await logs.around({"stdout": end.end["stdout"]}, 2)) == "o9"


async def test_a_line_that_goes_on_later(logs: LogLines) -> None:
    log = logs.sources[0].path
    write(log, "one\nhal")
    page = await LogLines(logs.sources[:1]).last(10)
    assert text_of(page) == "one hal"
    assert [line.is_whole for line in page.lines] == [True, False]
    write(log, "one\nhalf\ntwo\n")
    page = await LogLines(logs.sources[:1]).after(again(page.end), 10)
    assert text_of(page) == "half two"
    assert page.is_last
    assert text_of(await LogLines(logs.sources[:1]).after(again(page.end), 10)) == ""


async def test_a_place_that_is_gone(logs: LogLines) -> None:
    page = await logs.last(1)
    write(logs.sources[1].path, "new\n")
    before = await logs.before(page.start, 2)
    assert before.is_gone
    assert text_of(before) == "o8 o9"
    after = await logs.after(page.end, 10)
    assert after.is_gone
    assert text_of(after) == "new"
    assert bytes_in(logs.sources, page.end) == 27


async def test_logs_without_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs = LogLines((LineSource("stdout", str(path), UNKNOWN),))
    page = await logs.last(10)
    assert page == LinePage((), {"stdout": None}, {"stdout": None}, is_first=True, is_last=True)
    assert last_place(logs.sources) == {"stdout": None}
    path.write_text("first\n")
    assert text_of(await logs.after(again(page.end), 10)) == "first"
    assert bytes_in(logs.sources) == 6
    assert bytes_in(logs.sources, page.end) == 0


async def test_a_page_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "PAGE_BYTES", 10)
    path = tmp_path / "log"
    path.write_text("12345\n" * 10)
    logs = LogLines((LineSource("stdout", str(path), UNKNOWN),))
    assert len((await logs.last(10)).lines) == 2
    assert len((await logs.after(first_place(logs.sources), 10)).lines) == 2


lines_of_log = st.lists(st.tuples(st.integers(0, 99), st.text("ab\u20ac", max_size=3)), max_size=40)


@pytest.mark.behaviour("http.md#lines-of-both-outputs")
@settings(max_examples=40, deadline=None)
@given(out=lines_of_log, err=lines_of_log, cut=st.integers(1, 9), count=st.integers(1, 20))
def test_each_line_once_in_either_direction(
    tmp_path_factory: pytest.TempPathFactory,
    out: list[tuple[int, str]],
    err: list[tuple[int, str]],
    cut: int,
    count: int,
) -> None:
    directory = tmp_path_factory.mktemp("log")
    sources = []
    for name, lines in (("stdout", out), ("stderr", err)):
        data = "".join(f"2026-11-30T00:00:{s % 60:02}.000Z {t}\n" for s, t in sorted(lines))
        encoded = data.encode()
        path = directory / name
        middle = len(encoded) * cut // 10
        Path(f"{path}.1").write_bytes(encoded[:middle])
        path.write_bytes(encoded[middle:])
        sources.append(LineSource(name, str(path), Stamps()))
    expected = {
        source.stream: b"".join(Path(f"{source.path}{n}").read_bytes() for n in (".1", ""))
        for source in sources
    }

    async def read() -> tuple[list[LinePage], list[LinePage]]:
        logs = LogLines(sources)
        back = [await logs.last(count)]
        while not back[-1].is_first:
            back.append(await logs.before(again(back[-1].start), count))
        on = [await logs.after(first_place(sources), count)]
        while not on[-1].is_last:
            on.append(await logs.after(again(on[-1].end), count))
        return back[::-1], on

    try:
        for pages in trio.run(read):
            shown = [line for page in pages for line in page.lines]
            for stream, text in expected.items():
                found = [line.data + b"\n" for line in shown if line.stream == stream]
                assert b"".join(found) == text
            assert all(len(page.lines) <= count for page in pages)
    finally:
        shutil.rmtree(directory)


def test_which_logs_a_process_has(tmp_path: Path) -> None:
    fake = FakeSupervisor("cat", "both")

    def found(name: str | None, *streams: str) -> tuple[LineSource, ...]:
        return line_sources(cast("Supervisor", fake), name, streams or CHANNELS)

    cat = fake.process("cat")
    assert found("cat") == ()
    cat.stdout.logfile = str(tmp_path / "out")
    cat.stdout.stretches = [(0, NOW, NOW + 1)]
    cat.stdout.tail.feed(b"hello\n")
    (source,) = found("cat")
    assert source == LineSource("stdout", cat.stdout.logfile, Marks((Stretch(0, NOW, NOW + 1),), 6))
    assert found("cat", "stderr") == ()
    for _ in range(2):
        fake.log_writes.opened(cat.stdout.logfile)
    assert found("cat")[0].times == UNKNOWN
    both = fake.process("both")
    both.stdout.logfile = both.stderr.logfile = str(tmp_path / "both")
    both.stdout.has_format = True
    (source,) = found("both")
    assert source.stream == "output"
    assert isinstance(source.times, Stamps)
    assert found(None) == ()
    fake.activity = FakeActivity(str(tmp_path / "own"))
    assert [one.stream for one in found(None)] == ["supervisor"]
