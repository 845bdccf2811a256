"""Logs searched by a process of its own."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
import trio

from benchmarks.probe import children as child_pids
from trio_supervisor.core.errors import Failed
from trio_supervisor.core.logs.times import Marks, Stamps, Stretch
from trio_supervisor.runtime.logs import search as module
from trio_supervisor.runtime.logs import search_process
from trio_supervisor.runtime.logs.search import FoundLine, Wanted, search
from trio_supervisor.runtime.output.log_lines import LineSource

UNKNOWN = Marks((), 0)
pytestmark = pytest.mark.behaviour("http.md#search-in-logs")


@pytest.fixture
def source(tmp_path: Path) -> LineSource:
    """A log of three files with 300 lines."""
    lines = [b"line %03d %s\n" % (n, b"even" if n % 2 == 0 else b"odd") for n in range(300)]
    path = tmp_path / "log"
    path.write_bytes(b"".join(lines[200:]))
    (tmp_path / "log.1").write_bytes(b"".join(lines[100:200]))
    with gzip.open(tmp_path / "log.2.gz", "wb") as file:
        file.write(b"".join(lines[:100]))
    return LineSource("stdout", str(path), UNKNOWN)


def children() -> list[str]:
    """Pids of this process's children."""
    return sorted(map(str, child_pids(os.getpid())))


def texts(matches: tuple[FoundLine, ...]) -> list[str]:
    return [match.line.data.decode(errors="replace") for match in matches]


@pytest.mark.parametrize("is_regex", [False, True])
async def test_rotated_and_compressed_files(source: LineSource, *, is_regex: bool) -> None:
    found = await search([source], Wanted("50 even", is_regex=is_regex))
    assert texts(found.matches) == ["line 250 even", "line 150 even", "line 050 even"]
    newest = found.matches[0]
    assert [line.data for line in newest.before] == [b"line 248 even", b"line 249 odd"]
    assert [line.data for line in newest.after] == [b"line 251 odd", b"line 252 even"]
    assert found.before is None
    assert found.searched == found.total == 100 * len("line 000 even\n") * 3 - 150


async def test_a_search_goes_on_where_it_has_ended(source: LineSource) -> None:
    found, before = [], None
    shares = []
    while True:
        result = await search([source], Wanted("ODD", count=40), before)
        found += texts(result.matches)
        shares.append(result.searched / result.total)
        before = result.before
        if before is None:
            break
        with open(source.path, "ab") as file:  # noqa: ASYNC230  # a small local file
            file.write(b"odd, but new\n")
    assert found == [f"line {n:03} odd" for n in range(299, 0, -2)]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 1


async def test_both_outputs_in_the_order_of_their_times(tmp_path: Path) -> None:
    for name, seconds in (("stdout", (1, 3)), ("stderr", (2, 4))):
        (tmp_path / name).write_text("".join(f"2026-11-30T00:00:0{n}.000Z x\n" for n in seconds))
    sources = [LineSource(name, str(tmp_path / name), Stamps()) for name in ("stdout", "stderr")]
    result = await search(sources, Wanted("x"))
    assert [match.line.stream for match in result.matches] == ["stderr", "stdout"] * 2
    assert all(match.line.stamp == 25 for match in result.matches)


async def test_times_by_marks(source: LineSource) -> None:
    marks = Marks((Stretch(0, 10.0, 20.0),), written=14)
    marked = LineSource("stdout", source.path, marks)
    newest = (await search([marked], Wanted("line 299"))).matches[0].line
    assert newest.when is not None
    assert (newest.when.earliest, newest.when.latest) == (10.0, 20.0)


async def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\xff\x00\x1b[31mX\xc3\n" + b"y" * 10_000 + b"X" + b"y" * 10_000)
    result = await search([LineSource("stdout", str(path), UNKNOWN)], Wanted("x"))
    long, short = (match.line for match in result.matches)
    assert short.data == b"\xff\x00\x1b[31mX\xc3"
    assert b"X" in long.data
    assert len(long.data) == search_process.SHOWN
    assert not long.is_whole


async def test_no_log(tmp_path: Path) -> None:
    result = await search([LineSource("stdout", str(tmp_path / "none"), UNKNOWN)], Wanted("x"))
    assert (result.matches, result.before, result.total) == ((), None, 0)
    with pytest.raises(Failed) as caught:
        await search([LineSource("stdout", str(tmp_path), UNKNOWN)], Wanted("x"))
    reason = f"cannot read {tmp_path}: it is not a regular file"
    assert caught.value.detail == f"the search has failed: {reason}"


async def test_an_expression_that_takes_too_long_ends_with_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time grows with the fifth power of the length of the line."""
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    path = tmp_path / "log"
    path.write_bytes(b"a" * 8000 + b"\n")
    source = LineSource("stdout", str(path), UNKNOWN)
    before, ticks = children(), 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await trio.sleep(0.01)
            ticks += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        with pytest.raises(Failed, match="takes too long"):
            await search([source], Wanted("a*a*a*a*a*b", is_regex=True))
        nursery.cancel_scope.cancel()
    assert ticks > 10
    assert children() == before


async def test_without_an_interpreter(source: LineSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent")
    with pytest.raises(Failed, match="cannot start a search: No such file"):
        await search([source], Wanted("x"))
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(Failed, match="ended with 1"):
        await search([source], Wanted("x"))
