"""JSON of the API: strict decoding, compact encoding."""

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
    """Encode as one line without its end. It may contain lone surrogates."""
    return _encoder.encode(value)


def encode(value: object) -> bytes:
    """Encode as one line of UTF-8. Lone surrogates are escaped, as JSON allows."""
    return f"{as_text(value)}\n".encode(errors="backslashreplace")


def decode(data: bytes) -> object:
    """Decode a JSON text.

    Raises ValueError for text that RFC 8259 does not allow, for repeated names in an object, and
    for nesting or numbers beyond the limits of the interpreter.
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
