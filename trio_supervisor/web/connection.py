"""One HTTP connection: requests in, answers out, in order; and every limit of time and size.

One cancel scope with a moving deadline covers the whole connection (technique.md 6). A good
connection may be idle for ever: listeners hold one and call once an hour (interfaces.md 3.6).
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

import trio

from trio_supervisor.web.message import (
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

#: Seconds a client may take to complete a head, and between two pieces of a body (section 5).
HEAD_TIME = 30
BODY_TIME = 60
#: Seconds without any progress after which a client no longer takes its answer.
SEND_TIME = 60
#: Seconds given to a client to read the last answer before the socket is closed under it.
LINGER_TIME = 2

#: Bytes of a body up to which it is copied to be sent together with its head.
ONE_SEND = 64 * 1024
#: Bytes that are sent at once.
PORTION = 1024 * 1024
#: Pieces of a body that are taken at once. A client that sends chunks of one byte gives us eleven
#: thousand in one read; the others are served in between.
PIECES = 64

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Connection:
    """``peer`` is the client's IP address, empty on a unix socket, where clients need not send
    anything at once (3.6). ``spare`` tells whether it may have some more descriptors."""

    def __init__(
        self,
        transport: Transport,
        app: App,
        peer: str,
        spare: Callable[[int], bool] = lambda count: True,
    ) -> None:
        self.idle_since: float | None = None
        """Since when it waits for a request (monotonic); None while it is busy with one."""
        self._transport = transport
        self._app = app
        self._spare = spare
        self.peer = peer
        self.descriptors = 1
        """How many it has open: its socket, and the file that it streams."""
        self.is_known = not peer
        """It has been let in once, or need not be: no time limit hurries it while it is idle."""
        self._proven: str | None = None
        """The Authorization header of the last request that was let in; None before the first."""
        self._parser = Parser()
        self._scope = trio.CancelScope()
        self._awaiting_request = False
        self._midway = False
        """Part of a send is out and the rest is not."""

    async def run(self) -> None:
        """Serve until either side has enough; closes the socket."""
        try:
            with self._scope, suppress(OSError):
                await self._converse()
            if self._scope.cancelled_caught and self._awaiting_request and not self._parser.idle:
                self._try_send(self._last_words(error_response(408)))
        finally:
            self._transport.close()

    def close(self) -> None:
        """End the connection from outside."""
        self._scope.cancel()

    async def _converse(self) -> None:
        if not self.is_known:
            self._allow(HEAD_TIME)
        await self._transport.open()
        # A request and its answer are forgotten before the next is awaited: they may be large.
        while await self._serve_next():
            await self._app.memory.tidy()
        await self._linger()

    async def _serve_next(self) -> bool:
        """Answer the next request; whether the connection can be used again."""
        try:
            request = await self._next_request()
        except Refusal as refusal:
            refused = error_response(refusal.status, str(refusal))
            await self._send(self._last_words(refused))
            return False
        if request is None:
            return False
        request.peer = self.peer
        request.has_left = self._transport.has_left
        authorization = request.headers.get("authorization", "")
        request.is_proven = authorization == self._proven
        if (unwanted := await self._app.admit(request)) is not None:
            await self._answer(request, unwanted, keep=False)
            return False
        self.is_known = True
        self._proven = authorization
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
        """The next head, or None when the client has left."""
        parser = self._parser
        if not parser.idle:  # pipelined: whoever floods us this way starves nobody
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
                parser.feed(await self._transport.receive())
                event = parser.next_event()
            self._awaiting_request = False
            self.idle_since = None
        return event if isinstance(event, Request) else None

    async def _body(self, request: Request, account: Account) -> bytes:
        """The body of the request whose head was just read. Raises Refusal."""
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
                parser.feed(await self._transport.receive())
        self._awaiting_request = False
        self._allow(math.inf)
        return bytes(body)

    async def _answer(self, request: Request, response: Response, *, keep: bool) -> None:
        head = self._head(request.version, response, keep=keep)
        if request.method == "HEAD" or response.status == HTTPStatus.NOT_MODIFIED:
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

    def _last_words(self, response: Response) -> bytes:
        """What is sent for a request whose head cannot be read."""
        return self._head("1.1", response, keep=False) + response.body

    def _admit_stream(self, stream: StreamResponse) -> None:
        """Raise Refusal if the file of a stream is one too many; it is closed then."""
        if stream.descriptors and not self._spare(stream.descriptors):
            stream.source.close()
            raise Refusal(503, "too many logs are followed at this time; try again later")
        self.descriptors += stream.descriptors

    async def _stream(self, request: Request, stream: StreamResponse) -> None:
        """Send what comes until it ends or the client leaves; then the connection is used up."""
        chunked = request.version == "1.1" and request.keep_alive
        framing = ("Transfer-Encoding", "chunked") if chunked else ("Connection", "close")
        headers = (("Content-Type", stream.type), *stream.headers, framing)
        try:
            await self._send(response_head(request.version, 200, headers, time.time()))
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
            # What was sent is forgotten before more is awaited: thousands of clients may wait.
            while await self._pass_on(stream, chunked=chunked):
                pass

    async def _pass_on(self, stream: StreamResponse, *, chunked: bool) -> bool:
        """Send what comes next; whether there was something."""
        data = await stream.source.read()
        if not data:
            return False
        if chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        # A terminal may be paused for hours: nobody is hurried here.
        await self._send(data, time=math.inf)
        return True

    async def _watch_departure(self, scope: trio.CancelScope) -> None:
        """Cancel when the client closes its side; whatever else it sends is no use to anybody."""
        with suppress(OSError):
            while await self._transport.receive():
                pass
        scope.cancel()

    async def _send(self, data: bytes, *, time: float = SEND_TIME) -> None:
        """Hand over all bytes; without waiting if the socket takes them at once."""
        rest = memoryview(data)
        self._midway = True
        while rest:
            try:
                rest = rest[self._transport.send(rest[:PORTION]) :]
                if rest:  # a fast client of a long answer gets it in turn with the others
                    await trio.lowlevel.checkpoint()
            except BlockingIOError:
                self._allow(time)
                await self._transport.wait_writable()
        self._midway = False
        self._allow(math.inf)

    def _try_send(self, data: bytes) -> None:
        """Last words: sent if that is possible right now."""
        with suppress(OSError):
            self._transport.send(data)

    async def _linger(self) -> None:
        """Let the client read the answer: closing over unread input would destroy it."""
        self._transport.end()
        self._allow(LINGER_TIME)
        while await self._transport.receive():
            pass

    def _allow(self, seconds: float) -> None:
        if seconds != math.inf:
            self._scope.deadline = trio.current_time() + seconds
        elif self._scope.deadline != math.inf:
            self._scope.deadline = math.inf
