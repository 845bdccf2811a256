"""Builds an HTTP server of the configuration from its section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.access import Access, Credentials, Tls
from trio_supervisor.core.config.converters import absolute_path
from trio_supervisor.core.config.model import InetServer, UnixServer
from trio_supervisor.core.config.passwords import check_form

if TYPE_CHECKING:
    from trio_supervisor.core.config.evaluate import SectionReader


def inet_server(reader: SectionReader) -> InetServer:
    """``[inet_http_server]``; port 0 takes the place of a wrong one."""
    credentials = _credentials(reader)  # Supervisor evaluates them first
    address = reader.find("port", tuple)
    if address is None and not reader.has("port"):
        hint = "write port=127.0.0.1:9001"
        reader.add_error(f"section [{reader.section.name}] has no port value", hint=hint)
    host, port = address or ("", 0)
    return InetServer(
        reader.section.name, host, port, credentials, _access(reader, credentials), _tls(reader)
    )


def unix_server(reader: SectionReader) -> UnixServer:
    """``[unix_http_server]``."""
    credentials = _credentials(reader)
    file = reader.find("file", str) or ""
    if not file.strip():
        hint = "write file=/run/supervisor.sock"
        reader.add_error(f"section [{reader.section.name}] has no file value", hint=hint)
    return UnixServer(
        reader.section.name,
        absolute_path(file, reader.context),
        reader.take("chmod", int),
        reader.find("chown", tuple),
        credentials,
        _access(reader, credentials),
    )


def _credentials(reader: SectionReader, prefix: str = "") -> Credentials | None:
    """User name and password; None if there are none. One without the other is an error."""
    name, secret = f"{prefix}username", f"{prefix}password"
    username = reader.find(name, str)
    password = reader.find(secret, str)
    one_is_missing = reader.has(name) != reader.has(secret)
    one_is_empty = (
        username is not None and password is not None and (username == "") != (password == "")
    )
    if one_is_missing or one_is_empty:
        there, lacking = (name, secret) if reader.has(name) and not password else (secret, name)
        reader.add_error(
            f"Section [{reader.section.name}] contains incomplete authentication: "
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
        reader.add_error(str(error), secret, hint)
    return Credentials(username, password)


def _access(reader: SectionReader, credentials: Credentials | None) -> Access:
    readonly = _credentials(reader, "readonly_")
    if readonly is not None and credentials is None and not reader.has("username"):
        reader.add_error(
            "without a password every client has full control, so a read-only user has no effect",
            "readonly_username",
            "set username and password too",
        )
    if (
        readonly is not None
        and credentials is not None
        and readonly.username == credentials.username
    ):
        reader.add_error(
            f"{readonly.username} is the user with full control",
            "readonly_username",
            "take another name",
        )
    return Access(
        readonly=readonly,
        allowed_hosts=reader.find("allowed_hosts", tuple),
        get_actions=reader.take("get_actions", bool),
        body_maxbytes=reader.take("body_maxbytes", int),
    )


def _tls(reader: SectionReader) -> Tls | None:
    certificate = reader.find("ssl_certificate", str)
    key, client_ca = reader.find("ssl_key", str), reader.find("ssl_client_ca", str)
    if certificate is not None:
        return Tls(certificate, key, client_ca)
    for name in ("ssl_key", "ssl_client_ca"):
        if reader.has(name):
            reader.add_error(
                f"{name} has no meaning without a certificate", name, "set ssl_certificate too"
            )
    return None
