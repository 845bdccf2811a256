"""Requests caused by pages of other sites (interfaces.md section 5)."""

from __future__ import annotations

import pytest

from trio_supervisor.web.message import Request
from trio_supervisor.web.origin import is_foreign


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        pytest.param({}, False, id="command-line"),
        pytest.param({"sec-fetch-site": "same-origin"}, False, id="own-page"),
        pytest.param({"sec-fetch-site": "none"}, False, id="typed"),
        pytest.param({"sec-fetch-site": "cross-site"}, True, id="cross-site"),
        pytest.param({"sec-fetch-site": "Same-Site"}, True, id="same-site"),
        pytest.param({"host": "h:9001", "origin": "http://h:9001"}, False, id="own-origin"),
        pytest.param({"host": "H:9001", "origin": "http://h:9001"}, False, id="case"),
        pytest.param({"host": "h:9001", "origin": "http://evil.example"}, True, id="W51"),
        pytest.param({"host": "h:9001", "origin": "http://h:9002"}, True, id="other-port"),
        pytest.param({"host": "h", "origin": "https://h"}, False, id="behind-tls"),
        pytest.param({"host": "h:443", "origin": "https://h"}, False, id="written-default-port"),
        pytest.param({"host": "h:80", "origin": "https://h"}, True, id="other-default-port"),
        pytest.param({"host": "", "origin": "null"}, True, id="null"),
        pytest.param({"origin": "null"}, True, id="null-without-host"),
        pytest.param({"host": "h", "origin": "http://[bad"}, True, id="bad-url"),
        pytest.param({"host": "h:1", "referer": "http://h:1/x?y"}, False, id="own-referer"),
        pytest.param({"host": "h:1", "referer": "http://e/h:1"}, True, id="foreign-referer"),
        pytest.param({"host": "h:1", "referer": "http://h:1@e/"}, True, id="user-in-referer"),
        pytest.param({"host": "[::1]:9001", "origin": "http://[::1]:9001"}, False, id="ipv6"),
    ],
)
def test_foreign_requests(headers: dict[str, str], refused: bool) -> None:
    assert is_foreign(Request("POST", "/", headers=headers)) is refused
