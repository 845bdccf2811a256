"""Who may come in: the order of the questions that every request must answer (section 5).

Whether it was meant for us, whether its sender is known, how much that sender may do, and whether
another site's page is behind it. What is refused is refused by its head; no body is read for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.web.access.auth import CHALLENGE, Role, Users
from trio_supervisor.web.access.client_log import RateLimitedLog, quoted
from trio_supervisor.web.access.hosts import Hosts
from trio_supervisor.web.access.origin import foreign, foreign_despite_token
from trio_supervisor.web.access.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Server
    from trio_supervisor.web.message import Request

UNKNOWN_PEER = "a local client"
#: Seconds that a request may wait for a slow comparison of its password.
PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request may not come in."""

    status: int
    detail: str
    headers: tuple[tuple[str, str], ...] = ()


LOCKED = Refusal(401, "A user name and a password are needed", (CHALLENGE,))
TOO_MANY = Refusal(429, "Too many wrong passwords from this address", (("Retry-After", "2"),))
BUSY = Refusal(429, "Too many passwords are being checked", (("Retry-After", "10"),))
READ_ONLY = Refusal(403, "This user may look at everything and change nothing.")
POST_ONLY = Refusal(403, "Actions need POST here (get_actions=false in the configuration).")


class Admission:
    """The rules of one server."""

    def __init__(self, server: Server, log: Callable[[Severity, str], None]) -> None:
        self.complaints = RateLimitedLog(log)
        self._hosts = Hosts(server)
        self._users = Users(server.credentials, server.access.readonly)
        self._get_actions = server.access.get_actions
        self._throttle = Throttle()
        self._section = server.section

    async def role(self, request: Request) -> Role | Refusal:
        """Whom a request is from, and whether it has come to the right place."""
        if not self._hosts.allow(request.headers.get("host", "")):
            name = quoted(request.headers["host"])
            self._complain(request, f"Host {name} is not among allowed_hosts")
            return Refusal(
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

    def judge(
        self, request: Request, role: Role, *, changes: bool, is_call: bool, wants_token: bool
    ) -> Refusal | None:
        """Whether somebody with this role may ask this.

        ``changes``: it may change something; ``is_call``: what it may do is decided call by call;
        ``wants_token``: a browser will have to show a token.
        """
        if not changes:
            return None
        judge = foreign_despite_token if wants_token and self._users.known else foreign
        if (why := judge(request)) is not None:
            self._complain(request, f"{request.method} {quoted(request.target)}: {why}")
            return Refusal(403, why)
        if role is Role.READONLY and not is_call:
            return READ_ONLY
        if request.method != "POST" and not self._get_actions:
            return POST_ONLY
        return None

    async def _recognise_later(self, request: Request, authorization: str) -> Role | Refusal:
        """Let in a client with a known password although its peer has too much under way."""
        with self._throttle.queueing(request.peer) as seconds:
            await trio.sleep(seconds)
        role = self._users.recognise(authorization)
        if role is None:
            self._complain(request, "wrong user name or password")
        return role or TOO_MANY

    async def _identify(self, request: Request, authorization: str) -> Role | Refusal:
        """Compare slow passwords too. One peer's failures delay no other peer."""
        if not authorization:  # clients first ask without: nothing was guessed
            return LOCKED
        with self._throttle.holding(request.peer) as turn:
            try:
                with trio.fail_after(PATIENCE):
                    async with turn:  # or one peer would occupy the queue of all
                        role = await self._users.identify(authorization)
            except trio.TooSlowError:
                return BUSY
            if role is not None:
                return role
            self._complain(request, "wrong user name or password")
            if request.peer:
                await trio.sleep(self._throttle.fail(request.peer, trio.current_time()))
        return LOCKED

    def _complain(self, request: Request, what: str) -> None:
        self.complaints.say(
            Severity.INFO,
            f"refused a request of {request.peer or UNKNOWN_PEER} to {self._section}: {what}",
        )
