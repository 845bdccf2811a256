"""When a channel wrote what."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.runtime.output.time_index import (
    COARSENESS,
    MOST_ENTRIES,
    RESOLUTION,
    TimeIndex,
)


def test_nothing_was_written() -> None:
    assert TimeIndex().before(0.0) is None


def test_stretches() -> None:
    marks = TimeIndex()
    for now, before in ((10.0, 0), (10.9, 5), (11.0, 7), (20.0, 9)):
        marks.note(now, before)
    # 10.9 belongs to the stretch that began at 10.0.
    for time, expected in ((0, 0), (10.9, 0), (10.95, 7), (11.0, 7), (11.1, 9), (20.0, 9)):
        assert marks.before(time) == expected
    assert marks.before(20.1) is None
    marks.forget()
    assert marks.before(0) is None


@given(
    gaps=st.lists(st.floats(0.001, 1000), min_size=1, max_size=3 * MOST_ENTRIES),
    age=st.floats(0, 10_000),
)
def test_nothing_written_since_is_left_out(gaps: list[float], age: float) -> None:
    """Of every write as many bytes as its number, plus one."""
    marks, now, total = TimeIndex(), 0.0, 0
    writes = []
    for number, gap in enumerate(gaps):
        now += gap
        marks.note(now, total)
        writes.append((now, total))
        total += number + 1
    since = now - age
    expected = next((before for time, before in writes if time >= since), total)
    found = marks.before(since)
    assert found is not None
    assert found <= expected


def test_as_exact_as_promised_however_long_it_takes() -> None:
    marks = TimeIndex()
    days = 3 * 86_400
    for second in range(days):
        marks.note(float(second), second)
    for age in (*range(1, 1000), 3600, 7200, 86_400):
        found = marks.before(float(days - age))
        assert found is not None
        assert 0 <= days - age - found <= RESOLUTION + age / COARSENESS, age
    assert sys.getsizeof(marks._entries) < 2 * 3 * 8 * MOST_ENTRIES


def test_stretches_beyond_an_offset() -> None:
    index = TimeIndex()
    assert index.since(0) == []
    index.note(1.0, 0)
    index.note(3.0, 10)
    index.note(3.5, 15)
    index.note(9.0, 20)
    all = [(0, 1.0, 1.0), (10, 3.0, 3.5), (20, 9.0, 9.0)]
    assert index.since(-5) == all
    assert index.since(10) == all[1:]
    assert index.since(25) == all[2:]


def test_a_stretch_ends_where_the_other_output_has_written() -> None:
    out, err = TimeIndex(), TimeIndex()
    out.other, err.other = err, out
    out.note(1.0, 0)
    out.note(1.1, 10)
    err.note(1.2, 0)
    out.note(1.3, 20)
    out.note(1.4, 30)
    assert out.since(0) == [(0, 1.0, 1.1), (20, 1.3, 1.4)]
    assert err.since(0) == [(0, 1.2, 1.2)]
    err.note(1.5, 5)
    assert err.since(0) == [(0, 1.2, 1.2), (5, 1.5, 1.5)]
    for n in range(100 * MOST_ENTRIES):
        (out, err)[n % 2].note(2.0 + n / 1000, 100 + n)
    assert len(out.since(0)) <= MOST_ENTRIES
    ages = [28.0 + 1.7 - last for _, _, last in out.since(0)]
    widths = [last - first for _, first, last in out.since(0)]
    for width, age in zip(widths, ages, strict=True):
        assert width <= max(RESOLUTION, age)
