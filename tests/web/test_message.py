"""What requests say and what responses look like."""

from __future__ import annotations

import pytest

from trio_supervisor.web.message import Request, error_response, http_date, response_head


@pytest.mark.behaviour(
    "http.md#methods-that-an-address-does-not-have",
    "http.md#addresses-of-log-streams",
    "http.md#requests-that-are-understood",
)
@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/RPC2?x=1", "/RPC2"),
        ("/%52PC2", "/RPC2"),
        ("/logtail/grp%3Agb/stderr?x", "/logtail/grp:gb/stderr"),
        ("/caf%C3%A9", "/café"),
        ("/%E9", None),
        ("http://x/ok.html?y", "/ok.html"),
        ("http://[bad/", None),
        ("//", "//"),
        ("/a?b#c", "/a"),
    ],
    ids=["query", "percent", "colon", "utf-8", "latin-1", "url", "no-url", "slashes", "fragment"],
)
def test_paths(target: str, path: str | None) -> None:
    assert Request("GET", target).path == path


def test_fields_of_the_body_win_and_the_first_of_repeated_ones() -> None:
    posted = Request("POST", "/?a=query&b=1&b=2", body=b"a=body%20x&c=")
    assert posted.fields == {"a": "body x", "b": "1", "c": ""}
    assert Request("GET", "/?a=1", body=b"a=2").fields == {"a": "1"}


@pytest.mark.parametrize(
    ("version", "header", "keep"),
    [
        ("1.1", "", True),
        ("1.1", "Close", False),
        ("1.1", "foo, close", False),
        ("1.0", "", False),
        ("1.0", "Keep-Alive", True),
    ],
)
def test_keep_alive(version: str, header: str, keep: bool) -> None:
    """Whatever the case."""
    assert Request("GET", "/", version, {"connection": header}).keep_alive is keep


@pytest.mark.behaviour("http.md#responses")
def test_response_head() -> None:
    """Never an empty phrase; the Date is English in any locale."""
    assert response_head("1.0", 431, (("A", "b"),), 1_700_000_000.0, 7) == (
        b"HTTP/1.0 431 Request Header Fields Too Large\r\nServer: trio-supervisor\r\nA: b\r\n"
        b"X-Content-Type-Options: nosniff\r\n"
        b"Content-Security-Policy: default-src 'self'; frame-ancestors 'none'\r\n"
        b"Referrer-Policy: same-origin\r\n"
        b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Length: 7\r\n\r\n"
    )


def test_a_response_may_have_a_stricter_rule_of_its_own() -> None:
    head = response_head("1.1", 200, (("content-security-policy", "sandbox"),), 0.0)
    assert head.lower().count(b"content-security-policy") == 1
    assert b"sandbox" in head
    assert b"Content-Length" not in head


def test_http_date() -> None:
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert http_date(1_795_000_000) == "Wed, 18 Nov 2026 11:06:40 GMT"


def test_error_pages_escape_their_detail() -> None:
    assert b"&lt;b&gt;" in error_response(400, "<b>").body


def test_error_pages_show_unsafe_characters_as_escapes() -> None:
    page = error_response(404, "no process \x1b[31m\u202ex\x9b").body
    assert b"no process \\x1b[31m\\u202ex\\x9b" in page
