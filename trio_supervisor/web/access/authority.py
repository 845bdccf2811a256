"""The authority, host and port, in a URL or a Host header (RFC 3986 section 3.2).

Stricter than a URL parser: user information, backslashes and text behind a bracketed address are
invalid, because browsers do not send them and programs disagree on their meaning.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_AUTHORITY = re.compile(r"(\[[^\[\]@\\\s]*\]|[^\[\]@\\\s:]*)(?::([0-9]*))?")
_END = re.compile(r"[/?#]")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Authority(NamedTuple):
    """``host`` is in lower case, with brackets for IPv6; ``port`` is empty if it is absent."""

    host: str
    port: str
    scheme: str = ""

    def is_same(self, other: Authority) -> bool:
        """Whether this authority of a URL equals that of a Host header, which has no scheme."""
        default = _DEFAULT_PORTS.get(self.scheme, "")
        return self.host == other.host and (self.port or default) == (other.port or default)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


def of_host(value: str) -> Authority | None:
    """Read a Host header; None means invalid.

    A path is ignored: Supervisor behind a proxy needs ``name/x/index.html`` there to redirect to
    the right place, so configurations of proxies write it.
    """
    return _read("", _END.split(value, maxsplit=1)[0])


def of_url(url: str) -> Authority | None:
    """Read a URL, or an Origin header; None means invalid, or ``null``."""
    scheme, separator, rest = url.partition("://")
    return _read(scheme.lower(), _END.split(rest, maxsplit=1)[0]) if separator else None


def _read(scheme: str, text: str) -> Authority | None:
    found = _AUTHORITY.fullmatch(text.lower())
    return None if found is None else Authority(found[1], found[2] or "", scheme)
