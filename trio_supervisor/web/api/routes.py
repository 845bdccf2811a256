"""The JSON API (docs/api.md): the table of all routes, and the handling of a request.

GET reads and POST changes; there are no other methods. ``app.py`` checks access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.core.errors import BadName, RequestError
from trio_supervisor.runtime.rpc.calls import MAIN_NAMESPACE
from trio_supervisor.web.api import daemon as api_daemon
from trio_supervisor.web.api import events as api_events
from trio_supervisor.web.api import groups as api_groups
from trio_supervisor.web.api import journal as api_journal
from trio_supervisor.web.api import lines as api_lines
from trio_supervisor.web.api import logs as api_logs
from trio_supervisor.web.api import metrics as api_metrics
from trio_supervisor.web.api import processes as api_processes
from trio_supervisor.web.api.error import Problem, problem_of
from trio_supervisor.web.api.input import read_fields
from trio_supervisor.web.api.json import json_response
from trio_supervisor.web.api.openapi import describe
from trio_supervisor.web.api.route import CHANGE, READ, ROOT, ApiRequest, Route, Router
from trio_supervisor.web.message import Response, StreamResponse
from trio_supervisor.web.worker import work

if TYPE_CHECKING:
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.message import Request


async def _described(request: ApiRequest) -> object:
    return DESCRIPTION


DESCRIBED = Route(
    READ, f"{ROOT}/openapi.json", _described, "This API, as OpenAPI 3.1", {"type": "object"}
)
HEALTH = api_daemon.HEALTH_ROUTES
ROUTES = (
    *api_processes.ROUTES,
    *api_logs.ROUTES,
    *api_lines.ROUTES,
    *api_groups.ROUTES,
    *api_daemon.ROUTES,
    *api_events.ROUTES,
    *api_journal.ROUTES,
    *api_metrics.ROUTES,
    DESCRIBED,
)
DESCRIPTION = describe((*HEALTH, *ROUTES))
NOT_OFFERED = f"the configuration has no section [rpcinterface:{MAIN_NAMESPACE}]"


class Api:
    """The JSON API of one supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        # As the namespaces of XML-RPC, for the same reason: see MAIN_NAMESPACE.
        self._offered = any(i.name == MAIN_NAMESPACE for i in supervisor.config.rpcinterfaces)
        self._router = Router((*HEALTH, *ROUTES) if self._offered else HEALTH)

    def allowed(self, path: str) -> tuple[str, ...] | None:
        """Return the methods allowed at a path; empty if there is no route.

        None means that the path does not belong to the API.
        """
        match = self._router.match(path)
        if match is not None:
            return match.allowed
        return () if f"{path}/".startswith("/api/") else None

    async def respond(self, request: Request) -> Response | StreamResponse:
        """Answer an admitted request. Errors are answered as JSON."""
        try:
            return await self._carry_out(request)
        except Problem as problem:
            return problem.response
        except RequestError as error:
            return problem_of(error, self._hint(error)).response

    async def _carry_out(self, request: Request) -> Response | StreamResponse:
        match = self._router.match(request.path or "")
        if match is None:
            hint = f"GET {DESCRIBED.path} lists all" if self._offered else NOT_OFFERED
            raise Problem(404, "there is nothing at this address", hint=hint)
        route = match.routes[READ if request.method == "HEAD" else request.method]
        given = await work(len(request.body), read_fields, route, request, match.values)
        call = ApiRequest(self._supervisor, given, request.has_left, request.readonly)
        if route.method == CHANGE:
            call.require_running()
        answer = await route.run(call)
        return answer if isinstance(answer, (Response, StreamResponse)) else json_response(answer)

    def _hint(self, error: RequestError) -> str:
        """Suggest a similar name for an unknown one; empty for other faults."""
        if not isinstance(error, BadName):
            return ""
        names = {p.full_name for p in self._supervisor.processes()} | {*self._supervisor.groups}
        meant = suggestion(error.detail, sorted(names))
        return "" if meant is None else f"did you mean {meant}?"
