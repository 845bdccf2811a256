"""An HTTP connection: reads requests, answers them in order, and enforces limits of time and size.

One cancel scope covers the whole connection, and its deadline is moved with the progress of the
client. An authorized connection may be idle without limit: an event listener may keep one open and
send a request once an hour.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.runtime.requester import set_requester
from trio_supervisor.web.gate import RequestGate
from trio_supervisor.web.message import (
    NOT_MODIFIED,
    Refusal,
    Request,
    Response,
    StreamResponse,
    error_response,
    response_head,
)
from trio_supervisor.web.parser import Mark, Parser

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.web.app import App
    from trio_supervisor.web.memory import Account
    from trio_supervisor.web.transport import Transport

#: Seconds that a client may take to complete a head, and between two pieces of a body.
HEAD_TIME = 30
BODY_TIME = 60
#: Seconds without progress after which the sending of an answer times out.
SEND_TIME = 60
#: Seconds that a client has to read the last answer before the socket is closed.
LINGER_TIME = 2

#: Bytes of the largest body that is copied to be sent together with its head.
ONE_SEND = 64 * 1024
#: Most bytes of one send.
PORTION = 1024 * 1024
#: Pieces of a body that are processed before other tasks run. A client that sends chunks of one
#: byte causes eleven thousand pieces with one read.
PIECES = 64

#: Of connections that no other program goes on with.
NO_GATE = RequestGate()

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Connection:
    """Serves one client.

    ``peer`` is the client's IP address, empty on a unix socket, where the first request has no time
    limit. ``spare`` returns whether the connection may use that many more descriptors. ``origin``
    describes the client for users, see ``origin_of``.
    """

    def __init__(
        self,
        transport: Transport,
        app: App,
        peer: str,
        spare: Callable[[int], bool] = lambda count: True,
        origin: str = "",
        gate: RequestGate | None = None,
        received: bytes = b"",
    ) -> None:
        """``received`` are bytes that were read before, of the next request."""
        self.idle_since: float | None = None
        """When it began to wait for a request, on trio's clock; None while it handles one."""
        self.transport = transport
        self._app = app
        self._spare = spare
        self._origin = origin
        self.peer = peer
        self.descriptors = 1
        """Number of its open descriptors: its socket, and the file that it streams."""
        self.is_known = not peer
        """True once a request was authorized, and always on unix sockets: no idle timeout then."""
        self._proven: str | None = None
        """Authorization header of the last authorized request; None before the first."""
        self._parser = Parser()
        self._scope = trio.CancelScope()
        self._awaiting_request = False
        self._midway = False
        """True while only a part of some data was sent."""
        self._gate = NO_GATE if gate is None else gate
        self.early = received
        """Bytes of a request that may not begin yet."""
        self._request_since: float | None = None
        """When a request was read that is not answered, on trio's clock; a stream is an answer."""

    async def run(self) -> None:
        """Serve until the client or the server ends the connection, then close the socket."""
        try:
            with self._scope, suppress(OSError):
                await self._converse()
            if self._scope.cancelled_caught and self._awaiting_request and not self._parser.idle:
                self._try_send(self._final_response(error_response(408)))
        finally:
            if not self.can_be_handed:
                self.transport.close()

    @property
    def can_be_handed(self) -> bool:
        """Whether another program goes on with it: the daemon is left, and no request has begun."""
        is_between = self.idle_since is not None and self._parser.idle
        return self._gate.is_leaving and is_between and self.transport.descriptor is not None

    @property
    def is_answering(self) -> bool:
        """Whether a request has begun that is not answered. A stream does not count."""
        return self._request_since is not None

    @property
    def busy_since(self) -> float:
        """When a request began that is not answered, or would be lost; infinite: there is none.

        A stream goes on for ever, and does not count. A client that was never authorized counts
        only when its request is complete.
        """
        if self._request_since is not None:
            return self._request_since
        begins = not self._parser.idle and self._awaiting_request
        is_lost = begins or (bool(self.early) and self.transport.descriptor is None)
        return -math.inf if self.is_known and is_lost else math.inf

    def close(self) -> None:
        """End the connection from outside."""
        self._scope.cancel()

    async def _converse(self) -> None:
        if not self.is_known:
            self._allow(HEAD_TIME)
        await self.transport.open()
        # A request and its answer may be large: no variable keeps them while the next is awaited.
        while await self._serve_next():
            await self._app.memory.tidy()
        await self._linger()

    async def _serve_next(self) -> bool:
        """Answer the next request; False if the connection cannot be used any more."""
        try:
            request = await self._next_request()
        except Refusal as refusal:
            refused = error_response(refusal.status, str(refusal))
            await self._send(self._final_response(refused))
            return False
        if request is None:
            return False
        self._request_since = trio.current_time()
        try:
            return await self._serve(request)
        finally:
            self._request_since = None

    async def _serve(self, request: Request) -> bool:
        """Answer a request; False if the connection cannot be used any more."""
        request.peer = self.peer
        request.has_left = self.transport.has_left
        authorization = request.headers.get("authorization", "")
        request.is_proven = authorization == self._proven
        if (unwanted := await self._app.admit(request)) is not None:
            await self._answer(request, unwanted, keep=False)
            return False
        self.is_known = True
        self._proven = authorization
        if not request.is_proven:
            who = f"{request.user} from {self._origin}" if request.user else self._origin
            set_requester(Cause(CauseKind.REQUEST, who))
        with self._app.memory.account() as account:
            try:
                request.body = await self._body(request, account)
                answer = await self._app.respond(request)
                if isinstance(answer, StreamResponse):
                    self._admit_stream(answer)
                    await self._stream(request, answer)
                    return False
                account.take(len(answer.body))
            except Refusal as refusal:
                refused = self._app.refuse(request, refusal.status, str(refusal))
                await self._answer(request, refused, keep=False)
                return False
            await self._answer(request, answer, keep=request.keep_alive)
            return request.keep_alive

    async def _next_request(self) -> Request | None:
        """Read the next head; None if the client has disconnected. Raises Refusal."""
        parser = self._parser
        if not parser.idle:  # pipelined requests: other tasks must run in between
            await trio.lowlevel.checkpoint()
        if (event := parser.next_event()) is Mark.NEED_DATA:
            self._awaiting_request = True
            self.idle_since = trio.current_time()
            if not self.is_known:
                self._allow(HEAD_TIME)
            while event is Mark.NEED_DATA:
                if self.idle_since is not None and not parser.idle:
                    self.idle_since = None
                    self._allow(HEAD_TIME)
                received = self._beginning() if parser.idle else self.transport.receive()
                parser.feed(await received)
                event = parser.next_event()
            self._awaiting_request = False
            self.idle_since = None
        return event if isinstance(event, Request) else None

    async def _beginning(self) -> bytes:
        """Return the first bytes of a request, as soon as it may begin."""
        if not self.early:
            self.early = await self.transport.receive()
        if self.early and self._gate.is_held:
            await self._gate.passed()
        received, self.early = self.early, b""
        return received

    async def _body(self, request: Request, account: Account) -> bytes:
        """Read the body of the request whose head was just read. Raises Refusal."""
        length = request.headers.get("content-length", "0")
        limit = self._app.body_limit(request)
        if int(length) > limit:
            raise Refusal(413, f"the body of a request may have {limit} bytes")
        parser = self._parser
        if parser.wants_continue:
            await self._send(CONTINUE)
        body = bytearray()
        pieces = 0
        while (event := parser.next_event()) is not Mark.END_OF_REQUEST:
            if isinstance(event, bytes):
                if len(body) + len(event) > limit:
                    raise Refusal(413, f"the body of a request may have {limit} bytes")
                account.take(len(event))
                body += event
                pieces += 1
                if pieces % PIECES == 0:
                    await trio.lowlevel.checkpoint()
            else:
                self._awaiting_request = True
                self._allow(BODY_TIME)
                parser.feed(await self.transport.receive())
        self._awaiting_request = False
        self._allow(math.inf)
        return bytes(body)

    async def _answer(self, request: Request, response: Response, *, keep: bool) -> None:
        head = self._head(request.version, response, keep=keep)
        if request.method == "HEAD" or response.status == NOT_MODIFIED:
            await self._send(head)
        elif len(response.body) > ONE_SEND:
            await self._send(head)
            await self._send(response.body)
        else:
            await self._send(head + response.body)

    def _head(self, version: str, response: Response, *, keep: bool) -> bytes:
        headers = (("Content-Type", response.type), *response.headers)
        if not keep:
            headers = (*headers, ("Connection", "close"))
        elif version == "1.0":
            headers = (*headers, ("Connection", "Keep-Alive"))
        return response_head(version, response.status, headers, time.time(), len(response.body))

    def _final_response(self, response: Response) -> bytes:
        """Encode the answer to a request whose head cannot be read."""
        return self._head("1.1", response, keep=False) + response.body

    def _admit_stream(self, stream: StreamResponse) -> None:
        """Count the file of a stream. Raises Refusal, and closes it, if there are too many."""
        if stream.descriptors and not self._spare(stream.descriptors):
            stream.source.close()
            raise Refusal(503, "too many logs are followed at this time; try again later")
        self.descriptors += stream.descriptors

    async def _stream(self, request: Request, stream: StreamResponse) -> None:
        """Send a stream until it ends or the client disconnects. Then the connection is closed."""
        chunked = request.version == "1.1" and request.keep_alive
        framing = ("Transfer-Encoding", "chunked") if chunked else ("Connection", "close")
        headers = (("Content-Type", stream.type), *stream.headers, framing)
        try:
            await self._send(response_head(request.version, 200, headers, time.time()))
            self._request_since = None
            if request.method == "HEAD":
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_departure, nursery.cancel_scope)
                await self._pump(stream, chunked=chunked)
                nursery.cancel_scope.cancel()
        finally:
            stream.source.close()
            if chunked and request.method != "HEAD" and not self._midway:
                self._try_send(LAST_CHUNK)

    async def _pump(self, stream: StreamResponse, *, chunked: bool) -> None:
        with suppress(OSError):  # the client is gone
            # No variable keeps what was sent while more is awaited: thousands of clients may wait.
            while await self._pass_on(stream, chunked=chunked):
                pass

    async def _pass_on(self, stream: StreamResponse, *, chunked: bool) -> bool:
        """Send the next data of a stream; False at its end."""
        data = await stream.source.read()
        if not data:
            return False
        if chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        # No timeout: a terminal may be paused for hours.
        await self._send(data, time=math.inf)
        return True

    async def _watch_departure(self, scope: trio.CancelScope) -> None:
        """Cancel the scope when the client disconnects. Data that it sends is discarded."""
        with suppress(OSError):
            while await self.transport.receive():
                pass
        scope.cancel()

    async def _send(self, data: bytes, *, time: float = SEND_TIME) -> None:
        """Send all bytes. Waits only if the socket does not take them at once."""
        rest = memoryview(data)
        self._midway = True
        while rest:
            try:
                rest = rest[self.transport.send(rest[:PORTION]) :]
                if rest:  # other clients are served between two portions
                    await trio.lowlevel.checkpoint()
            except BlockingIOError:
                self._allow(time)
                await self.transport.wait_writable()
        self._midway = False
        self._allow(math.inf)

    def _try_send(self, data: bytes) -> None:
        """Send data if that is possible without waiting."""
        with suppress(OSError):
            self.transport.send(data)

    async def _linger(self) -> None:
        """Let the client read the answer. A close with unread input would discard it."""
        self.transport.end()
        self._allow(LINGER_TIME)
        while await self.transport.receive():
            pass

    def _allow(self, seconds: float) -> None:
        if seconds != math.inf:
            self._scope.deadline = trio.current_time() + seconds
        elif self._scope.deadline != math.inf:
            self._scope.deadline = math.inf
