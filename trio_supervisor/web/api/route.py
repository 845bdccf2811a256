"""The rows of the table of the API, and the router.

Dispatch, checks of input, the OpenAPI description and the reference page are made from the rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Final, cast

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import Failed, ShuttingDown
from trio_supervisor.core.process.states import DaemonState

if TYPE_CHECKING:
    from trio_supervisor.runtime.supervisor import Supervisor

#: A JSON Schema (2020-12), as OpenAPI 3.1 uses it.
Schema = Mapping[str, object]

REQUIRED: Final = object()
ROOT = "/api/v1"
READ = "GET"
CHANGE = "POST"


@dataclass(frozen=True, slots=True)
class Field:
    """A value that a client may send: text in the path or query, JSON in a body.

    ``type`` is that of JSON Schema: ``string``, ``integer`` or ``boolean``. A field without a
    default is required; the default None means that the field is optional.
    """

    name: str
    type: str
    doc: str
    default: object = REQUIRED
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    """Regular expression that the whole string must match."""

    @property
    def schema(self) -> dict[str, object]:
        known = {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "pattern": None if self.pattern is None else f"^({self.pattern})$",
            "enum": list(self.choices) or None,
            "default": None if self.default is REQUIRED else self.default,
        }
        present = {key: value for key, value in known.items() if value is not None}
        return {"type": self.type, **present}


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request with all fields of its route, checked and with defaults."""

    supervisor: Supervisor
    fields: Mapping[str, object]
    has_left: Callable[[], bool]
    """Whether the client has disconnected."""
    readonly: bool = False
    """Whether the user may look at everything and change nothing."""

    def require_running(self) -> None:
        """Check that changes are possible. Raises ShuttingDown."""
        if self.supervisor.state is not DaemonState.RUNNING:
            raise ShuttingDown

    def require_client(self) -> None:
        """Check that the client is still connected and changes are possible.

        A restart calls it between stop and start: after a disconnect, the processes may have been
        stopped on purpose. Raises Failed and ShuttingDown.
        """
        self.require_running()
        if self.has_left():
            text = "the client that asked for a restart is gone, nothing is started"
            self.supervisor.log(Severity.WARN, text)
            raise Failed(text)

    def text(self, name: str) -> str:
        return cast("str", self.fields[name])

    def number(self, name: str) -> int | None:
        return cast("int | None", self.fields[name])

    def flag(self, name: str) -> bool:
        return cast("bool", self.fields[name])


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API.

    ``run`` returns a value to be encoded as JSON, a Response or a StreamResponse.
    """

    method: str
    path: str
    """``/api/v1/processes/{name}``: segments in braces are fields of ``parameters``."""
    run: Callable[[ApiRequest], Awaitable[object]]
    summary: str
    answer: Schema
    type: str = "application/json"
    """Media type of the answer."""
    parameters: tuple[Field, ...] = ()
    query: tuple[Field, ...] = ()
    body: tuple[Field, ...] = ()
    failures: tuple[int, ...] = ()
    """Statuses of errors beyond those of every route with this method."""
    other_answers: Mapping[int, tuple[str, Schema]] = field(default_factory=dict)
    """Answers with a status other than 200 that are not errors: description and schema."""


@dataclass(frozen=True, slots=True)
class Match:
    """The routes at a path, by method, and the values of its segments in braces."""

    routes: Mapping[str, Route]
    values: Mapping[str, str]

    @property
    def allowed(self) -> tuple[str, ...]:
        """Methods for the Allow header; HEAD is GET without the body."""
        return tuple(m for method in self.routes for m in _WITH_HEAD.get(method, (method,)))


_WITH_HEAD = {READ: (READ, "HEAD")}


class Router:
    """Finds routes by path."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._plain: dict[str, dict[str, Route]] = {}
        self._templates: dict[int, dict[tuple[str, ...], dict[str, Route]]] = {}
        for route in routes:
            segments = tuple(route.path.split("/"))
            if route.parameters:
                templates = self._templates.setdefault(len(segments), {})
                templates.setdefault(segments, {})[route.method] = route
            else:
                self._plain.setdefault(route.path, {})[route.method] = route

    def match(self, path: str) -> Match | None:
        """Find the routes at a decoded path; None if there are none.

        Names of processes and groups contain no slash.
        """
        if path in self._plain:
            return Match(self._plain[path], {})
        segments = path.split("/")
        for template, routes in self._templates.get(len(segments), {}).items():
            if (values := _values(template, segments)) is not None:
                return Match(routes, values)
        return None


def _values(template: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    values = {}
    for expected, found in zip(template, segments, strict=True):
        if expected.startswith("{"):
            values[expected[1:-1]] = found
        elif expected != found:
            return None
    return values
