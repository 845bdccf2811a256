"""Error answers of the API: a JSON object with a code, a message and a hint.

This is the only place where faults become HTTP statuses.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.process.states import FaultCode
from trio_supervisor.web.api.json import json_response

if TYPE_CHECKING:
    from trio_supervisor.core.errors import RequestError
    from trio_supervisor.web.message import Response


#: Names of statuses that Python 3.13 has renamed. They are part of the API, so they must not depend
#: on the interpreter.
_NAMES = {
    413: "REQUEST_ENTITY_TOO_LARGE",
    414: "REQUEST_URI_TOO_LONG",
    416: "REQUESTED_RANGE_NOT_SATISFIABLE",
    422: "UNPROCESSABLE_ENTITY",
}
#: Advice for a POST with a header missing.
CURL_HINT = "curl sends it with --json '{}'"
#: Hints for requests that are refused before they are read.
HINTS: dict[int, str] = {
    HTTPStatus.LENGTH_REQUIRED: CURL_HINT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "send it in pieces",
}


def status_name(status: int) -> str:
    """Return the name of an HTTP status as the code of an error has it: ``NOT_FOUND``."""
    return _NAMES.get(status) or HTTPStatus(status).name


@dataclass(frozen=True, slots=True)
class FaultText:
    """Status and texts for a fault; ``sentence`` is formatted with the detail of the fault."""

    status: int
    sentence: str
    hint: str = ""


FAULTS = {
    FaultCode.UNKNOWN_METHOD: FaultText(404, "there is no such method"),
    FaultCode.INCORRECT_PARAMETERS: FaultText(400, "{}"),
    FaultCode.BAD_ARGUMENTS: FaultText(400, "{}"),
    FaultCode.SIGNATURE_UNSUPPORTED: FaultText(404, "there is no such method"),
    FaultCode.SHUTDOWN_STATE: FaultText(
        503,
        "the supervisor is shutting down or restarting",
        "it can still be read; GET /api/v1/daemon shows its state",
    ),
    FaultCode.BAD_NAME: FaultText(
        404,
        "there is no process or group {}",
        "GET /api/v1/processes and GET /api/v1/groups list them; "
        "POST /api/v1/daemon/reread reads the configuration again",
    ),
    FaultCode.BAD_SIGNAL: FaultText(
        400, "{} is not a signal", "names such as HUP or SIGHUP and numbers are signals"
    ),
    FaultCode.NO_FILE: FaultText(
        409, "a file that this needs is missing or closed: {}", "correct the command, or the log"
    ),
    FaultCode.NOT_EXECUTABLE: FaultText(
        409, "the command cannot be executed: {}", "chmod +x the file, or correct the command"
    ),
    FaultCode.FAILED: FaultText(
        409, "{}", "the activity log, GET /api/v1/daemon/log, may say more"
    ),
    FaultCode.ABNORMAL_TERMINATION: FaultText(409, "{} did not come to RUNNING"),
    FaultCode.SPAWN_ERROR: FaultText(409, "{} could not be started"),
    FaultCode.ALREADY_STARTED: FaultText(409, "{} has been started already", "restart it instead"),
    FaultCode.NOT_RUNNING: FaultText(409, "{} is not running", "start it first"),
    FaultCode.ALREADY_ADDED: FaultText(
        409, "the group {} is active already", "after a change remove it first, or update"
    ),
    FaultCode.STILL_RUNNING: FaultText(
        409, "the group {} still has something running", "stop the group first"
    ),
    FaultCode.CANT_REREAD: FaultText(
        409,
        "the configuration cannot be used, everything stays as it is: {}",
        "correct it; tsupervisord --check shows all errors at once",
    ),
}


class Problem(Exception):
    """A request that is not carried out; ``str()`` is the message for users."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        hint: str = "",
        fault: FaultCode | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.hint = hint
        self.fault = fault
        self.headers = headers

    @property
    def object(self) -> dict[str, object]:
        """The JSON object, for an error answer or one of several results."""
        return {
            "code": status_name(self.status) if self.fault is None else self.fault.name,
            "fault": None if self.fault is None else int(self.fault),
            "message": str(self),
            "hint": self.hint,
        }

    @property
    def response(self) -> Response:
        return json_response({"error": self.object}, status=self.status, headers=self.headers)


def malformed(message: str, hint: str = "") -> Problem:
    """Return the problem of a request that cannot be understood."""
    return Problem(400, message, hint=hint, fault=FaultCode.INCORRECT_PARAMETERS)


def problem_of(error: RequestError, hint: str = "") -> Problem:
    """Return the problem for a fault, with the hint of the caller if it is not empty."""
    kind = FAULTS[error.code]
    message = kind.sentence.format(error.detail)
    return Problem(kind.status, message, hint=hint or kind.hint, fault=error.code)


def json_error_response(
    status: int, detail: str = "", *, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """Return an error answer, as ``error_response`` does, for clients that read JSON."""
    hint = HINTS.get(status, "")
    return Problem(status, detail, hint=hint, headers=headers).response
