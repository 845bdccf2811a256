"""JSON as the API reads and writes it: strict in, compact out."""

from __future__ import annotations

import json
from typing import NoReturn

from trio_supervisor.web.message import NO_STORE, SECURITY, Response

TYPE = "application/json"

_encoder = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False
)


def json_response(
    value: object, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    return Response(status, encode(value), TYPE, (*headers, *NO_STORE, *SECURITY))


def as_text(value: object) -> str:
    """One line without its end. May hold lone surrogates."""
    return _encoder.encode(value)


def encode(value: object) -> bytes:
    """One line. What UTF-8 has no bytes for (lone surrogates) is escaped, as JSON allows."""
    return f"{as_text(value)}\n".encode(errors="backslashreplace")


def decode(data: bytes) -> object:
    """Raises ValueError for what RFC 8259 does not allow, for repeated names in an object, and for
    nesting or numbers beyond what the interpreter takes.
    """
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is repeated in an object")
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")
