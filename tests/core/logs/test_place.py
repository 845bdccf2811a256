"""Places in logs, as text and among files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.core.logs.place import (
    HEAD,
    FileId,
    LogPlace,
    cursor_text,
    find,
    parse_cursor,
)

numbers = st.integers(0, 2**63 - 1)
places = st.builds(
    LogPlace.at, st.builds(FileId, numbers, numbers), st.integers(0, 10**18 - 1), st.binary()
)


@given(st.dictionaries(st.sampled_from(["stdout", "stderr"]), places | st.none(), min_size=1))
def test_a_cursor_is_read_as_it_was_written(cursor: dict[str, LogPlace | None]) -> None:
    assert parse_cursor(cursor_text(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        *("", "stdout", "stdout.", "stdout.1-2", "stdout.1-2-3-4-x", ".start", "stdout.start_"),
        *("stdout.start_a.start_b.start", "stdout.-1-2-3-4-5", "STDOUT.start", "a.start\n"),
        "stdout." + "9" * 99 + "-1-1-1-1",
    ],
)
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="is no place in a log"):
        parse_cursor(text)


LONG = b"x" * HEAD
OTHER = b"y" * HEAD


@pytest.mark.parametrize(
    ("files", "beginnings", "found"),
    [
        pytest.param([FileId(1, 9), FileId(2, 9)], [OTHER, LONG], 1, id="by its inode"),
        pytest.param([FileId(2, 9)], [LONG + b"more"], 0, id="it has grown"),
        pytest.param([FileId(2, 9)], [OTHER], None, id="replaced, with the same inode"),
        pytest.param([FileId(2, 9)], [b""], None, id="emptied"),
        pytest.param([FileId(3, 9), FileId(4, 9)], [LONG, OTHER], 0, id="copied"),
        pytest.param([FileId(3, 9), FileId(4, 9)], [LONG, LONG], None, id="two copies"),
        pytest.param([], [], None, id="no files"),
        # The number of the inode was used again, and both files begin alike.
        pytest.param([FileId(2, 9), FileId(2, 20)], [LONG, LONG], 0, id="of two, the older"),
        pytest.param([FileId(2, 4), FileId(2, 20)], [LONG, LONG], 1, id="which ended before"),
        pytest.param([FileId(2, 1), FileId(2, 2)], [LONG, LONG], 1, id="times were set back"),
    ],
)
def test_the_file_of_a_place(
    files: list[FileId], beginnings: list[bytes], found: int | None
) -> None:
    place = LogPlace.at(FileId(2, 5), 7, LONG)
    assert find(place, files, lambda number: beginnings[number][:HEAD]) == found


def test_a_short_beginning_tells_no_copy() -> None:
    place = LogPlace.at(FileId(2, 5), 3, b"abc")
    assert find(place, [FileId(2, 5)], lambda number: b"abcdef") == 0
    assert find(place, [FileId(3, 5)], lambda number: b"abcdef") is None
