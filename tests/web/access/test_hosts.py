"""Which Host headers a server answers to (DNS rebinding)."""

from __future__ import annotations

import socket

import pytest

from tests.kit.fake_supervisor import BOB
from trio_supervisor.core.config.access import Access
from trio_supervisor.core.config.model import InetServer, Server, UnixServer
from trio_supervisor.web.access.hosts import Hosts, is_exposed


def inet(host: str, *allowed: str, locked: bool = False) -> InetServer:
    access = Access(allowed_hosts=allowed or None)
    return InetServer("inet_http_server", host, 1, BOB if locked else None, access)


UNIX = UnixServer("unix_http_server", "/s")


@pytest.mark.behaviour("http.md#host-names")
@pytest.mark.parametrize(
    "host",
    [
        *("", "localhost", "LOCALHOST:9001", "app.localhost", "localhost.", "127.0.0.1:9001"),
        *("10.1.2.3", "[::1]:9001", "[2001:db8::1]", socket.gethostname(), "a.example:80"),
        *("x.b.example", "b.example.localhost"),
        # Work-arounds for Supervisor's redirects, in configurations of proxies.
        *("a.example/x/index.html", "a.example:80/x/index.html", "127.0.0.1/x/index.html:80"),
    ],
)
def test_own_names_and_allowed_ones(host: str) -> None:
    assert Hosts(inet("127.0.0.1", "A.example", ".b.example")).allow(host)


@pytest.mark.behaviour("http.md#host-names")
@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:9001", "localhost.evil.example", "xlocalhost", "a.example"),
        *(
            "127.0.0.1.evil.example",
            "[::1",
            "[evil]",
            "[::1]evil",
            "[::1]:80@e",
            "evil@localhost",
            "localhost\\.evil",
            "127.0.0.1 evil",
            "1.2.3",
            "b.example@c",
        ),
    ],
)
def test_foreign_names_on_loopback_without_credentials(host: str) -> None:
    for address in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert not Hosts(inet(address)).allow(host)
    assert Hosts(inet("127.0.0.1", "b.example")).allow("evil.example") is False


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(UNIX, id="no browser speaks to a unix socket"),
        pytest.param(inet("127.0.0.1", locked=True), id="with credentials"),
        pytest.param(inet(""), id="all addresses"),
        pytest.param(inet("192.0.2.1"), id="another address"),
        pytest.param(inet("myhost"), id="by name"),
        pytest.param(inet("127.0.0.1", "*"), id="switched off"),
    ],
)
def test_elsewhere_any_name_will_do(server: Server) -> None:
    assert Hosts(server).allow("evil.example")


def test_what_other_machines_reach() -> None:
    """CVE-2019-12105: only there the log says so."""
    assert [is_exposed(inet(h)) for h in ("", "0.0.0.0", "::", "192.0.2.1", "h")] == [True] * 5
    assert [is_exposed(inet(h)) for h in ("127.0.0.1", "::1", "localhost")] == [False] * 3
    assert not is_exposed(UNIX)


@pytest.mark.behaviour("http.md#host-names")
def test_a_list_counts_everywhere() -> None:
    assert not Hosts(inet("", "a.example", locked=True)).allow("evil.example")
