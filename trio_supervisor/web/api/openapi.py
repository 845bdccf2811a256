"""OpenAPI 3.1 description of a table of routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.web.api.error import status_name
from trio_supervisor.web.api.json import TYPE
from trio_supervisor.web.api.route import CHANGE, REQUIRED, ROOT, Field, Route
from trio_supervisor.web.api.schema import COMPONENTS, ref

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Version of the API, which changes with the API and not with the program.
VERSION = "1.0"
#: Statuses of error answers that any request may get.
FAILURES = (400, 401, 403, 429, 503)
#: Further ones for requests that change something.
FAILURES_OF_CHANGE = (411, 413, 415)
DESCRIPTIONS = {
    400: "The request is malformed",
    401: "User name and password are required",
    403: "Not allowed for this user, or caused by another site's page",
    404: "Not found",
    409: "The current state does not allow the request, or the attempt failed",
    411: "The header Content-Length is missing",
    413: "The body is too large",
    415: "The header Content-Type: application/json is missing",
    429: "Too many wrong passwords from this address",
    503: "The supervisor is shutting down, or lacks memory, descriptors or threads for the request",
}


def describe(routes: Iterable[Route]) -> dict[str, object]:
    """Return the OpenAPI document of these routes."""
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "trio-supervisor",
            "version": VERSION,
            "description": "Read, control and observe supervised processes.",
        },
        "paths": paths,
        "components": {
            "schemas": COMPONENTS,
            "responses": {
                status_name(status): _response(text, TYPE, ref("Failure"))
                for status, text in DESCRIPTIONS.items()
            },
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
        # Only a server with credentials asks for them.
        "security": [{}, {"basic": []}],
    }


def _operation(route: Route) -> dict[str, object]:
    failures = {*FAILURES, *route.failures}
    operation: dict[str, object] = {
        "summary": route.summary,
        "operationId": _id(route),
        "tags": [_words(route)[0]],
    }
    parameters = [
        *(_parameter(field, "path") for field in route.parameters),
        *(_parameter(field, "query") for field in route.query),
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.method == CHANGE:
        failures |= {*FAILURES_OF_CHANGE}
        operation["requestBody"] = _body(route.body)
    operation["responses"] = {
        "200": _response("Done", route.type, route.answer),
        **{str(status): _failure(status) for status in sorted(failures)},
        **{
            str(status): _response(text, TYPE, answer)
            for status, (text, answer) in route.other_answers.items()
        },
    }
    return operation


def _id(route: Route) -> str:
    """Return the operation id, as ``post_processes_name_start``: stable, for generated clients."""
    return "_".join([route.method.lower(), *_words(route)]).replace(".", "_")


def _words(route: Route) -> list[str]:
    """Return the segments of a path. Generated clients group by the first."""
    return route.path.removeprefix(ROOT).replace("{", "").replace("}", "").strip("/").split("/")


def _parameter(field: Field, place: str) -> dict[str, object]:
    return {
        "name": field.name,
        "in": place,
        "required": field.default is REQUIRED,
        "description": field.doc,
        "schema": field.schema,
    }


def _body(fields: tuple[Field, ...]) -> dict[str, object]:
    required = [field.name for field in fields if field.default is REQUIRED]
    schema: dict[str, object] = {
        "type": "object",
        "properties": {f.name: f.schema | {"description": f.doc} for f in fields},
        "additionalProperties": False,
    }
    if required:
        schema["required"] = required
    # Required even without fields: pages of other sites cannot send this Content-Type.
    return {"required": True, "content": {TYPE: {"schema": schema}}}


def _failure(status: int) -> dict[str, object]:
    return {"$ref": f"#/components/responses/{status_name(status)}"}


def _response(description: str, type: str, schema: object) -> dict[str, object]:
    content = {type.partition(";")[0]: {"schema": schema}}
    return {"description": description, "content": content}
