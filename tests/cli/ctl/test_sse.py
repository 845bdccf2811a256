"""Server-sent events as the client reads them (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import pytest

from trio_supervisor.cli.client.http import ProtocolViolation
from trio_supervisor.cli.ctl import sse as client_sse
from trio_supervisor.cli.ctl.sse import EventStreamParser
from trio_supervisor.web import sse

STREAM = (
    ": keep-alive\n\n"
    "id: 1\nevent: TICK_5\ndata: {}\n\n"
    "data:first\r\ndata:  second\r\n\r\n"
    "retry: 10\nid: 2\nevent: empty\n\n"
    "data\rdata: é\r\r"
    "id: a\0b\nunknown: x\ndata: last\n\n"
    "data: unfinished\n"
).encode()
MESSAGES = [
    ("TICK_5", "{}", "1"),
    ("message", "first\n second", "1"),
    ("message", "\né", "2"),
    ("message", "last", "2"),
]


def read(pieces: list[bytes]) -> list[tuple[str, str, str]]:
    reader = EventStreamParser()
    messages = [message for piece in pieces for message in reader.feed(piece)]
    return [(message.event, message.data, message.id) for message in messages]


def test_whole() -> None:
    assert read([STREAM]) == MESSAGES


def test_split_anywhere() -> None:
    for split in range(len(STREAM)):
        assert read([STREAM[:split], b"", STREAM[split:]]) == MESSAGES
    assert read([STREAM[place : place + 1] for place in range(len(STREAM))]) == MESSAGES


def test_what_is_not_utf8_is_replaced() -> None:
    assert read([b"data: \xff\n\n"]) == [("message", "\ufffd", "")]


@pytest.mark.parametrize("data", ["", "x", "two\nlines", "\r\n", " blank", "trailing\n"])
def test_what_the_daemon_writes(data: str) -> None:
    """Line ends of all kinds arrive as newlines."""
    (found,) = read([sse.KEEP_ALIVE + sse.message(data, event="name", id="7")])
    assert found == ("name", data.replace("\r\n", "\n"), "7")


@pytest.mark.behaviour("client.md#limits-on-what-a-server-may-send")
@pytest.mark.parametrize("piece", [b"data: " + b"x" * 30, b"data: " + b"x" * 30 + b"\n"])
def test_an_endless_message_is_refused(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_sse, "LONGEST_MESSAGE", 100)
    assert len(read([b"data: " + b"x" * 60 + b"\n\n"] * 10)) == 10
    with pytest.raises(ProtocolViolation, match="an event of more than 100 bytes"):
        read([piece] * 5)
