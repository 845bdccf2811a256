"""Reads the fields of a route from a request. Everything else is refused with the reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.web.api.error import CURL_HINT, Problem, malformed
from trio_supervisor.web.api.json import TYPE, decode
from trio_supervisor.web.api.route import CHANGE, REQUIRED, Field
from trio_supervisor.web.message import MAX_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_supervisor.web.api.route import Route
    from trio_supervisor.web.message import Request

#: Most bytes of a body. Longer text for a stdin must be sent in pieces.
BODY_LIMIT = 256 * 1024
#: Most characters of a client's value in an error.
SHOWN = 60
#: More digits than any limit of a field has.
MAX_DIGITS = 18

_BOOLEANS = {"true": True, "false": False}
_TYPES: dict[str, type] = {"string": str, "integer": int, "boolean": bool}
_NAMES = {"string": "a string", "integer": "an integer", "boolean": "true or false"}


def read_fields(route: Route, request: Request, values: Mapping[str, str]) -> dict[str, object]:
    """Read all fields of a route. Raises Problem."""
    given: dict[str, object] = {
        field.name: _path_value(field, values[field.name]) for field in route.parameters
    }
    given |= _read(route.query, _query(route.query, request), "parameter")
    if route.method == CHANGE:
        given |= _read(route.body, _body(route.body, request), "field")
    return given


def _path_value(field: Field, value: str) -> str:
    if field.choices and value not in field.choices:
        raise Problem(
            404,
            f"there is no {field.name} {value!r:.{SHOWN}}",
            hint=f"there are {', '.join(field.choices)}",
        )
    return value


def _query(fields: tuple[Field, ...], request: Request) -> dict[str, object]:
    try:
        pairs = parse_qsl(
            request.query, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError as error:  # not UTF-8, or too many fields
        raise malformed(f"the query cannot be read: {error}") from error
    types = {field.name: field.type for field in fields}
    found: dict[str, object] = {}
    for name, text in pairs:
        if name in found:
            raise malformed(f"the parameter {name!r:.{SHOWN}} is given twice")
        found[name] = _of_text(text, types.get(name, "string"))
    return found


def _of_text(text: str, type: str) -> object:
    """Convert a text to a type; returns the text, to be refused later, if that is impossible."""
    if type == "boolean":
        return _BOOLEANS.get(text, text)
    if type == "integer" and len(text) <= MAX_DIGITS:
        digits = text.removeprefix("-")
        return int(text) if digits.isascii() and digits.isdecimal() else text
    return text


def _body(fields: tuple[Field, ...], request: Request) -> dict[str, object]:
    """Read the JSON object of a request that changes something. Raises Problem.

    The Content-Type is required even with an empty body: a page of another site cannot send it
    without a preflight request, which is refused (Fetch standard, CORS-safelisted headers).
    """
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != TYPE:
        raise Problem(
            415,
            f"what changes something needs the header Content-Type: {TYPE}",
            hint=CURL_HINT,
        )
    if not request.body:
        return {}
    try:
        found = decode(request.body)
    except ValueError as error:
        raise malformed(f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        allowed = ", ".join(field.name for field in fields)
        raise malformed("the body is not a JSON object", f"fields: {allowed or 'none'}")
    return found


def _read(fields: tuple[Field, ...], found: Mapping[str, object], what: str) -> dict[str, object]:
    known = [field.name for field in fields]
    for name in found:
        if name not in known:
            raise malformed(f"there is no {what} {name!r:.{SHOWN}}", _allowed(name, known))
    given = {}
    for field in fields:
        if field.name in found:
            given[field.name] = _checked(field, found[field.name], what)
        elif field.default is REQUIRED:
            raise malformed(f"the {what} {field.name} is missing", field.doc)
        else:
            given[field.name] = field.default
    return given


def _allowed(name: str, known: Iterable[str]) -> str:
    if (meant := suggestion(name, known)) is not None:
        return f"did you mean {meant}?"
    return f"there are {', '.join(known) or 'none'} here"


def _checked(field: Field, value: object, what: str) -> object:
    # A bool is an int to Python, not to JSON; 1.0 is an integer to JSON Schema.
    if field.type == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not _TYPES[field.type]:
        raise malformed(f"the {what} {field.name} must be {_NAMES[field.type]}", field.doc)
    if field.choices and value not in field.choices:
        raise malformed(
            f"the {what} {field.name} must be one of {', '.join(field.choices)}", field.doc
        )
    if field.pattern is not None and not re.fullmatch(field.pattern, str(value)):
        raise malformed(f"the {what} {field.name} cannot be {value!r:.{SHOWN}}", field.doc)
    if isinstance(value, int) and not (
        (field.minimum is None or value >= field.minimum)
        and (field.maximum is None or value <= field.maximum)
    ):
        raise malformed(
            f"the {what} {field.name} must be from {field.minimum} to {field.maximum}", field.doc
        )
    return value
