"""Requests out of bytes, whole and in pieces."""

from __future__ import annotations

import pytest

from trio_supervisor.web.message import Refusal, Request
from trio_supervisor.web.parser import HEAD_LIMIT, LONGEST_REMEMBERED, Mark, Parser

#: What comes out of a parser for one request: its head and its whole body.
Parsed = tuple[Request, bytes]


def parse(*pieces: bytes) -> list[Parsed]:
    """All requests in these pieces; the client closes after them."""
    parser = Parser()
    requests: list[Parsed] = []
    head: Request | None = None
    body = b""
    for piece in (*pieces, b""):
        parser.feed(piece)
        while (event := parser.next_event()) not in (Mark.NEED_DATA, Mark.CLOSED):
            if isinstance(event, Request):
                head, body = event, b""
            elif isinstance(event, bytes):
                body += event
            else:
                assert head is not None
                requests.append((head, body))
    return requests


def parse_one(data: bytes) -> Request:
    ((head, _),) = parse(data)
    return head


STREAM = (
    b"\r\nPOST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length:5\r\n\r\nhello"
    b"GET /logtail/caf\xc3\xa9 HTTP/1.1\r\nX-Odd: \xff\r\n\r\n\r\n"
    b"POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    b"GET /ok.html HTTP/1.0\n\n"
)
EXPECTED = [
    (
        Request("POST", "/RPC2", "1.1", {"host": "x", "content-length": "5"}),
        b"hello",
    ),
    (Request("GET", "/logtail/caf%C3%A9", "1.1", {"host": "", "x-odd": "\xff"}), b""),
    (Request("POST", "/RPC2", "1.1", {"host": "", "transfer-encoding": "chunked"}), b"abcde"),
    (Request("GET", "/ok.html", "1.0", {"host": ""}), b""),
]


@pytest.mark.behaviour(
    "http.md#keep-alive",
    "http.md#requests-that-are-understood",
    "http.md#bodies",
    "http.md#addresses-of-log-streams",
)
def test_pipelined_requests() -> None:
    assert parse(STREAM) == EXPECTED


@pytest.mark.parametrize("at", range(1, len(STREAM)))
def test_split_at_every_byte(at: int) -> None:
    assert parse(STREAM[:at], STREAM[at:]) == EXPECTED


@pytest.mark.behaviour("http.md#requests-that-are-understood")
@pytest.mark.parametrize("size", [1, 7])
def test_small_pieces(size: int) -> None:
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert parse(*pieces) == EXPECTED


@pytest.mark.behaviour("http.md#malformed-requests", "http.md#bodies")
@pytest.mark.parametrize(
    "data",
    [
        b"GET /ok.html\r\n\r\n",
        b"garbage\r\n\r\n",
        pytest.param(b"GET  / HTTP/1.1\r\n\r\n", id="blanks"),
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", id="negative-length"),
        pytest.param(
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", id="two-lengths"
        ),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", id="two-hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n", id="NUL"),
        pytest.param(b"GET / HTTP/1.1\r\n", id="ends-in-head"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc", id="ends-in-body"),
        pytest.param(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", id="bad-chunk"
        ),
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        parse(data)
    assert refused.value.status == 400


@pytest.mark.parametrize("first", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_two_ways_to_find_the_end_are_refused(first: str) -> None:
    """RFC 9112 6.1: request smuggling."""
    second = {"C": "Transfer-Encoding: chunked", "T": "Content-Length: 5"}[first[0]]
    head = f"POST / HTTP/1.1\r\n{first}\r\n{second}\r\n\r\n0\r\n\r\n"
    with pytest.raises(Refusal) as refused:
        parse(head.encode())
    assert refused.value.status == 400


def test_a_repeated_head_is_read_like_the_first() -> None:
    one = b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
    two = one.replace(b"Host: x", b"Host: y" + b"y" * LONGEST_REMEMBERED)
    parsed = parse(one + b"ab" + one + b"cd" + two + b"ef" + one + b"gh")
    assert [(head.headers["host"][:1], body) for head, body in parsed] == [
        ("x", b"ab"),
        ("x", b"cd"),
        ("y", b"ef"),
        ("x", b"gh"),
    ]


@pytest.mark.behaviour("http.md#bodies")
def test_a_head_has_a_limit() -> None:
    """Also for a complete head, and however it is cut."""
    head = b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_LIMIT + b"\r\n\r\n"
    for pieces in ([head], [head[:-1]], [head[: HEAD_LIMIT + 1]], [b"a" * 2_000_000]):
        with pytest.raises(Refusal) as refused:
            parse(*pieces)
        assert refused.value.status == 431


def test_a_head_below_the_limit_is_served() -> None:
    value = "a" * (HEAD_LIMIT - 100)
    assert parse_one(f"GET / HTTP/1.1\r\nX: {value}\r\n\r\n".encode()).headers["x"] == value


@pytest.mark.behaviour("http.md#requests-that-are-understood")
def test_folded_headers_and_odd_case() -> None:
    head = parse_one(b"GET / HTTP/1.1\r\nhOSt: a\r\nX-Y: one\r\n two\r\n\r\n")
    assert head.headers == {"host": "a", "x-y": "one two"}


def test_later_versions_are_read_as_1_1() -> None:
    assert parse_one(b"GET / HTTP/2.0\r\n\r\n").version == "1.1"


@pytest.mark.behaviour("http.md#bodies")
def test_the_client_may_wait_for_a_continue() -> None:
    parser = Parser()
    parser.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert isinstance(parser.next_event(), Request)
    assert parser.wants_continue
    parser.feed(b"ab")
    assert parser.next_event() == b"ab"
    assert not parser.wants_continue


def test_idle_means_between_requests() -> None:
    parser = Parser()
    assert parser.idle
    parser.feed(b"\r\n")
    assert parser.next_event() is Mark.NEED_DATA
    assert parser.idle  # the stray line of supervisorctl's reader is nothing
    parser.feed(b"G")
    assert parser.next_event() is Mark.NEED_DATA
    assert not parser.idle
