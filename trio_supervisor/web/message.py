"""HTTP messages: requests as values, and the encoding of responses. No sockets, no clock.

Responses are encoded here and not by h11, because h11 cannot answer in HTTP/1.0 and keep such a
connection open, as ``supervisorctl`` needs it.
"""

from __future__ import annotations

import http
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property, lru_cache
from time import gmtime
from typing import Protocol
from urllib import parse

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.escape import escaped

SERVER_NAME = "trio-supervisor"
#: Of ``http.HTTPStatus``, without loading it: statuses of answers to most clients.
OK = 200
NOT_MODIFIED = 304
HTML = "text/html;charset=utf-8"
PLAIN = "text/plain;charset=utf-8"
#: Headers of every response, in case a browser shows it.
SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'"),
    ("Referrer-Policy", "same-origin"),
)
#: For answers that are true only for the moment.
NO_STORE = (("Cache-Control", "no-store"),)
#: Most form fields of one request; our pages send less than ten.
MAX_FIELDS = 100
#: Heads that are cached; there are about twenty different ones.
CACHED_HEADS = 64

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Refusal(Exception):
    """A request that is not carried out: the status, text and headers of the answer to it.

    The connection is closed after the answer, because the rest of the request was not read.
    """

    def __init__(self, status: int, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


class TooManyFields(ValueError):
    """A query or form with more than MAX_FIELDS fields."""


@dataclass
class Request:
    """A request; ``headers`` have lower-case names, ``version`` is ``1.0`` or ``1.1``."""

    method: str
    target: str
    version: str = "1.1"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    """Set when it was received."""
    peer: str = ""
    """IP address of the client; empty on a unix socket."""
    is_proven: bool = False
    """An earlier request on this connection was authorized with the same Authorization header."""
    has_left: Callable[[], bool] = lambda: False
    """Whether the client has disconnected, so that no answer can reach it."""
    user: str = ""
    """Name of the authorized user; empty if the server has no users."""
    readonly: bool = False
    """The user may read everything and change nothing."""

    @cached_property
    def path(self) -> str | None:
        """The decoded path; None if it is invalid. The host of an absolute target is ignored."""
        try:
            target = (
                self.target if self.target.startswith("/") else parse.urlsplit(self.target).path
            )
            path = target.partition("#")[0].partition("?")[0]
            return parse.unquote_to_bytes(path).decode() if "%" in path else path
        except ValueError:  # not a URL, or not UTF-8
            return None

    @property
    def query(self) -> str:
        """The part of the target after the question mark, not decoded."""
        return self.target.partition("#")[0].partition("?")[2]

    @cached_property
    def query_fields(self) -> dict[str, str]:
        """Form fields of the query; the first of repeated ones counts. Raises TooManyFields."""
        return _form_fields(self.query)

    @cached_property
    def fields(self) -> dict[str, str]:
        """Form fields of the query, overridden by those of the body, which must be complete.

        Raises TooManyFields.
        """
        posted = self.body.decode(errors="replace") if self.method == "POST" else ""
        return self.query_fields | _form_fields(posted)

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to keep the connection open."""
        header = self.headers.get("connection")
        if header is None:
            return self.version != "1.0"
        options = {word.strip().lower() for word in header.split(",")}
        return "keep-alive" in options if self.version == "1.0" else "close" not in options

    @property
    def has_length(self) -> bool:
        return "content-length" in self.headers or "transfer-encoding" in self.headers


def _form_fields(text: str) -> dict[str, str]:
    try:
        pairs = parse.parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise TooManyFields(f"a form may have {MAX_FIELDS} fields") from error
    return dict(reversed(pairs))


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response; ``type`` is its Content-Type."""

    status: int
    body: bytes
    type: str = HTML
    headers: tuple[tuple[str, str], ...] = ()


class ByteSource(Protocol):
    """The source of the bytes of a stream."""

    async def read(self) -> bytes:
        """Wait for the next bytes; empty at the end."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """A response of unknown length, sent as its data comes."""

    source: ByteSource
    type: str = PLAIN
    headers: tuple[tuple[str, str], ...] = ()
    descriptors: int = 0
    """File descriptors that it keeps open."""


def error_response(
    status: int, detail: str = "", *, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """Return a small page with a status and an explanation."""
    from html import escape  # it comes with a table of all entities of HTML

    title = f"{status} {phrase(status)}"
    page = (
        f"<!DOCTYPE html>\n<html lang=en><title>{title}</title>\n<h1>{title}</h1>\n"
        f"<p>{escape(escaped(detail))}</p>\n</html>\n"
    )
    return Response(status, page.encode(errors="replace"), headers=(*headers, *NO_STORE))


def phrase(status: int) -> str:
    """Return the reason phrase of a status. supervisorctl fails on an empty one."""
    return "OK" if status == OK else http.HTTPStatus(status).phrase


def response_head(
    version: str,
    status: int,
    headers: tuple[tuple[str, str], ...],
    now: float,
    length: int | None = None,
) -> bytes:
    """Encode status line and headers. Headers of SECURITY that are missing are added.

    ``now`` is wall-clock seconds; ``length`` is that of the body, None if it is not known.
    """
    size = "" if length is None else f"Content-Length: {length}\r\n"
    head = _constant_part(version, status, headers)
    return f"{head}Date: {_date_of_second(int(now))}\r\n{size}\r\n".encode("latin-1")


@lru_cache(maxsize=CACHED_HEADS)
def _constant_part(version: str, status: int, headers: tuple[tuple[str, str], ...]) -> str:
    """Return the part of the head that is the same in all equal responses."""
    own = {name.lower() for name, _ in headers}
    protection = ((name, value) for name, value in SECURITY if name.lower() not in own)
    lines = [
        f"HTTP/{version} {status} {phrase(status)}",
        f"Server: {SERVER_NAME}",
        *(f"{name}: {value}" for name, value in (*headers, *protection)),
        "",
    ]
    return "\r\n".join(lines)


def http_date(seconds: float) -> str:
    """Format as ``Mon, 23 Nov 2026 07:26:52 GMT``, in any locale."""
    return _date_of_second(int(seconds))


@lru_cache(maxsize=2)
def _date_of_second(seconds: int) -> str:
    t = gmtime(seconds)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year} "
        f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
    )
