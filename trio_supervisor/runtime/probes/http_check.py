"""A GET request for a check: the status line and what is read after it. No redirects, no cookies.

A complete HTTP client is not needed, and the daemon's runtime does without one: only the status
counts, and the body is read so that the server is not disturbed by a connection that is cut.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import TYPE_CHECKING

import trio

from trio_supervisor._version import __version__
from trio_supervisor.core.config.probes import TcpProbe
from trio_supervisor.core.numbers import natural
from trio_supervisor.runtime.probes.connect import connect_tcp
from trio_supervisor.runtime.system.threads import in_thread

if TYPE_CHECKING:
    from trio.abc import Stream

    from trio_supervisor.core.config.probes import HttpProbe
    from trio_supervisor.runtime.probes.connect import Resolver

#: Bytes that are read of a response.
LONGEST_RESPONSE = 64 * 1024
_STATUSES_OF_SUCCESS = range(200, 400)
_INTERIM_STATUSES = range(100, 200)
#: Statuses after which there is no body.
_WITHOUT_BODY = (204, 304)
_END_OF_HEAD = b"\r\n\r\n"


class NotHttp(Exception):
    """The response is not HTTP; ``str()`` says what it is."""


async def try_http(probe: HttpProbe, resolver: Resolver) -> str:
    """Make the request; return an empty text for success, else what the server has answered.

    Raises OSError, ssl.SSLError or NotHttp.
    """
    address = TcpProbe(probe.port, probe.host)
    stream: Stream = trio.SocketStream(await connect_tcp(address, resolver))
    if probe.scheme == "https":
        try:
            context = await in_thread(_context)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        stream = trio.SSLStream(stream, context, server_hostname=probe.host, https_compatible=True)
    try:
        await stream.send_all(_request(probe))
        status = await _status(stream)
    except trio.BrokenResourceError as error:
        raise (
            error.__cause__
            if isinstance(error.__cause__, OSError)
            else NotHttp("the connection was closed")
        ) from error
    finally:
        await trio.aclose_forcefully(stream)
    return "" if status in _STATUSES_OF_SUCCESS else f"status {status}"


@lru_cache(maxsize=1)
def _context() -> ssl.SSLContext:
    """Read the certificates of the system, which takes a moment."""
    return ssl.create_default_context()


def _request(probe: HttpProbe) -> bytes:
    return (
        f"GET {probe.target} HTTP/1.1\r\nHost: {probe.authority}\r\nAccept: */*\r\n"
        f"User-Agent: trio-supervisor/{__version__}\r\nConnection: close\r\n\r\n"
    ).encode()


async def _status(stream: Stream) -> int:
    """Read a response to its end, or LONGEST_RESPONSE bytes of it; return its status."""
    data = bytearray()
    while True:
        status = _complete(data)
        if status is not None:
            return status
        more = await stream.receive_some(LONGEST_RESPONSE)
        data += more
        if not more or len(data) >= LONGEST_RESPONSE:
            head = _final_head(data)
            if head is None:
                raise NotHttp("the response is not HTTP" if data else "the connection was closed")
            return head[0]


def _complete(data: bytearray) -> int | None:
    """Return the status of a response that is complete; None means that more may come."""
    head = _final_head(data)
    if head is None:
        return None
    status, fields, body = head
    if status in _WITHOUT_BODY:
        return status
    if "chunked" in fields.get(b"transfer-encoding", b"").decode("latin-1").lower():
        return status if body.endswith(b"0\r\n\r\n") else None
    length = natural(fields.get(b"content-length", b"").decode("latin-1"))
    return status if length is not None and len(body) >= length else None


def _final_head(data: bytearray) -> tuple[int, dict[bytes, bytes], bytes] | None:
    """Return status, header fields and the beginning of the body; None if the head is not complete.

    Interim responses (1xx) are skipped. Raises NotHttp.
    """
    rest = bytes(data)
    while True:
        if rest and not rest.startswith(b"HTTP/"[: len(rest)]):
            raise NotHttp("the response is not HTTP")
        head, end, rest = rest.partition(_END_OF_HEAD)
        if not end:
            return None
        first, *lines = head.split(b"\r\n")
        words = first.split(None, 2)
        status = natural(words[1].decode("latin-1")) if len(words) > 1 else None
        if status is None:
            raise NotHttp("the response is not HTTP")
        if status not in _INTERIM_STATUSES:
            pairs = (line.partition(b":") for line in lines)
            return status, {name.strip().lower(): value.strip() for name, _, value in pairs}, rest
