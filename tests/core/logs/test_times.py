"""When lines were written."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.core.logs.times import Marks, Stamps, Stretch, When

MARKS = Marks((Stretch(100, 10.0, 20.0), Stretch(200, 30.0, 30.0)), written=250)


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        pytest.param(250, None, id="before the first mark"),
        pytest.param(151, None, id="just before"),
        pytest.param(150, When(10.0, 20.0, 10.0), id="its first byte"),
        pytest.param(100, When(10.0, 20.0, 15.0), id="in its middle"),
        pytest.param(50, When(30.0, 30.0, 30.0), id="the last stretch"),
        pytest.param(0, When(30.0, 30.0, 30.0), id="the end"),
        pytest.param(-10, When(30.0, 30.0, 30.0), id="the log has grown meanwhile"),
    ],
)
def test_by_marks(distance: int, expected: When | None) -> None:
    assert MARKS.of(b"2026-11-30T01:02:03.456Z not looked at", distance) == expected


def test_without_marks() -> None:
    assert Marks((), 0).of(b"x", 1) is None
    assert Marks((), 0).since == float("inf")
    assert MARKS.since == 10.0
    assert MARKS.of(b"x", 120).width == 10.0  # type: ignore[union-attr]  # it is known


@given(st.data())
def test_the_order_in_a_log_is_that_of_its_bytes(data: st.DataObject) -> None:
    times = sorted(data.draw(st.lists(st.floats(0, 1e9), min_size=2, max_size=20)))
    begins = sorted(data.draw(st.sets(st.integers(0, 1000), min_size=1, max_size=len(times) // 2)))
    stretches = tuple(
        Stretch(begin, times[2 * n], times[2 * n + 1]) for n, begin in enumerate(begins)
    )
    marks = Marks(stretches, 1100)
    found = [marks.of(b"", 1100 - offset) for offset in range(begins[0], 1101)]
    order = [when.order for when in found if when is not None]
    assert len(order) == len(found)
    assert order == sorted(order)


UTC_NOON = 1796040000.123
LOCAL = datetime(2026, 11, 30, 12, 0, 0, 123000).timestamp()


@pytest.mark.parametrize(
    ("line", "time", "stamp"),
    [
        (b"2026-11-30T12:00:00.123Z web stdout hello", UTC_NOON, 25),
        (b'{"time":"2026-11-30T12:00:00.123Z","program":"web"}', UTC_NOON, 0),
        (b"2026-11-30 12:00:00,123 INFO spawned: 'web'", LOCAL, 24),
        (b"Traceback (most recent call last):", None, 0),
        (b"2026-99-30 12:00:00,123 INFO no such day", None, 24),
        (b"", None, 0),
        (b'{"time":12}', None, 0),
    ],
)
def test_by_the_line(line: bytes, time: float | None, stamp: int) -> None:
    stamps = Stamps()
    when = stamps.of(line, 0)
    assert (when and when.order) == (None if time is None else pytest.approx(time))
    assert stamps.length_of_stamp(line) == stamp
    assert stamps.since == float("inf")


def test_names_that_follow_the_time() -> None:
    stamps = Stamps(b"web stdout ")
    assert stamps.length_of_stamp(b"2026-11-30T12:00:00.123Z web stdout hello") == 36
    assert stamps.length_of_stamp(b"2026-11-30T12:00:00.123Z other stdout hello") == 25
