"""Access control of a server: the order of the checks that every request must pass.

Was the request meant for this server, which user sent it, what may that user do, and was it caused
by a page of another site. All checks need only the head of a request: no body is read for a request
that is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.web.access.auth import CHALLENGE, Role, Users
from trio_supervisor.web.access.client_log import RateLimitedLog, quoted
from trio_supervisor.web.access.hosts import Hosts
from trio_supervisor.web.access.origin import foreign, foreign_despite_token
from trio_supervisor.web.access.throttle import Throttle
from trio_supervisor.web.message import Refusal
from trio_supervisor.web.transport import UNKNOWN_PEER

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Server
    from trio_supervisor.web.message import Request

#: Seconds that a request may wait for a slow comparison of its password.
PATIENCE = 15.0


class Admission:
    """The access control of one server."""

    def __init__(self, server: Server, log: Callable[[Severity, str], None]) -> None:
        self.client_log = RateLimitedLog(log)
        self._hosts = Hosts(server)
        self._users = Users(server.credentials, server.access.readonly)
        self._get_actions = server.access.get_actions
        self._throttle = Throttle()
        self._section = server.section

    async def role(self, request: Request) -> Role:
        """Return the role of the user who sent a request to this server.

        Raises Refusal if the request was meant for another server, or the user is not known.
        """
        if not self._hosts.allow(request.headers.get("host", "")):
            name = quoted(request.headers["host"])
            self._log(request, f"Host {name} is not among allowed_hosts")
            raise Refusal(
                403,
                f"This server is not known by the name in the Host header, {name}. Add the name "
                f"to allowed_hosts in [{self._section}] of the configuration, or let a proxy in "
                "front send a Host header with a name that is allowed.",
            )
        authorization = request.headers.get("authorization", "")
        is_guess = bool(authorization and request.peer and not request.is_proven)
        if is_guess and self._throttle.is_exhausted(request.peer):
            return await self._recognise_later(request, authorization)
        role = self._users.recognise(authorization)
        return role or await self._identify(request, authorization)

    def user(self, request: Request) -> str:
        """Return the name of the user that ``role`` has recognised; empty if none is asked for."""
        return self._users.name(request.headers.get("authorization", ""))

    def judge(
        self, request: Request, role: Role, *, changes: bool, is_call: bool, wants_token: bool
    ) -> None:
        """Check whether a user with this role may send this request. Raises Refusal.

        ``changes``: the request may change something; ``is_call``: rights are checked for each
        method that is called; ``wants_token``: a browser will have to show a token.
        """
        if not changes:
            return
        judge = foreign_despite_token if wants_token and self._users.known else foreign
        if (why := judge(request)) is not None:
            self._log(request, f"{request.method} {quoted(request.target)}: {why}")
            raise Refusal(403, why)
        if role is Role.READONLY and not is_call:
            raise Refusal(403, "This user has read-only access.")
        if request.method != "POST" and not self._get_actions:
            raise Refusal(403, "Actions need POST here (get_actions=false in the configuration).")

    async def _recognise_later(self, request: Request, authorization: str) -> Role:
        """Admit a client with a known password although its peer has too many guesses under way.

        Raises Refusal.
        """
        with self._throttle.queueing(request.peer) as seconds:
            await trio.sleep(seconds)
        role = self._users.recognise(authorization)
        if role is None:
            self._log(request, "wrong user name or password")
            raise Refusal(
                429, "Too many wrong passwords from this address", (("Retry-After", "2"),)
            )
        return role

    async def _identify(self, request: Request, authorization: str) -> Role:
        """Compare slow passwords too. Failures of one peer delay no other peer.

        Raises Refusal.
        """
        if authorization:  # clients send their first request without: that is no guess
            with self._throttle.holding(request.peer) as turn:
                try:
                    with trio.fail_after(PATIENCE):
                        async with turn:  # or one peer would occupy the queue of all
                            role = await self._users.identify(authorization)
                except trio.TooSlowError:
                    raise Refusal(
                        429, "Too many passwords are being checked", (("Retry-After", "10"),)
                    ) from None
                if role is not None:
                    return role
                self._log(request, "wrong user name or password")
                if request.peer:
                    await trio.sleep(self._throttle.fail(request.peer, trio.current_time()))
        raise Refusal(401, "A user name and a password are needed", (CHALLENGE,))

    def _log(self, request: Request, what: str) -> None:
        self.client_log.write(
            Severity.INFO,
            f"refused a request of {request.peer or UNKNOWN_PEER} to {self._section}: {what}",
        )
