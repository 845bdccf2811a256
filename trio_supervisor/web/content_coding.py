"""Content coding (RFC 9110, section 8.4): gzip for responses and streams.

Each piece of a stream is compressed by itself. So a stream holds no state between pieces, which
would be a quarter of a MiB for each idle client, and equal pieces are compressed once for all
clients.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from trio_supervisor.web.message import Response, StreamResponse
from trio_supervisor.web.worker import work

if TYPE_CHECKING:
    from trio_supervisor.web.message import ByteSource, Request

#: Bytes of an answer below which compression saves nothing.
LEAST = 1024
#: A fast level is enough, because pages consist of repetitions.
LEVEL = 3
#: Bytes of the largest piece of a stream whose compressed form is cached for other clients.
SHARED = 8 * 1024
#: Deflate in the format of gzip, with the largest window.
_WHOLE = 31
#: Raw deflate with a window of 8 KiB: pieces are small.
_WINDOW = -13
_MEMORY = 6
#: Magic, deflate, no flags, no time, unknown system (RFC 1952).
_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
#: The last block, which is empty.
_END = b"\x03\x00"
_VARY = ("Vary", "Accept-Encoding")
_GZIP = ("Content-Encoding", "gzip")


async def encode(request: Request, answer: Response | StreamResponse) -> Response | StreamResponse:
    """Compress an answer if the client accepts gzip and the answer is large enough."""
    if not accepts_gzip(request.headers.get("accept-encoding", "")):
        return replace(answer, headers=(*answer.headers, _VARY))
    headers = (*answer.headers, _VARY, _GZIP)
    if isinstance(answer, StreamResponse):
        return replace(answer, source=GzipSource(answer.source), headers=headers)
    if len(answer.body) < LEAST:
        return replace(answer, headers=(*answer.headers, _VARY))
    body = await work(len(answer.body), _compress, answer.body)
    return replace(answer, body=body, headers=headers)


def accepts_gzip(header: str) -> bool:
    """Whether a value of Accept-Encoding names gzip, with a weight above 0.

    ``*`` is not enough: every browser names gzip.
    """
    for element in header.lower().split(","):
        coding, _, weight = element.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            value = weight.replace(" ", "").removeprefix("q=")
            return value.strip("0.") != "" or not value
    return False


class GzipSource:
    """The data of a source as one gzip file that can be decoded piece by piece."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._size = 0
        self._checksum = 0
        self._begun = False
        self._ended = False

    async def read(self) -> bytes:
        if self._ended:
            return b""
        head, self._begun = b"" if self._begun else _HEAD, True
        data = await self._source.read()
        if not data:
            self._ended = True
            return head + _END + struct.pack("<II", self._checksum, self._size & 0xFFFFFFFF)
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)
        if len(data) <= SHARED:
            return head + _shared_piece(data)
        return head + await work(len(data), _piece, data)

    def close(self) -> None:
        self._source.close()


def _compress(body: bytes) -> bytes:
    return zlib.compress(body, LEVEL, _WHOLE)


def _piece(data: bytes) -> bytes:
    """Compress to deflate blocks that do not refer to earlier ones and end at a byte boundary."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY)
    return compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)


_shared_piece = lru_cache(maxsize=32)(_piece)
