"""From the section of an HTTP server to its value (config.md 8.2, 8.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.access import Access, Credentials, Tls
from trio_supervisor.core.config.converters import absolute_path
from trio_supervisor.core.config.model import InetServer, UnixServer
from trio_supervisor.core.config.passwords import check_form

if TYPE_CHECKING:
    from trio_supervisor.core.config.evaluate import Scope


def inet_server(scope: Scope) -> InetServer:
    """``[inet_http_server]``; port 0 stands for one that is wrong."""
    credentials = _credentials(scope)  # the reference looks at them first
    address = scope.find("port", tuple)
    if address is None and not scope.has("port"):
        hint = "write port=127.0.0.1:9001"
        scope.problem(f"section [{scope.section.name}] has no port value", hint=hint)
    host, port = address or ("", 0)
    return InetServer(
        scope.section.name, host, port, credentials, _access(scope, credentials), _tls(scope)
    )


def unix_server(scope: Scope) -> UnixServer:
    """``[unix_http_server]``."""
    credentials = _credentials(scope)
    file = scope.find("file", str) or ""
    if not file.strip():  # E30, Q58
        hint = "write file=/run/supervisor.sock"
        scope.problem(f"section [{scope.section.name}] has no file value", hint=hint)
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
        there, lacking = (name, secret) if scope.has(name) and not password else (secret, name)
        scope.problem(
            f"Section [{scope.section.name}] contains incomplete authentication: "
            f"If a {name} or a {secret} is specified, both must be specified",
            there,
            f"give a value for {lacking} too, or remove both",
        )
    if not username or not password:
        return None
    try:
        check_form(password)
    except ValueError as error:
        hint = "write the password in clear, or what --hash-password prints"
        scope.problem(str(error), secret, hint)
    return Credentials(username, password)


def _access(scope: Scope, credentials: Credentials | None) -> Access:
    readonly = _credentials(scope, "readonly_")
    if readonly is not None and credentials is None and not scope.has("username"):
        scope.problem(
            "everybody has full control here, a read-only user would have less than that",
            "readonly_username",
            "set username and password too",
        )
    if (
        readonly is not None
        and credentials is not None
        and readonly.username == credentials.username
    ):
        scope.problem(
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
            scope.problem(
                f"{name} has no meaning without a certificate", name, "set ssl_certificate too"
            )
    return None
