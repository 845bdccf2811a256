"""Access control of an HTTP server, as values of the configuration."""

from __future__ import annotations

from dataclasses import field

from trio_supervisor.core.dataclass import dataclass

#: Bytes of a request body beyond which it is refused with status 413.
BODY_MAXBYTES = 16 * 1024 * 1024
#: In ``allowed_hosts``: no name is refused.
ANY_HOST = "*"


@dataclass(frozen=True, slots=True)
class Credentials:
    """User name and password of a server; the password in a form of
    ``core/config/passwords.py``."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """Requirements of a server on requests, besides the credentials for full control."""

    readonly: Credentials | None = None
    """Credentials of a user who may read everything and change nothing. None means there is no such
    user."""
    allowed_hosts: tuple[str, ...] | None = None
    """Names besides the machine's own that a Host header may carry. ``*`` means any, a leading dot
    means all names below. None means only the machine's own on a loopback address without
    credentials, and any elsewhere."""
    get_actions: bool = True
    """Whether actions of the web page may be requested by GET, as scripts for Supervisor do."""
    body_maxbytes: int = BODY_MAXBYTES
    """Most bytes of a request's body."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files with which a TCP server speaks TLS."""

    certificate: str
    """The certificate, followed by the intermediate ones."""
    key: str | None = None
    """None means that the key is in the certificate's file."""
    client_ca: str | None = None
    """Authorities that must have signed a client's certificate. None means clients need none."""
