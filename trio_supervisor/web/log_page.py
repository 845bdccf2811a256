"""The page that shows the end of a process's stdout log (interfaces.md 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from trio_supervisor.core.errors import NoFile, RequestError
from trio_supervisor.runtime.rpc_logs import read_stdout_log
from trio_supervisor.web.pages import page, visible

if TYPE_CHECKING:
    from trio_supervisor.runtime.supervisor import Supervisor
    from trio_supervisor.web.message import Request, Response

#: Bytes that are shown unless more are asked for.
LIMIT = 1024
#: More digits than any log has bytes.
MAX_DIGITS = 12


async def log_page(supervisor: Supervisor, request: Request) -> Response:
    fields = request.fields
    name = fields.get("processname", "")
    limit = _limit(fields.get("limit", ""))
    if not name:
        return page("Supervisor tail", "<pre>No process name found</pre>\n", kind="log")
    try:
        text = str(await read_stdout_log(supervisor, name, -limit, 0))
    except NoFile:
        text = f"No file for {name}"
    except RequestError as error:
        text = f"ERROR: unexpected rpc fault [{int(error.code)}] {error}"
    again = urlencode({"processname": name, "limit": limit})
    return page(
        f"Supervisor tail of process {name}",
        f'<p><a href="tail.html?{visible(again)}">Refresh</a></p>\n<pre>{visible(text)}</pre>\n',
        kind="log",
    )


def _limit(text: str) -> int:
    if not text.isdecimal() or len(text) > MAX_DIGITS:
        return LIMIT
    return max(LIMIT, int(text))
