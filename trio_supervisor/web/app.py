"""The endpoints of a server: access control, and dispatch by path.

The modules of the pages and of the JSON API are imported at the first request for them. Most
daemons never get one, and would keep a megabyte of code and tables for nothing.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from trio_supervisor.core.config.model import InetServer, Severity
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.guards import EXHAUSTED
from trio_supervisor.runtime.rpc.calls import Rpc
from trio_supervisor.runtime.rpc.plugins import make_plugins
from trio_supervisor.web.access.admission import Admission
from trio_supervisor.web.access.auth import Role
from trio_supervisor.web.access.client_log import quoted
from trio_supervisor.web.content_coding import encode
from trio_supervisor.web.logtail import tail_main, tail_process
from trio_supervisor.web.memory import LIMIT, Memory
from trio_supervisor.web.message import (
    Refusal,
    Request,
    Response,
    StreamResponse,
    TooManyFields,
    error_response,
)
from trio_supervisor.web.pages.assets import ADDRESSES, asset
from trio_supervisor.web.tls import Certificate
from trio_supervisor.web.xmlrpc import answer_call

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import Server
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.api.routes import Api

READ_METHODS = ("GET", "HEAD")
PAGE_METHODS = (*READ_METHODS, "POST")
LOGTAIL = "/logtail"
MAINLOGTAIL = "/mainlogtail"
RPC2 = "/RPC2"
#: The paths of the JSON API, or their beginning. Other paths do not load its modules.
API = ("/api/", "/healthz/", "/readyz/", "/metrics/")
#: Most bytes of a posted form, which is parsed on the event loop. Our pages send some hundred.
FORM_LIMIT = 64 * 1024


class Refuse(Protocol):
    """Makes the answer to a refused request."""

    def __call__(
        self, status: int, detail: str = "", *, headers: tuple[tuple[str, str], ...] = ()
    ) -> Response: ...


def never(request: Request) -> bool:
    """No request changes anything."""
    return False


def by_post(request: Request) -> bool:
    """A POST may change something."""
    return request.method == "POST"


def by_action(request: Request) -> bool:
    """A POST, or a GET with an action, as scripts for Supervisor send it, may change something."""
    return request.method == "POST" or "action" in request.query_fields


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A row of the table of URLs.

    ``methods`` are those allowed; ``otherwise`` is the status of the answer to another one. If
    ``methods`` is empty, ``answer`` checks the method itself.
    """

    methods: tuple[str, ...]
    answer: Callable[[Request], Awaitable[Response | StreamResponse]]
    otherwise: int = 405
    changes: Callable[[Request], bool] = never
    """Whether a request may change something. Such a request is refused if a page of another site
    caused it, or if the user is read-only."""
    wants_token: bool = False
    """A browser that changes something must send a token, which only our own pages have."""
    is_call: bool = False
    """The rights of read-only users are checked for each method that is called."""
    refuse: Refuse = error_response
    """Makes error answers in the format of this endpoint."""
    is_compressed: bool = False
    """Answers are compressed for clients that accept gzip. A secret must not be the same in two
    answers: next to text of an attacker, the length would reveal it (BREACH)."""
    body_limit: int = FORM_LIMIT
    """Most bytes of the body of a request, unless the server has a smaller limit."""


