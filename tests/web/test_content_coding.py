"""Answers as gzip: who gets it, whole answers, and streams that are decoded as they come."""

from __future__ import annotations

import gzip
import zlib

import pytest

from tests.kit.fake_supervisor import FakeSupervisor
from tests.kit.web import talking
from trio_supervisor.web.content_coding import SHARED, GzipSource, accepts_gzip, encode
from trio_supervisor.web.message import Request, Response, StreamResponse

GZIP = "Accept-Encoding: gzip"


class Pieces:
    """A source that gives these."""

    def __init__(self, *pieces: bytes) -> None:
        self.left = [*pieces]
        self.closed = False

    async def read(self) -> bytes:
        return self.left.pop(0) if self.left else b""

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip; q=0.001", True),
        ("", False),
        ("*", False),
        ("identity", False),
        ("gzipped", False),
        (";;,,q=", False),
    ],
)
def test_who_takes_gzip(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


async def test_pieces_of_a_stream_are_decoded_as_they_come() -> None:
    pieces = [b"first\n", b"", b"x" * (3 * SHARED), b"first\n"]
    source = Pieces(*[piece for piece in pieces if piece])
    coded = GzipSource(source)
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    everything = b""
    for piece in (b"first\n", b"x" * (3 * SHARED), b"first\n"):
        data = await coded.read()
        assert decoder.decompress(data) == piece
        everything += data
    everything += await coded.read()
    assert gzip.decompress(everything) == b"first\n" + b"x" * (3 * SHARED) + b"first\n"
    assert len(everything) < 300
    assert await coded.read() == b""
    coded.close()
    assert source.closed


async def test_an_empty_stream() -> None:
    coded = GzipSource(Pieces())
    assert gzip.decompress(await coded.read()) == b""
    assert await coded.read() == b""


async def test_small_answers_and_other_clients_get_them_as_they_are() -> None:
    small, large = Response(200, b"x"), Response(200, b"x" * 2000)
    plain, able = Request("GET", "/"), Request("GET", "/", headers={"accept-encoding": "gzip"})
    for request, answer in ((plain, small), (plain, large), (able, small)):
        coded = await encode(request, answer)
        assert isinstance(coded, Response)
        assert coded.body == answer.body
        assert coded.headers == (("Vary", "Accept-Encoding"),)
    coded = await encode(able, large)
    assert isinstance(coded, Response)
    assert gzip.decompress(coded.body) == large.body
    assert ("Content-Encoding", "gzip") in coded.headers
    stream = StreamResponse(Pieces())
    coded = await encode(plain, stream)
    assert isinstance(coded, StreamResponse)
    assert coded.source is stream.source


async def test_pages_and_their_files_are_compressed_and_calls_are_not() -> None:
    fake = FakeSupervisor(*(f"p{number:02}" for number in range(50)))
    async with talking(fake) as client:
        for address in ("/", "/stylesheets/supervisor.css", "/scripts/supervisor.js"):
            plain, coded = await client.get(address), await client.get(address, GZIP)
            assert "content-encoding" not in plain.headers
            assert coded.headers["content-encoding"] == "gzip"
            assert plain.headers["vary"] == coded.headers["vary"] == "Accept-Encoding"
            assert 2 * len(coded.body) < len(plain.body)
            assert len(gzip.decompress(coded.body)) == len(plain.body)
        call = b"<methodCall><methodName>system.listMethods</methodName></methodCall>"
        reply = await client.post("/RPC2", call, GZIP)
        assert "content-encoding" not in reply.headers
        reply = await client.get("/api/v1/processes", GZIP)
        assert "content-encoding" not in reply.headers


async def test_no_two_pages_have_the_same_token() -> None:
    """Else the length of a compressed page that shows an attacker's text would tell it."""
    async with talking(FakeSupervisor("cat")) as client:
        tokens = set()
        for _ in range(2):
            page = (await client.get("/")).body.decode()
            found = {part.split('"')[0] for part in page.split('name="csrf" value="')[1:]}
            assert len(found) == 1
            tokens |= found
        assert len(tokens) == 2
        for token in tokens:
            body = f"action=refresh&csrf={token}".encode()
            reply = await client.post("/", body, "Origin: http://localhost")
            assert reply.status == 303
            reply = await client.post("/", body + b"0", "Origin: http://localhost")
            assert reply.status == 403
