"""Logs as they grow, sent as text: ``/logtail`` and ``/mainlogtail``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.errors import BadName, Failed, NoFile
from trio_supervisor.runtime.output import log_source
from trio_supervisor.web.message import (
    NO_STORE,
    SECURITY,
    Response,
    StreamResponse,
    error_response,
    http_date,
)

if TYPE_CHECKING:
    from trio_supervisor.runtime.output.log_source import LogSource, LogStream
    from trio_supervisor.runtime.supervisor import Supervisor

#: For streams of text: no proxy on the way may hold anything back.
HEADERS = (("X-Accel-Buffering", "no"), *NO_STORE, *SECURITY)
#: The header with the position where a stream begins, for clients that want to resume it later.
POSITION = "X-Log-Position"


async def tail_process(supervisor: Supervisor, address: str) -> Response | StreamResponse:
    """``address`` is ``name`` or ``name/channel``."""
    name, _, channel = address.partition("/")
    try:
        source = log_source.find_log(
            supervisor, log_source.LogAddress(name, channel or log_source.STDOUT)
        )
    except BadName:
        return error_response(404, f"no process {name}")
    if channel and channel not in log_source.CHANNELS:
        return error_response(404, f"no channel {channel}")
    return await _tail(source)


async def tail_main(supervisor: Supervisor) -> Response | StreamResponse:
    return await _tail(log_source.find_log(supervisor, log_source.ACTIVITY_LOG))


async def _tail(source: LogSource) -> Response | StreamResponse:
    if source.path is None:
        return error_response(404, "there is no log")
    try:
        return text_stream(await source.follow())
    except (NoFile, Failed):
        return error_response(404, "there is no log that can be read")


def text_stream(
    stream: LogStream, *, resumable: bool = False, headers: tuple[tuple[str, str], ...] = ()
) -> StreamResponse:
    """Return the response for a log as it grows; ``resumable``: with the position of its start."""
    headers = (*HEADERS, *headers)
    if not isinstance(stream, log_source.FollowedLog):  # from memory: no file is open
        return StreamResponse(stream, headers=headers)
    position = ((POSITION, str(stream.start)),) if resumable else ()
    headers = (("Last-Modified", http_date(stream.modified)), *headers, *position)
    return StreamResponse(stream, headers=headers, descriptors=1)
