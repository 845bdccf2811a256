"""Whatever bytes come: no traceback in the log, no 500, bounded answers (hypothesis)."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fuzz import LOCKED, SERVER, run
from tests.kit.odd_calls import call as exact_call
from tests.kit.odd_calls import odd_arguments
from trio_supervisor.runtime.rpc.supervisor import METHODS
from trio_supervisor.runtime.rpc.tsupervisor import METHODS as OWN_METHODS

if TYPE_CHECKING:
    from trio_supervisor.runtime.rpc.method import Method

TABLES = (("supervisor", METHODS), ("tsupervisor", OWN_METHODS))
NAMED = [(f"{namespace}.{method.name}", method) for namespace, table in TABLES for method in table]

METHOD_NAMES = [
    *(name for name, _ in NAMED),
    *("system.listMethods", "system.methodHelp", "system.methodSignature", "system.multicall"),
    *("", "supervisor", "supervisor.", "supervisor._update", "supervisor.__class__", "a.b.c"),
]
TARGETS = [
    *("/", "/index.html", "/tail.html", "/ok.html", "/RPC2", "/RPC2/", "/logtail/cat", "*"),
    *("/logtail/", "/logtail/grp%3Aga/stderr", "/mainlogtail", "/stylesheets/supervisor.css"),
    *("/?action=stop&processname=cat", "/?message=%00%FF", "http://[", "//", "/%", "/\xe9", "?"),
    *("/api/v1/processes", "/api/v1/processes/cat", "/api/v1/events?types=x", "/healthz"),
    *("/live", "/live/lines?processname=cat", "/log.txt?processname=cat", "/metrics"),
]
HEADERS = [
    *("Host: localhost", "Host: evil.example", "Host:", "Host: [::1", "Connection: close"),
    *("Connection: keep-alive, x", "Expect: 100-continue", "Transfer-Encoding: chunked"),
    *("Transfer-Encoding: gzip", "Content-Length: 0", "Content-Length: 5", "Content-Length: -1"),
    *("Content-Length: 99999999999999999999", "Content-Length: 1, 1", "Content-Length:5"),
    *("Authorization: Basic", "Authorization: Basic !", "Authorization: Digest x", "no colon"),
    *("Origin: null", "Origin: http://[bad", "Referer: http://x/", "Sec-Fetch-Site: cross-site"),
    *("Last-Event-ID: x", "Accept: */*", "If-Modified-Since: x", "X-Long: " + "a" * 9000, " fold"),
    f"Authorization: Basic {b64encode(b'bob:p:w').decode()}",
]
TAGS = [
    *("array", "base64", "boolean", "data", "dateTime.iso8601", "double", "i4", "i8", "int"),
    *("member", "methodName", "name", "nil", "param", "params", "string", "struct", "value", "x"),
]
TEXTS = st.one_of(
    st.sampled_from(["", "1", "-1", "0", "cat", "grp:*", "grp:", "zz", "1e999", "nan", "HUP"]),
    st.sampled_from(["9" * 5000, "20261126T10:00:00", "Y2F0", "\ufffe", "]]>", "\r", "_" * 300]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


def element(tag: str, children: list[str]) -> str:
    return f"<{tag}>{''.join(children)}</{tag}>"


XML = st.recursive(
    TEXTS.map(escape),
    lambda inner: st.builds(element, st.sampled_from(TAGS), st.lists(inner, max_size=4)),
    max_leaves=12,
)
VALUES = st.recursive(
    st.one_of(
        st.builds(element, st.sampled_from(TAGS), TEXTS.map(lambda text: [escape(text)])),
        TEXTS.map(escape),
    ),
    lambda inner: st.one_of(
        st.lists(inner.map(lambda value: f"<value>{value}</value>"), max_size=3).map(
            lambda values: f"<array><data>{''.join(values)}</data></array>"
        ),
        st.builds(
            lambda name, value: (
                f"<struct><member><name>{escape(name)}</name><value>{value}</value></member></struct>"
            ),
            st.sampled_from(["methodName", "params", "x"]),
            inner,
        ),
    ),
    max_leaves=4,
)


def call(method: str, values: list[str]) -> str:
    params = "".join(f"<param><value>{value}</value></param>" for value in values)
    return f"<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"


CALLS = st.builds(call, st.sampled_from(METHOD_NAMES), st.lists(VALUES, max_size=3))
BODIES = st.one_of(
    CALLS.map(str.encode),
    XML.map(str.encode),
    st.binary(max_size=100),
    st.sampled_from([b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"5;x\r\nhel", b" " * 5000]),
    st.sampled_from([b"action=start&processname=cat", b"action=%zz&action", b"{}", b"[" * 5000]),
)


def message(method: str, target: str, version: str, headers: list[str], body: bytes) -> bytes:
    head = "\r\n".join([f"{method} {target} {version}", *headers, "", ""])
    return head.encode("latin-1") + body


def counted(target: str, body: bytes) -> bytes:
    return message("POST", target, "HTTP/1.1", [f"Content-Length: {len(body)}"], body)


MESSAGES = st.one_of(
    st.builds(
        message,
        st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "get", "", "G\x00T"]),
        st.sampled_from(TARGETS),
        st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.1 ", "", "x"]),
        st.lists(st.sampled_from(HEADERS), max_size=4),
        BODIES,
    ),
    st.builds(counted, st.sampled_from(TARGETS), BODIES),
    st.binary(max_size=60),
)


@st.composite
def pieces(draw: st.DrawFn) -> list[bytes]:
    """A few messages, cut at any places, one byte of them perhaps another."""
    data = bytearray(b"".join(draw(st.lists(MESSAGES, min_size=1, max_size=4))))
    if data and draw(st.booleans()):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=5)))
    return [
        bytes(data[start:end]) for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)
    ]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("fuzz") / "x.log"
    path.write_bytes(b"0123456789\xff\x1b[31m\n" * 20)
    return str(path)


@given(pieces())
def test_any_bytes(log: str, sent: list[bytes]) -> None:
    run(log, sent, SERVER)


@given(pieces())
def test_any_bytes_to_a_locked_door(log: str, sent: list[bytes]) -> None:
    run(log, sent, LOCKED)


@given(st.lists(st.one_of(CALLS, XML), min_size=1, max_size=3))
def test_any_calls(log: str, calls: list[str]) -> None:
    """Only documented faults."""
    sent = [counted("/RPC2", text.encode()) for text in calls]
    answered = run(log, sent)
    assert answered.count(b"HTTP/1.1 ") >= 1


@pytest.mark.parametrize(("name", "method"), NAMED, ids=[name for name, _ in NAMED])
def test_odd_arguments_of_each_method(log: str, name: str, method: Method) -> None:
    """The fake supervisor has all that methods use: fuzzing meets no gap of it by chance."""
    sent = [counted("/RPC2", exact_call(name, values)) for values in odd_arguments(method)]
    answered = run(log, sent)
    assert answered.count(b"HTTP/1.1 200 ") == len(sent)
