"""The TLS settings of the client, apart from the module that loads ssl."""

from __future__ import annotations


class TlsOptions:
    """Options for ``https://``: verification of the server, and our certificate; paths of PEM
    files."""

    __slots__ = ("ca", "certificate", "key", "verify")

    def __init__(self) -> None:
        self.ca: str | None = None
        """The accepted certificate authorities; None means those that the system trusts."""
        self.verify = True
        self.certificate: str | None = None
        """Our certificate, for servers that request one."""
        self.key: str | None = None
