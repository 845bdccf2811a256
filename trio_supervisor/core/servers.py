"""From the section of an HTTP server to its value (config.md 8.2, 8.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.access import Access, Credentials, Tls
from trio_supervisor.core.config import InetServer, UnixServer
from trio_supervisor.core.passwords import check_form
from trio_supervisor.core.values import absolute_path

if TYPE_CHECKING:
    from trio_supervisor.core.reader import Scope


def inet_server(scope: Scope) -> InetServer:
    """``[inet_http_server]``. Raises ConfigError."""
    if not scope.has("port"):
        raise scope.error(f"section [{scope.section.name}] has no port value")
    host, port = scope.take("port", tuple)
    credentials = _credentials(scope)
    return InetServer(
        scope.section.name, host, port, credentials, _access(scope, credentials), _tls(scope)
    )


def unix_server(scope: Scope) -> UnixServer:
    """``[unix_http_server]``. Raises ConfigError."""
    file = scope.find("file", str)
    if not file or not file.strip():
        raise scope.error(f"section [{scope.section.name}] has no file value")  # E30, Q58
    credentials = _credentials(scope)
    return UnixServer(
        scope.section.name,
        absolute_path(file, scope.around),
        scope.take("chmod", int),
        scope.find("chown", tuple),
        credentials,
        _access(scope, credentials),
    )


def _credentials(scope: Scope, prefix: str = "") -> Credentials | None:
    """Both or neither, also when one is empty (E32, Q57)."""
    name, secret = f"{prefix}username", f"{prefix}password"
    username = scope.find(name, str)
    password = scope.find(secret, str)
    one_is_missing = scope.has(name) != scope.has(secret)
    one_is_empty = (
        username is not None and password is not None and (username == "") != (password == "")
    )
    if one_is_missing or one_is_empty:
        raise scope.error(
            f"Section [{scope.section.name}] contains incomplete authentication: "
            f"If a {name} or a {secret} is specified, both must be specified"
        )
    if not username or not password:
        return None
    try:
        check_form(password)
    except ValueError as error:
        raise scope.error(
            str(error), secret, "write the password in clear, or what --hash-password prints"
        ) from None
    return Credentials(username, password)


def _access(scope: Scope, credentials: Credentials | None) -> Access:
    readonly = _credentials(scope, "readonly_")
    if readonly is not None and credentials is None:
        raise scope.error(
            "everybody has full control here, a read-only user would have less than that",
            "readonly_username",
            "set username and password too",
        )
    if (
        readonly is not None
        and credentials is not None
        and readonly.username == credentials.username
    ):
        raise scope.error(
            f"{readonly.username} is the user with full control",
            "readonly_username",
            "take another name",
        )
    return Access(
        readonly=readonly,
        allowed_hosts=scope.find("allowed_hosts", tuple),
        get_actions=scope.take("get_actions", bool),
        body_maxbytes=scope.take("body_maxbytes", int),
    )


def _tls(scope: Scope) -> Tls | None:
    certificate = scope.find("ssl_certificate", str)
    key, client_ca = scope.find("ssl_key", str), scope.find("ssl_client_ca", str)
    if certificate is not None:
        return Tls(certificate, key, client_ca)
    for name in ("ssl_key", "ssl_client_ca"):
        if scope.has(name):
            raise scope.error(
                f"{name} has no meaning without a certificate", name, "set ssl_certificate too"
            )
    return None
