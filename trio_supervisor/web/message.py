"""HTTP messages as values: what a request says, what a response looks like on the wire.

Pure: no sockets, no clock. Responses are written here and not by h11, because it can neither
repeat a request's HTTP/1.0 nor keep such a connection open (interfaces.md 3.3, W2 and W3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from html import escape
from http import HTTPStatus
from time import gmtime
from typing import Protocol
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

SERVER_NAME = "trio-supervisor"
HTML = "text/html;charset=utf-8"
PLAIN = "text/plain;charset=utf-8"
#: On every response, for whatever a browser may make of it (section 5).
SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'"),
    ("Referrer-Policy", "same-origin"),
)
#: What is shown is of the moment; nobody may keep it.
NO_STORE = (("Cache-Control", "no-store"),)
#: Form fields of one request; our pages send less than ten.
MAX_FIELDS = 100
#: Kinds of responses whose heads are kept ready; there are about twenty.
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
    """``headers`` have lower-case names; ``version`` is ``1.0`` or ``1.1``."""

    method: str
    target: str
    version: str = "1.1"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    """Filled in when it has arrived."""
    peer: str = ""
    """The client's IP address; empty for one on this machine's own socket."""
    is_proven: bool = False
    """An earlier request on the same connection was let in with this very Authorization header."""
    has_left: Callable[[], bool] = lambda: False
    """Whether its sender is gone and nobody will read the answer."""
    readonly: bool = False
    """Its sender may look at everything and change nothing."""

    @cached_property
    def path(self) -> str | None:
        """The decoded path; None if there is none. An absolute target's host is ignored."""
        try:
            target = self.target if self.target.startswith("/") else urlsplit(self.target).path
            return unquote_to_bytes(target.partition("#")[0].partition("?")[0]).decode()
        except ValueError:  # not a URL, or not UTF-8
            return None

    @property
    def query(self) -> str:
        """The part of the target after the question mark, as it was sent."""
        return self.target.partition("#")[0].partition("?")[2]

    @cached_property
    def query_fields(self) -> dict[str, str]:
        """Form fields of the query, the first of repeated ones. Raises TooManyFields."""
        return _form_fields(self.query)

    @cached_property
    def fields(self) -> dict[str, str]:
        """Form fields of the body, then those of the query; to be read when the body is complete.

        Raises TooManyFields.
        """
        posted = self.body.decode(errors="replace") if self.method == "POST" else ""
        return self.query_fields | _form_fields(posted)

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to use the connection again (3.3)."""
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
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise TooManyFields(f"a form may have {MAX_FIELDS} fields") from error
    return dict(reversed(pairs))


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer; ``type`` is its Content-Type."""

    status: int
    body: bytes
    type: str = HTML
    headers: tuple[tuple[str, str], ...] = ()


class ByteSource(Protocol):
    """Where the bytes of a stream come from."""

    async def read(self) -> bytes:
        """The next bytes, when there are some; empty at the end."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """An answer without a foreseeable end."""

    source: ByteSource
    type: str = PLAIN
    headers: tuple[tuple[str, str], ...] = ()
    descriptors: int = 0
    """How many file descriptors it keeps open."""


def error_response(
    status: int, detail: str = "", *, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """A small page that says what is wrong."""
    title = f"{status} {phrase(status)}"
    page = (
        f"<!DOCTYPE html>\n<html lang=en><title>{title}</title>\n<h1>{title}</h1>\n"
        f"<p>{escape(detail)}</p>\n</html>\n"
    )
    return Response(status, page.encode(errors="replace"), headers=(*headers, *NO_STORE))


def phrase(status: int) -> str:
    """Never empty: supervisorctl's reader needs one (W168)."""
    return HTTPStatus(status).phrase


def response_head(
    version: str,
    status: int,
    headers: tuple[tuple[str, str], ...],
    now: float,
    length: int | None = None,
) -> bytes:
    """Status line and headers, those of SECURITY included unless a response has its own.

    ``now`` is wall-clock seconds; ``length`` that of the body, None if it is not known.
    """
    size = "" if length is None else f"Content-Length: {length}\r\n"
    head = _constant_part(version, status, headers)
    return f"{head}Date: {_date_of_second(int(now))}\r\n{size}\r\n".encode("latin-1")


@lru_cache(maxsize=CACHED_HEADS)
def _constant_part(version: str, status: int, headers: tuple[tuple[str, str], ...]) -> str:
    """What the heads of equal responses have in common."""
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
    """``Mon, 23 Nov 2026 07:26:52 GMT``, whatever the locale."""
    return _date_of_second(int(seconds))


@lru_cache(maxsize=2)
def _date_of_second(seconds: int) -> str:
    t = gmtime(seconds)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year} "
        f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
    )
