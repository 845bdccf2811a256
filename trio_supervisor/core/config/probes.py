"""The values of ``ready`` and ``health``: conditions to wait for, and probes that are tried.

``parse_ready`` and ``parse_health`` make them from text. Both raise ValueError with what is wrong;
the second argument of the error is how to fix it.
"""

from __future__ import annotations

import re
import shlex
from typing import ClassVar, Literal

from trio_supervisor.core.config.pattern import check_pattern
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.numbers import natural

#: Ports that can be connected to.
_PORTS = range(1, 65536)
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: Descriptors that ``fd:`` may name; 0 to 2 are the program's standard input and output.
_DESCRIPTORS = range(3, 1024)
_URL = re.compile(r"(https?)://([^/?#]*)([/?][^#]*)?(?:#.*)?", re.IGNORECASE)
_NOT_IN_URL = re.compile(r"[^!-~]")


@dataclass(frozen=True, slots=True)
class Notify:
    """Messages of the program on its notify socket, as sd_notify(3) sends them."""

    needs_program: ClassVar[bool] = True
    """Whether only a program of its own can do this, not a supervised task."""
    command: ClassVar[str] = ""
    """The command line that it runs; empty if it runs none."""

    def __str__(self) -> str:
        return "notify"


@dataclass(frozen=True, slots=True)
class DescriptorNewline:
    """A newline that the program writes to a descriptor which it was given."""

    needs_program: ClassVar[bool] = True
    command: ClassVar[str] = ""
    number: int

    def __str__(self) -> str:
        return f"fd:{self.number}"


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of output that contains a text, or in which a regular expression matches."""

    needs_program: ClassVar[bool] = True
    command: ClassVar[str] = ""
    pattern: str
    is_regex: bool = False

    def __str__(self) -> str:
        return f"log:{'~' if self.is_regex else ''}{self.pattern}"


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """A TCP connection that can be made."""

    needs_program: ClassVar[bool] = False
    command: ClassVar[str] = ""
    port: int
    host: str = ""
    """Empty: 127.0.0.1, then ::1. An IPv6 address stands without brackets."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp:{host}:{self.port}" if host else f"tcp:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixProbe:
    """A connection to a unix stream socket that can be made."""

    needs_program: ClassVar[bool] = False
    command: ClassVar[str] = ""
    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """A GET request that is answered with a status from 200 to 399; redirects are not followed."""

    needs_program: ClassVar[bool] = False
    command: ClassVar[str] = ""
    scheme: Literal["http", "https"]
    host: str
    """An IPv6 address stands without brackets."""
    port: int
    target: str
    """Path and query."""

    @property
    def authority(self) -> str:
        """Host and port as the header ``Host`` has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


@dataclass(frozen=True, slots=True)
class ExecProbe:
    """A command that exits with status 0."""

    needs_program: ClassVar[bool] = False
    line: str

    @property
    def command(self) -> str:
        return self.line

    def __str__(self) -> str:
        return f"exec:{self.line}"


#: What is tried again and again.
Probe = TcpProbe | UnixProbe | HttpProbe | ExecProbe
#: What ``ready`` can wait for, and what ``health`` can check.
ReadyCondition = Notify | DescriptorNewline | LogLine | Probe
HealthCheck = Notify | Probe


def parse_ready(text: str) -> ReadyCondition:
    """Parse the value of ``ready``."""
    kind, colon, rest = text.strip().partition(":")
    match kind.lower():
        case "fd" if colon:
            return _descriptor(rest)
        case "log" if colon:
            return _log_line(rest)
    return parse_health(text, "notify, fd:3, log:TEXT, tcp:PORT, unix:PATH, http://, exec:COMMAND")


def parse_health(
    text: str, forms: str = "tcp:PORT, unix:PATH, http://HOST/, exec:COMMAND or notify"
) -> HealthCheck:
    """Parse the value of ``health``; ``forms`` are those that the hint of an error shows."""
    text = text.strip()
    kind, colon, rest = text.partition(":")
    kind = kind.lower()
    if kind == "notify" and not colon:
        return Notify()
    if colon and kind == "tcp":
        return _tcp(rest)
    if colon and kind == "unix":
        return _unix(rest)
    if colon and kind in _DEFAULT_PORTS:
        return _http(text)
    if colon and kind == "exec":
        if not rest.strip():
            raise ValueError("exec: names no command", "write exec: and the command")
        try:
            shlex.split(rest)
        except ValueError:
            raise ValueError(f"exec:{rest} has a quote that is not closed", "close it") from None
        return ExecProbe(rest.strip())
    raise ValueError(f"{text!r} is no check", f"use {forms}")


def _descriptor(text: str) -> DescriptorNewline:
    number = natural(text.strip())
    if number is None or number not in _DESCRIPTORS:
        first, last = _DESCRIPTORS[0], _DESCRIPTORS[-1]
        raise ValueError(f"'fd:{text}' names no descriptor from {first} to {last}", "use fd:3")
    return DescriptorNewline(number)


def _log_line(text: str) -> LogLine:
    is_regex = text.startswith("~")
    pattern = text.removeprefix("~")
    if not pattern:
        hint = "write log: and the text of the line, or log:~ and a regular expression"
        raise ValueError("log: has no text to look for", hint)
    if is_regex:
        check_pattern(pattern)
    return LogLine(pattern, is_regex)


def _tcp(text: str) -> TcpProbe:
    host, _, port = text.strip().rpartition(":")
    number = natural(port)
    bare = host.removeprefix("[").removesuffix("]")
    wrong = (":" in bare) != host.startswith("[") or host.startswith("[") != host.endswith("]")
    if number is None or number not in _PORTS or wrong or _NOT_IN_URL.search(bare):
        hint = "use tcp:PORT, tcp:HOST:PORT or tcp:[IPv6]:PORT"
        raise ValueError(f"'tcp:{text}' is no address with a port", hint)
    return TcpProbe(number, bare)


def _unix(text: str) -> UnixProbe:
    path = text.strip()
    if path.startswith("//"):  # unix:///path, as in serverurl
        path = path[2:]
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"'unix:{text}' is no absolute path", "use unix:/path/of/the.sock")
    return UnixProbe(path)


def _http(text: str) -> HttpProbe:
    found = _URL.fullmatch(text)
    hint = "write it as http://127.0.0.1:8080/health"
    if found is None or _NOT_IN_URL.search(text):
        raise ValueError(f"{text!r} is no URL", hint)
    scheme: Literal["http", "https"] = "https" if found[1].lower() == "https" else "http"
    authority, target = found[2], found[3] or "/"
    if "@" in authority:
        raise ValueError("a URL with a user or password cannot be checked", "use exec: with curl")
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, port = authority, str(_DEFAULT_PORTS[scheme])
    number = natural(port)
    bare = host.removeprefix("[").removesuffix("]")
    wrong = (":" in bare) != host.startswith("[") or host.startswith("[") != host.endswith("]")
    if not bare or wrong or number is None or number not in _PORTS:
        raise ValueError(f"{text!r} has no valid host and port", hint)
    return HttpProbe(scheme, bare, number, target if target.startswith("/") else f"/{target}")
