"""The event listener protocol. Every case holds however bytes are split.

A conversation is a list: bytes are what the listener says, SENT is an event given to it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trio_supervisor.core.events import ProcessLogStdout, RemoteCommunication
from trio_supervisor.core.listener import (
    LONGEST_RESULT,
    LONGEST_RESULT_LINE,
    EventResult,
    Listener,
    Ready,
    Violation,
    envelope,
)
from trio_supervisor.core.process.states import ListenerState

SENT = None
READY = Ready()
ACKNOWLEDGED = ListenerState.ACKNOWLEDGED
UNKNOWN = ListenerState.UNKNOWN

Conversation = list[bytes | None]


def splits(data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield [data[i : i + 1] for i in range(len(data))]


def variants(conversation: Conversation) -> Iterator[Conversation]:
    """The conversation with each thing the listener says split in every way."""
    yield conversation
    for i, said in enumerate(conversation):
        if said is not None:
            for chunks in splits(said):
                yield [*conversation[:i], *chunks, *conversation[i + 1 :]]


def hold(conversation: Conversation) -> tuple[list[Ready | EventResult | Violation], ListenerState]:
    listener = Listener()
    items: list[Ready | EventResult | Violation] = []
    for said in conversation:
        if said is None:
            assert listener.state is ListenerState.READY
            listener.sent()
        else:
            items += listener.feed(said)
    return items, listener.state


@pytest.mark.behaviour(
    "events.md#header-of-an-event",
    "events.md#results",
    "events.md#rejected-events",
    "events.md#ok-accepts-everything-else-rejects",
    "events.md#violations-of-the-protocol",
    "events.md#ready",
)
@pytest.mark.parametrize(
    ("conversation", "items", "state"),
    [
        ([b"READ", b"Y\n"], [READY], ListenerState.READY),
        (
            [b"READY\n", SENT, b"RESULT 2\nOKREADY\n"],
            [READY, EventResult(b"OK"), READY],
            ListenerState.READY,
        ),
        ([b"READY\n", SENT, b"RESULT 4\nFAIL"], [READY, EventResult(b"FAIL")], ACKNOWLEDGED),
        ([b"READY\n", SENT, b"RESULT 2\nok"], [READY, EventResult(b"ok")], ACKNOWLEDGED),
        ([b"READY\n", SENT, b"RESULT 0\n"], [READY, EventResult(b"")], ACKNOWLEDGED),
        (
            [b"READY\n", SENT, b"RESULT", b" 2", b"\nO", b"K"],
            [READY, EventResult(b"OK")],
            ACKNOWLEDGED,
        ),
        (
            [b"READY\n", SENT, b"RESULT 2\nOK\n", b"READY\n"],
            [READY, EventResult(b"OK"), Violation()],
            UNKNOWN,
        ),
        ([b"READY\n", SENT, b"junk\n"], [READY, Violation("bad result line: 'junk'")], UNKNOWN),
        ([b"READY\n", b"zzz"], [READY, Violation()], UNKNOWN),
        ([b"READY\nREADY\n"], [READY, Violation()], UNKNOWN),
        ([b"READY\r\n"], [Violation()], UNKNOWN),
        ([b"hello"], [], ACKNOWLEDGED),
        ([b"hello", b"!"], [Violation()], UNKNOWN),
        ([b"READY\n", SENT, b"RESULT  2 \nOK"], [READY, EventResult(b"OK")], ACKNOWLEDGED),
        ([b"READY\n", SENT, b"RESULT +2\nOK"], [READY, EventResult(b"OK")], ACKNOWLEDGED),
        ([b"READY\n", SENT, b"RESULT 2\r\nOK"], [READY, EventResult(b"OK")], ACKNOWLEDGED),
        (
            [b"READY\n", SENT, b"XXXXXXX2\n"],
            [READY, Violation("bad result line: 'XXXXXXX2'")],
            UNKNOWN,
        ),
        (
            [b"READY\n", SENT, b"RESULT -1\n"],
            [READY, Violation("bad result line: 'RESULT -1'")],
            UNKNOWN,
        ),
        pytest.param(
            [b"READY\n", SENT, b"RESULT - 1\n"],
            [READY, Violation("bad result line: 'RESULT - 1'")],
            UNKNOWN,
            id="1.5-no-number",
        ),
        pytest.param(
            [b"READY\n", SENT, b"RESULT 2 2\n"],
            [READY, Violation("bad result line: 'RESULT 2 2'")],
            UNKNOWN,
            id="1.5-two-numbers",
        ),
        pytest.param(
            [b"READY\n", SENT, "RESULT \u0662\n".encode()],
            [READY, Violation("bad result line: 'RESULT \u0662'")],
            UNKNOWN,
            id="1.5-digits-of-another-script",
        ),
        pytest.param(
            [b"READY\n", SENT, b"RESULT" + b" " * LONGEST_RESULT_LINE + b"2\nOK"],
            [READY, Violation("bad result line: 'RESULT" + " " * (LONGEST_RESULT_LINE - 6) + "'")],
            UNKNOWN,
            id="1.5-long-line",
        ),
        pytest.param(
            [b"READY\n", SENT, b"RESULT " + b"0" * 20 + b"2\nOK"],
            [READY, EventResult(b"OK")],
            ACKNOWLEDGED,
            id="1.5-zeros",
        ),
        pytest.param(
            [b"READY\n", SENT, b"RESULT 0\nREADY\n"],
            [READY, EventResult(b""), READY],
            ListenerState.READY,
            id="result",
        ),
        pytest.param(
            [b"READY\n", SENT, b"RESULT\n"],
            [READY, Violation("bad result line: 'RESULT'")],
            UNKNOWN,
            id="no-number",
        ),
        pytest.param(
            [b"READY\n", SENT, b"bad\xff\n"],
            [READY, Violation("bad result line: 'Undecodable: b'bad\\xff''")],
            UNKNOWN,
            id="undecodable",
        ),
        pytest.param(
            [b"READY\n", SENT, b"RESULT 6\n\xff\n\0READ", b"Y\nREADY\n"],
            [READY, EventResult(b"\xff\n\0REA"), Violation()],
            UNKNOWN,
            id="length-counts-bytes",
        ),
        pytest.param([b"zzzzzz", b"READY\n"], [Violation()], UNKNOWN, id="UNKNOWN-is-final"),
    ],
)
def test_conversation(
    conversation: Conversation, items: list[Ready | EventResult | Violation], state: ListenerState
) -> None:
    for variant in variants(conversation):
        assert hold(variant) == (items, state)


@pytest.mark.parametrize(
    ("conversation", "wrote"),
    [
        ([b"READY\n", SENT, b"RESULT 2\nOK\n", b"READY\n"], "\nREADY\n"),
        ([b"READY\n", b"two\nlines"], "two\nlines"),
        ([b"x" * 1000], "x" * LONGEST_RESULT_LINE),
        ([b"\xff" * 6], "Undecodable: b'" + r"\xff" * 6 + "'"),
    ],
)
def test_a_violation_shows_what_was_written(conversation: Conversation, wrote: str) -> None:
    """Of a stray newline, the most common mistake, nothing else can be seen."""
    violation = hold(conversation)[0][-1]
    assert isinstance(violation, Violation)
    assert (violation.reason, violation.wrote) == ("", wrote)


def test_the_longest_result_is_taken_in_small_pieces() -> None:
    listener = Listener()
    listener.feed(b"READY\n")
    listener.sent()
    items = listener.feed(b"RESULT %d\n" % LONGEST_RESULT)
    for _ in range(LONGEST_RESULT // 64):
        assert items == []
        items = listener.feed(b"x" * 64)
    assert items == [EventResult(b"x" * LONGEST_RESULT)]


@pytest.mark.parametrize("length", [LONGEST_RESULT + 1, 10**20, 10**100])
def test_a_longer_result_is_a_bad_result_line(length: int) -> None:
    """A listener cannot make us buffer without bound."""
    line = b"RESULT %d" % length
    items, state = hold([b"READY\n", SENT, line + b"\n"])
    assert items[1] == Violation(f"bad result line: '{line.decode()}'")
    assert state is UNKNOWN


def test_a_result_line_without_end_is_not_buffered_without_end() -> None:
    items, state = hold([b"READY\n", SENT, b"RESULT ", *[b"x" * 50] * 3])
    assert state is UNKNOWN
    violation = items[1]
    assert isinstance(violation, Violation)
    assert len(violation.reason) <= len("bad result line: ''") + LONGEST_RESULT_LINE


def test_a_listener_whose_result_caused_an_error_is_ignored() -> None:
    listener = Listener()
    listener.feed(b"READY\n")
    listener.fail()
    assert listener.state is UNKNOWN
    assert listener.feed(b"READY\n") == []


def send(payload: str, *, server: str = "supervisor", pool: str = "pa", **kw: bool) -> bytes:
    return envelope(
        server=server, serial=10, pool=pool, poolserial=0, event="X", payload=payload, **kw
    )


@pytest.mark.behaviour("events.md#header-of-an-event")
def test_header_and_payload() -> None:
    event = RemoteCommunication("t", "e0")
    assert (
        envelope(
            server="supervisor",
            serial=10,
            pool="pa",
            poolserial=0,
            event=event.name,
            payload=event.payload(),
        )
        == b"ver:3.0 server:supervisor serial:10 pool:pa poolserial:0 "
        b"eventname:REMOTE_COMMUNICATION len:9\ntype:t\ne0"
    )


@pytest.mark.behaviour("process.md#events-of-output", "events.md#len-counts-characters")
def test_len_counts_characters() -> None:
    payload = ProcessLogStdout("p" * 10, "g" * 10, 12345, "hé€\n".encode()).payload()
    header, _, body = send(payload).partition(b"\n")
    assert header.endswith(b" len:%d" % len(payload))
    assert len(body) == len(payload) + 3


def test_len_counts_bytes_on_request() -> None:
    header, _, body = send("hé€\n", count_bytes=True).partition(b"\n")
    assert header.endswith(b" len:%d" % len(body))


@pytest.mark.behaviour("process.md#events-of-output")
def test_undecodable_output_becomes_a_bytes_literal() -> None:
    payload = ProcessLogStdout("cat", "cat", 1, b"bad\xff\n").payload()
    assert send(payload).endswith(b"\nUndecodable: b'bad\\xff\\n'")


def test_a_payload_that_is_not_unicode_is_sent_with_replacement() -> None:
    assert send("a\udcffb").endswith(b" len:3\na?b")


@pytest.mark.behaviour("events.md#header-of-an-event")
@pytest.mark.parametrize("name", ["site a", "site:a", "site\ta", "site\na"])
def test_server_and_pool_cannot_break_the_header(name: str) -> None:
    header = send("", server=name, pool=name).decode()
    tokens = dict(token.split(":") for token in header.split())
    assert tokens["server"] == tokens["pool"] == "site_a"
