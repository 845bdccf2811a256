"""The response parser, fed whole and split at every byte."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from trio_supervisor.cli.client.http import (
    LONGEST_HEAD,
    LONGEST_LINE,
    ProtocolViolation,
    ResponseParser,
)


class Case(NamedTuple):
    data: bytes
    status: int
    body: bytes
    complete: bool
    reusable: bool


OK = b"HTTP/1.1 200 OK\r\n"
CASES = {
    "sized": Case(OK + b"Content-Length: 3\r\n\r\nabc", 200, b"abc", True, True),
    "sized, more follows": Case(OK + b"Content-Length: 1\r\n\r\nabc", 200, b"a", True, True),
    "empty": Case(OK + b"content-length: 0\r\n\r\n", 200, b"", True, True),
    "not yet whole": Case(OK + b"Content-Length: 5\r\n\r\nab", 200, b"ab", False, False),
    "bare line feeds": Case(b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", 200, b"x", True, True),
    "asked to close": Case(
        OK + b"Connection: Close\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True, False
    ),
    "1.0": Case(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True, False),
    "1.0 kept": Case(
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
        200,
        b"x",
        True,
        True,
    ),
    "no reason": Case(b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", 404, b"", True, True),
    "no content": Case(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True, True),
    "interim": Case(
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx", 200, b"x", True, True
    ),
    "until the end": Case(OK + b"\r\nabc", 200, b"abc", False, False),
    "chunked": Case(
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
        200,
        b"abc0123456789",
        True,
        True,
    ),
    "chunked, trailer": Case(
        OK + b"Transfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\nMD5: y\r\n\r\n",
        200,
        b"x",
        True,
        True,
    ),
    "chunked, endless": Case(
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n4\r\nab", 200, b"xab", False, False
    ),
    "head only half": Case(b"HTTP/1.1 200 OK\r\nContent-Le", 0, b"", False, False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_split_at_every_byte(case: Case) -> None:
    splits = [[case.data[:at], case.data[at:]] for at in range(len(case.data) + 1)]
    for pieces in [*splits, [bytes([byte]) for byte in case.data]]:
        response = ResponseParser()
        body = b"".join(map(response.feed, pieces))
        seen = Case(case.data, response.status, body, response.complete, response.reusable)
        assert seen == case


def test_end_of_file() -> None:
    def fed(data: bytes) -> ResponseParser:
        response = ResponseParser()
        response.feed(data)
        return response

    assert fed(CASES["until the end"].data).feed_eof()
    assert fed(CASES["sized"].data).feed_eof()
    assert not fed(CASES["not yet whole"].data).feed_eof()
    assert not fed(CASES["chunked, endless"].data).feed_eof()
    assert not fed(b"").feed_eof()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 2x0 OK\r\n",
        OK + b"Content-Length: many\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
        b"x" * (LONGEST_LINE + 1),
    ],
)
def test_not_http(data: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        ResponseParser().feed(data)


def test_negative_chunk_size_is_refused() -> None:
    with pytest.raises(ProtocolViolation):
        ResponseParser().feed(OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n")


def test_headers_are_found_in_lower_case() -> None:
    response = ResponseParser()
    response.feed(OK + b"X-Some: a:b \r\nCONTENT-LENGTH: 0\r\n\r\n")
    assert response.headers == {"x-some": "a:b", "content-length": "0"}


@pytest.mark.behaviour("client.md#limits-on-what-a-server-may-send")
@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(LONGEST_HEAD // 8)),
        b"HTTP/1.1 100 Continue\r\n\r\n" * (LONGEST_HEAD // 20),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        + b"X: 1\r\n" * (LONGEST_HEAD // 5),
    ],
    ids=["headers", "interim-answers", "trailers"],
)
def test_an_endless_head_is_refused(endless: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="the head of the answer is too long"):
        ResponseParser().feed(endless)
