"""XML-RPC over HTTP: decodes the body of a request, and answers with the result or a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.errors import RequestError
from trio_supervisor.core.xmlrpc import (
    MalformedCall,
    decode_call,
    encode_fault,
    encode_response,
    rough_size,
)
from trio_supervisor.web.access.client_log import RateLimitedLog, quoted
from trio_supervisor.web.message import Response, error_response
from trio_supervisor.web.worker import work

if TYPE_CHECKING:
    from trio_supervisor.runtime.rpc.calls import Rpc
    from trio_supervisor.web.message import Request

TYPE = "text/xml"
#: Bytes of a response that are encoded in a millisecond as a rule, and in some at most.
ENCODED_INLINE = 64 * 1024


async def answer_call(rpc: Rpc, request: Request, client_log: RateLimitedLog) -> Response:
    """Carry out the call in the body of a request. A fault is answered with status 200."""
    try:
        call = await work(len(request.body), decode_call, request.body)
    except MalformedCall as error:
        client_log.write(Severity.DEBUG, f"{error}: {quoted(request.body)}")
        return error_response(400, str(error))
    try:
        # There is no checkpoint between a shutdown request and its small answer, so that the answer
        # is sent before the connection is closed.
        value = await rpc.call(call.method, call.params)
        size = rough_size(value, ENCODED_INLINE + 1)
        body = await work(size, encode_response, value, inline=ENCODED_INLINE)
    except RequestError as error:
        text = str(error)
        body = await work(len(text), encode_fault, error.number, text, inline=ENCODED_INLINE)
    return Response(200, body, TYPE)
