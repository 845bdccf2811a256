"""How those who try passwords are slowed down."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from trio_supervisor.web.access.throttle import (
    FORGIVEN_AFTER,
    LONGEST_DELAY,
    MOST_HELD,
    MOST_PEERS,
    QUEUE_RATE,
    Throttle,
)

ONE, OTHER = "192.0.2.1", "192.0.2.2"


@pytest.mark.behaviour("http.md#wrong-passwords-are-delayed")
def test_delays_double_up_to_two_seconds_for_each_peer_alone() -> None:
    throttle = Throttle()
    delays = [throttle.fail(ONE, now) for now in range(8)]
    assert delays == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert throttle.fail(OTHER, 8) == 0.05


def test_failures_are_forgiven() -> None:
    throttle = Throttle()
    throttle.fail(ONE, 0)
    assert throttle.fail(ONE, FORGIVEN_AFTER) == 0.1
    assert throttle.fail(ONE, 2 * FORGIVEN_AFTER + 1) == 0.05


def test_one_peer_cannot_have_many_under_way() -> None:
    throttle = Throttle()
    with ExitStack() as stack:
        for _ in range(MOST_HELD):
            assert not throttle.is_exhausted(ONE)
            stack.enter_context(throttle.holding(ONE))
        assert throttle.is_exhausted(ONE)
        assert not throttle.is_exhausted(OTHER)
    assert not throttle.is_exhausted(ONE)


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff"),
        ("2001:db8::1", "2001:0DB8:0:0:ab::"),
        ("::ffff:192.0.2.1", ONE),
        ("fe80::1%eth0", "fe80::2%eth0"),
        ("not an address", "not an address"),
        ("127.0.0.1", "127.255.3.4"),
        ("127.0.0.1", "::1"),
        ("::ffff:127.0.0.2", "127.0.0.1"),
    ],
)
def test_addresses_of_one_owner(address: str, same: str) -> None:
    throttle = Throttle()
    throttle.fail(address, 0)
    assert throttle.fail(same, 0) == 0.1
    assert throttle.fail("2001:db8:0:1::", 0) == 0.05


def test_queued_requests_wait_alike_and_longer_the_more_there_are() -> None:
    throttle = Throttle()
    with ExitStack() as stack:
        waits = [stack.enter_context(throttle.queueing(ONE)) for _ in range(1024)]
        assert stack.enter_context(throttle.queueing(OTHER)) == LONGEST_DELAY
    assert set(waits[: int(LONGEST_DELAY * QUEUE_RATE)]) == {LONGEST_DELAY}
    assert waits[-1] == 1024 / QUEUE_RATE
    with throttle.queueing(ONE) as wait:
        assert wait == LONGEST_DELAY


def test_memory_is_bounded_and_the_latest_are_remembered() -> None:
    throttle = Throttle()
    for number in range(3 * MOST_PEERS):
        throttle.fail(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0)
        throttle.fail(ONE, 0)
    assert throttle.fail(ONE, 0) == 2.0
    assert throttle.fail("10.0.0.0", 0) == 0.05
