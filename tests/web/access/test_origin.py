"""Requests caused by pages of other sites."""

from __future__ import annotations

import pytest

from trio_supervisor.web.access.origin import PASS_HOST, foreign, foreign_despite_token
from trio_supervisor.web.message import Request


@pytest.mark.behaviour("http.md#requests-caused-by-pages-of-other-sites")
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
        ({"host": "h:9001", "origin": "http://evil.example"}, True),
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
        pytest.param({"host": "h/x/index.html", "origin": "https://h"}, False, id="path-in-host"),
        pytest.param({"host": "h:80/x", "referer": "http://h/x/"}, False, id="path-and-port"),
        pytest.param({"host": "h:1", "origin": "http://e@h:1"}, True, id="user-in-origin"),
        pytest.param({"host": "h", "origin": "http://e\\@h"}, True, id="backslash-in-origin"),
        pytest.param({"host": "h", "origin": "http://e\\.h"}, True, id="backslash"),
        pytest.param({"host": "[::1]", "origin": "http://[::1]e"}, True, id="rubbish-after-]"),
        pytest.param({"host": "[::1]e", "origin": "http://[::1]e"}, True, id="the-same-rubbish"),
        pytest.param({"host": "[::1]e"}, True, id="rubbish-in-host"),
        pytest.param({"host": "e@h", "origin": "http://h"}, True, id="user-in-host"),
        pytest.param({"host": "e@h"}, True, id="user-in-host-alone"),
        pytest.param({"host": "e\\h"}, True, id="backslash-in-host"),
        pytest.param({"host": "h:9x", "origin": "http://h:9x"}, True, id="port-of-no-digits"),
        pytest.param({"host": "%2Fs.sock"}, False, id="unix-socket"),
    ],
)
def test_foreign_requests(headers: dict[str, str], refused: bool) -> None:
    assert (foreign(Request("POST", "/", headers=headers)) is not None) is refused


def test_a_refusal_says_which_header_to_set() -> None:
    headers = {"host": "127.0.0.1:9001", "origin": "https://www.example.com"}
    assert foreign(Request("POST", "/", headers=headers)) == (
        "This request was caused by a page of another site (Origin 'www.example.com', "
        f"Host '127.0.0.1:9001'). {PASS_HOST}"
    )


@pytest.mark.parametrize(
    ("site", "refused"),
    [("same-origin", False), ("none", True), ("same-site", True), ("cross-site", True), ("", True)],
)
def test_with_a_token_the_browser_decides(site: str, refused: bool) -> None:
    headers = {"host": "127.0.0.1:9001", "origin": "https://h", "sec-fetch-site": site}
    request = Request("POST", "/", headers=headers)
    assert (foreign_despite_token(request) is not None) is refused
    assert foreign(request) is not None
