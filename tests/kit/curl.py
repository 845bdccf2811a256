"""What the curl command lines of the documentation do, without curl, which not everybody has."""

from __future__ import annotations

import http.client
import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.kit.daemon import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass(frozen=True)
class Sent:
    """A request that was answered; the body is yet to be read."""

    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse

    @property
    def status(self) -> int:
        return self.response.status

    def close(self) -> None:
        self.response.close()
        self.connection.close()

    def body(self) -> str:
        try:
            return self.response.read().decode()
        finally:
            self.close()

    def json(self) -> Any:
        return json.loads(self.body())

    def lines(self) -> Generator[str]:
        """Of an answer without end, for as long as it is read."""
        try:
            for line in self.response:
                yield line.decode().rstrip("\n")
        finally:
            self.close()


def curl(command: str, port: int = 9001) -> Sent:
    """Run ``curl [-s] [-N] [--json DATA] URL``; port 9001 of the URL means ``port``."""
    program, *words = shlex.split(command)
    assert program == "curl"
    url, data = "", None
    while words:
        match words.pop(0):
            case "-s" | "-N" | "-sN":
                pass
            case "--json":
                data = words.pop(0)
            case word:
                assert not word.startswith("-")
                assert not url
                url = word if "://" in word else f"http://{word}"
    return send(url.replace(":9001", f":{port}"), data)


def send(url: str, data: str | None = None) -> Sent:
    """GET, or POST of JSON text."""
    parts = urlsplit(url)
    assert parts.hostname
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if data is None:
        connection.request("GET", target)
    else:
        connection.request("POST", target, data.encode(), {"Content-Type": "application/json"})
    return Sent(connection, connection.getresponse())
