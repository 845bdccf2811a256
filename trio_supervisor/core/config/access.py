"""Who may use an HTTP server, and how much of it: values of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Bytes of a request body beyond which it is refused with 413 (interfaces.md section 5).
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
    """What a server asks of requests besides the credentials for full control."""

    readonly: Credentials | None = None
    """May look at everything and change nothing."""
    allowed_hosts: tuple[str, ...] | None = None
    """Names, beside the machine's own, that a Host header may carry; ``*``: any; a leading dot: all
    names below. None: only the machine's own on a loopback address without credentials, any
    elsewhere."""
    get_actions: bool = True
    """Whether actions of the web page may be asked for by GET, as scripts of the reference do."""
    body_maxbytes: int = BODY_MAXBYTES
    """Most bytes of a request's body."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files with which a TCP server speaks TLS."""

    certificate: str
    """The certificate and those between it and a well-known one."""
    key: str | None = None
    """None: the key stands in the certificate's file."""
    client_ca: str | None = None
    """Clients must show a certificate that these have signed; None: they need none."""
