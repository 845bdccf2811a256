"""The TLS settings of the client, apart from the module that loads ssl."""

from __future__ import annotations


class TlsOptions:
    """How an ``https://`` server is recognised, and who we are to it; paths of PEM files."""

    __slots__ = ("ca", "certificate", "key", "verify")

    def __init__(self) -> None:
        self.ca: str | None = None
        """Certificates that may have signed the server's; None: those the system trusts."""
        self.verify = True
        self.certificate: str | None = None
        """Ours, for servers that ask for one."""
        self.key: str | None = None
