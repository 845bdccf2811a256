"""The client's XML-RPC codec, against the standard library's and against hostile input."""

from __future__ import annotations

import xmlrpc.client

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.cli.client import xml as client_xml
from trio_supervisor.cli.client.xml import BadAnswer, Fault, decode_answer, encode_call

# What XML 1.0 can carry and keeps as it is (a carriage return would come back as a line feed).
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"))
VALUES = st.recursive(
    TEXT | st.integers(-(2**31), 2**31 - 1) | st.booleans() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


def answer(value: str) -> bytes:
    return (
        f"<?xml version='1.0'?><methodResponse><params><param>{value}</param></params>"
        "</methodResponse>"
    ).encode()


@given(VALUES)
def test_answers_of_the_standard_library(value: object) -> None:
    text = xmlrpc.client.dumps((value,), methodresponse=True)  # type: ignore[arg-type]  # typed for fewer values than it takes
    assert decode_answer(text.encode()) == value


@given(TEXT, st.lists(TEXT | st.integers(-(2**31), 2**31 - 1) | st.booleans()))
def test_calls_as_the_standard_library_reads_them(method: str, params: list[str]) -> None:
    seen, name = xmlrpc.client.loads(encode_call(method, tuple(params)).decode())
    assert (list(seen), name) == (params, method)


def test_booleans_are_not_numbers() -> None:
    assert b"<boolean>1</boolean>" in encode_call("m", (True,))
    assert b"<int>1</int>" in encode_call("m", (1,))


def test_lone_surrogates_do_not_stop_a_call() -> None:
    assert b"<string>?</string>" in encode_call("m", ("\udcff",))


@pytest.mark.parametrize(
    ("xml", "value"),
    [
        ("<value>text</value>", "text"),
        ("<value></value>", ""),
        ("<value> a &lt; b </value>", " a < b "),
        ("<value><string/></value>", ""),
        ("<value><i4>-7</i4></value>", -7),
        ("<value><i8>5000000000</i8></value>", 5000000000),
        ("<value><double>5000000000.0</double></value>", 5000000000),
        ("<value><double>5.0</double></value>", 5.0),
        ("<value><nil/></value>", None),
        ("<value><base64>YWI=</base64></value>", b"ab"),
        ("<value><dateTime.iso8601>20260101T00</dateTime.iso8601></value>", "20260101T00"),
        (
            "<value>\n <array><data>\n <value>a</value> <value><int>1</int></value>"
            "</data></array>\n</value>",
            ["a", 1],
        ),
        ("<value><array><data/></array></value>", []),
        ("<value><struct/></value>", {}),
        (
            "<value><struct>\n<member><name>k</name>\n<value>v</value></member>"
            "<member><name>e</name><value></value></member></struct></value>",
            {"k": "v", "e": ""},
        ),
    ],
)
def test_forms(xml: str, value: object) -> None:
    assert decode_answer(answer(xml)) == value


def test_deep_nesting_is_no_recursion() -> None:
    depth = 20_000
    deep = "<value><array><data>" * depth + "</data></array></value>" * depth
    value = decode_answer(answer(deep))
    for _ in range(depth - 1):
        (value,) = value
    assert value == []


@pytest.mark.behaviour("client.md#limits-on-what-a-server-may-send")
@pytest.mark.parametrize(
    "xml",
    [
        "<value><array><data>" + "<value><i4>1</i4></value>" * 200,
        "<value><array><data>" + "<value/>" * 200,
        "<value><struct><member>" + "<name>a</name>" * 200,
    ],
)
def test_an_answer_of_too_many_values_is_refused(xml: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_xml, "MOST_VALUES", 100)
    with pytest.raises(BadAnswer, match="the answer has more than 100 values"):
        decode_answer(b"<methodResponse><params><param>" + xml.encode())


@pytest.mark.behaviour("client.md#limits-on-what-a-server-may-send")
@pytest.mark.parametrize("tag", ["array", "x"])
def test_an_answer_that_is_nested_too_deep_is_refused(
    tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_xml, "DEEPEST", 100)
    with pytest.raises(BadAnswer, match="nested more than 100 deep"):
        decode_answer(f"<{tag}>".encode() * 101)


def test_fault() -> None:
    text = xmlrpc.client.dumps(xmlrpc.client.Fault(92, "CANT_REREAD: 'x'"))
    with pytest.raises(Fault) as caught:
        decode_answer(text.encode())
    assert (caught.value.code, caught.value.text) == (92, "CANT_REREAD: 'x'")
    assert str(caught.value) == "<Fault 92: \"CANT_REREAD: 'x'\">"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"<methodResponse><params/></methodResponse>",
        b"<methodResponse><fault><value>1</value></fault></methodResponse>",
        answer("<value><int>many</int></value>"),
        answer("<value><struct><member><name>x</name></member></struct></value>"),
        answer("<value>\x1b</value>"),
        answer("<value>a</value><value>b</value>"),
        b"<!DOCTYPE x><methodResponse/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><methodResponse>&a;</methodResponse>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><methodResponse/>',
        "<?xml version='1.0' encoding='utf-8'?><a>\udcff</a>".encode("utf-8", "surrogateescape"),
    ],
)
def test_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        decode_answer(body)