class App:
    """The endpoints of one server. The constructor raises PluginError and ServerError."""

    def __init__(self, server: Server, supervisor: Supervisor) -> None:
        self._body_maxbytes = server.access.body_maxbytes
        self.memory = Memory(max(LIMIT, self._body_maxbytes))
        tls = server.tls if isinstance(server, InetServer) else None
        self.certificate = None if tls is None else Certificate(tls)
        self._admission = Admission(server, supervisor.log)
        self._supervisor = supervisor
        plugins = make_plugins(
            supervisor.config.rpcinterfaces, supervisor
        )  # each server has its own, as in Supervisor
        self._rpc = Rpc(supervisor, plugins)
        self._readonly_rpc = Rpc(supervisor, plugins, readonly=True)
        self._rpc_endpoint = Endpoint(
            ("POST",),
            self._call,
            changes=by_post,
            is_call=True,
            body_limit=server.access.body_maxbytes,
        )
        self._tail_endpoint = Endpoint(READ_METHODS, self._tail, otherwise=400)
        self._no_endpoint = Endpoint((), self._not_found)
        status = Endpoint(
            PAGE_METHODS,
            self._status,
            changes=by_action,
            wants_token=True,
            is_compressed=True,
        )
        self._pages = {
            "/": status,
            "/index.html": status,
            "/live": Endpoint(READ_METHODS, self._live, is_compressed=True),
            "/log.html": Endpoint(READ_METHODS, self._lines, is_compressed=True),
            "/tail.html": Endpoint(PAGE_METHODS, self._log, is_compressed=True),
            "/history.html": Endpoint(PAGE_METHODS, self._history, is_compressed=True),
            "/live/lines": Endpoint(READ_METHODS, self._live_lines, is_compressed=True),
            "/log.txt": Endpoint(READ_METHODS, self._download),
            "/ok.html": Endpoint(PAGE_METHODS, _health),
            **dict.fromkeys(ADDRESSES, Endpoint(READ_METHODS, _asset, is_compressed=True)),
        }

    async def admit(self, request: Request) -> Response | None:
        """Refuse what can be refused without reading the body; None admits the request."""
        endpoint = self._endpoint(request)
        try:
            await self._check(request, endpoint)
        except Refusal as refusal:
            return endpoint.refuse(refusal.status, str(refusal), headers=refusal.headers)
        return None

    async def _check(self, request: Request, endpoint: Endpoint) -> None:
        """Check access, method and origin of a request. Raises Refusal."""
        role = await self._admission.role(request)
        request.readonly = role is Role.READONLY
        if not request.is_proven:
            request.user = self._admission.user(request)
        if request.method == "POST" and not request.has_length:
            raise Refusal(411, "Content-Length is missing")
        if endpoint.methods and request.method not in endpoint.methods:
            allowed = ", ".join(endpoint.methods)
            raise Refusal(endpoint.otherwise, f"Only {allowed} here", (("Allow", allowed),))
        try:
            changes = endpoint.changes(request)
        except TooManyFields as error:
            raise Refusal(400, str(error)) from error
        self._admission.judge(
            request,
            role,
            changes=changes,
            is_call=endpoint.is_call,
            wants_token=endpoint.wants_token,
        )

    def body_limit(self, request: Request) -> int:
        """Return the most bytes that the body of an admitted request may have."""
        return min(self._body_maxbytes, self._endpoint(request).body_limit)

    def refuse(self, request: Request, status: int, detail: str) -> Response:
        """Return an error answer in the format of the request's endpoint."""
        return self._endpoint(request).refuse(status, detail)

    async def respond(self, request: Request) -> Response | StreamResponse:
        """Answer an admitted request. An unexpected exception is logged and answered with 500.

        A client that reads the activity log after the answer finds there what led to it.
        """
        answer = await self._answer(request)
        if self._supervisor.activity is not None:
            await self._supervisor.activity.settled()
        return answer

    async def _answer(self, request: Request) -> Response | StreamResponse:
        endpoint = self._endpoint(request)
        try:
            answer = await endpoint.answer(request)
            return await encode(request, answer) if endpoint.is_compressed else answer
        except TooManyFields as error:
            return endpoint.refuse(400, str(error))
        except Exception as error:
            if isinstance(error, OSError) and error.errno in EXHAUSTED:
                self._admission.client_log.write(
                    Severity.ERROR,
                    f"cannot answer {request.method} {quoted(request.target)}: {error.strerror}",
                )
                return endpoint.refuse(503, f"not possible at this time: {error.strerror}")
            self._supervisor.log(
                Severity.ERROR,
                f"error in {request.method} {quoted(request.target)}:\n{traceback.format_exc()}",
            )
            return endpoint.refuse(500, "An internal error; the activity log has the details")

    def _endpoint(self, request: Request) -> Endpoint:
        if request.target == RPC2:  # the most frequent by far
            return self._rpc_endpoint
        path = request.path
        if path is None:
            return self._no_endpoint
        if path.rstrip("/") == RPC2:
            return self._rpc_endpoint
        if f"{path}/".startswith((f"{LOGTAIL}/", f"{MAINLOGTAIL}/")):
            return self._tail_endpoint
        if f"{path}/".startswith(API):
            return self._api_endpoint(path)
        return self._pages.get("/" + path.lstrip("/"), self._no_endpoint)

    def _api_endpoint(self, path: str) -> Endpoint:
        from trio_supervisor.web.api.error import json_error_response
        from trio_supervisor.web.api.input import BODY_LIMIT

        methods = self._api.allowed(path)
        if methods is None:
            return self._no_endpoint
        return Endpoint(
            methods,
            self._api.respond,
            changes=by_post,
            refuse=json_error_response,
            body_limit=BODY_LIMIT,
        )

    @cached_property
    def _api(self) -> Api:
        from trio_supervisor.web.api.routes import Api

        return Api(self._supervisor)

    async def _call(self, request: Request) -> Response:
        rpc = self._readonly_rpc if request.readonly else self._rpc
        return await answer_call(rpc, request, self._admission.client_log)

    async def _tail(self, request: Request) -> Response | StreamResponse:
        path = request.path or ""
        if path.startswith(MAINLOGTAIL):
            return await tail_main(self._supervisor)
        return await tail_process(self._supervisor, path.removeprefix(LOGTAIL).removeprefix("/"))

    async def _status(self, request: Request) -> Response:
        from trio_supervisor.web.pages.status_page import status_page

        return await status_page(self._supervisor, request)

    async def _live(self, request: Request) -> StreamResponse:
        from trio_supervisor.web.pages.forms import viewer_of
        from trio_supervisor.web.pages.live import live

        return live(self._supervisor, viewer_of(request), request.fields.get("since", ""))

    async def _log(self, request: Request) -> Response:
        from trio_supervisor.web.pages.log_page import log_page

        return await log_page(self._supervisor, request)

    async def _history(self, request: Request) -> Response:
        from trio_supervisor.web.pages.history_page import history_page

        return await history_page(self._supervisor, request)

    async def _lines(self, request: Request) -> Response:
        from trio_supervisor.web.pages.lines_page import lines_page

        return await lines_page(self._supervisor, request)

    async def _live_lines(self, request: Request) -> Response | StreamResponse:
        from trio_supervisor.web.pages.lines_page import live_log

        return live_log(self._supervisor, request)

    async def _download(self, request: Request) -> Response | StreamResponse:
        from trio_supervisor.web.pages.log_view import download

        return await download(self._supervisor, request.fields)

    async def _not_found(self, request: Request) -> Response:
        status = 404 if request.method in READ_METHODS else 400
        return error_response(status, "There is nothing at this address")


async def _health(request: Request) -> Response:
    from trio_supervisor.web.pages.layout import health

    return health()


async def _asset(request: Request) -> Response:
    return asset(request)
