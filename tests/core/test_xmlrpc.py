"""XML-RPC bodies: decoding rules and the byte layout of answers."""

from __future__ import annotations

import sys
import xmlrpc.client
from datetime import datetime
from types import FrameType

import pytest
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.core.xmlrpc import (
    ELEMENT,
    MAX_DEPTH,
    MAX_ELEMENTS,
    PIECE,
    MalformedCall,
    MethodCall,
    Value,
    decode_call,
    encode_fault,
    encode_response,
    rough_size,
)


def call_body(value: str) -> bytes:
    return (
        "<methodCall><methodName>m</methodName><params><param>"
        f"{value}</param></params></methodCall>"
    ).encode()


@pytest.mark.behaviour(
    "http.md#types-of-parameters", "http.md#names-of-processes", "http.md#wrong-parameters"
)
@pytest.mark.parametrize(
    ("xml", "value"),
    [
        ("<value><int> 0 </int></value>", 0),
        pytest.param("<value><i4>-7</i4></value>", -7, id="i4"),
        pytest.param("<value><i8>5000000000</i8></value>", 5_000_000_000, id="i8"),
        ("<value><double>10.9</double></value>", 10.9),
        pytest.param("<value><boolean>1</boolean></value>", True, id="boolean-1"),
        ("<value><boolean>true</boolean></value>", False),
        pytest.param("<value><string>a b</string></value>", "a b", id="string"),
        ("<value>zz</value>", "zz"),
        ("<value/>", ""),
        pytest.param("<value><string/></value>", "", id="empty-string"),
        pytest.param("<value>\n <string>x</string>\n</value>", "x", id="blanks-around-type"),
        ("<value><nil/></value>", None),
        pytest.param("<value><base64>Y2F0\n</base64></value>", "cat", id="base64"),
        pytest.param("<value><foo>cat</foo></value>", "cat", id="type"),
        pytest.param(
            "<value><dateTime.iso8601>20240229T01:02:03</dateTime.iso8601></value>",
            datetime(2024, 2, 29, 1, 2, 3),
            id="date",
        ),
        pytest.param("<value><array><data/></array></value>", [], id="empty-array"),
        pytest.param("<value><struct/></value>", {}, id="empty-struct"),
        pytest.param(
            "<value><struct><member><name>a</name><value><array><data><value>1</value>"
            "<value><int>2</int></value></data></array></value></member></struct></value>",
            {"a": ["1", 2]},
            id="nested",
        ),
    ],
)
def test_decoded_values(xml: str, value: Value) -> None:
    """Unknown types are strings."""
    decoded = decode_call(call_body(xml)).params
    assert decoded == [value]
    assert type(decoded[0]) is type(value)


@pytest.mark.behaviour("http.md#bodies", "http.md#calls-that-are-not-well-formed")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b" ",
        pytest.param(b"<foo/>", id="name"),
        pytest.param(b"<methodCall><methodName/></methodCall>", id="name"),
        b"<methodCall><methodName>a</methodName></methodCall>x",
        call_body("<value><int>x</int></value>"),
        call_body("<value><dateTime.iso8601>soon</dateTime.iso8601></value>"),
        pytest.param(call_body("<value><base64>a</base64></value>"), id="bad-base64"),
        pytest.param(call_body("<value><ex:nil/></value>"), id="undeclared-prefix"),
        pytest.param(call_body("<value><array/></value>"), id="array-without-data"),
        pytest.param(call_body("<value><struct><member/></struct></value>"), id="bare-member"),
        pytest.param(call_body("<value><struct><x/></struct></value>"), id="no-member"),
        pytest.param(call_body("<value>é</value>").decode().encode("latin-1"), id="1"),
        pytest.param(call_body("<value/>").decode().encode("utf-16"), id="16"),
        pytest.param(call_body("<value/>").decode().encode("utf-16-le"), id="bom"),
        b'<!DOCTYPE m [<!ENTITY e "m">]><methodCall><methodName>&e;</methodName></methodCall>',
        b'<!DOCTYPE m [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        b"<methodCall><methodName>&e;</methodName></methodCall>",
        pytest.param(b'<!DOCTYPE m SYSTEM "http://127.0.0.1/x"><m/>', id="external-dtd"),
        pytest.param(call_body("<value>&nope;</value>"), id="undefined-entity"),
        pytest.param(call_body("<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH), id="depth"),
        pytest.param(call_body("<a/>" * MAX_ELEMENTS), id="elements"),
    ],
)
def test_malformed_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedCall):
        decode_call(body)


@pytest.mark.behaviour("http.md#bodies")
@pytest.mark.parametrize(
    "dtd",
    [
        "<!DOCTYPE m>",
        '<!DOCTYPE m [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>',
        '<!DOCTYPE m SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE m PUBLIC "-//W3C//DTD XHTML 1.0//EN" "http://127.0.0.1/x">',
        '<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE m [<!ENTITY % a SYSTEM "http://127.0.0.1/">%a;]>',
        '<!DOCTYPE m [<!NOTATION n SYSTEM "n"><!ENTITY a SYSTEM "a" NDATA n>]>',
    ],
)
def test_what_defusedxml_refuses_is_refused_with_its_words(dtd: str) -> None:
    body = f"{dtd}<m><methodName>a</methodName></m>".encode()
    with pytest.raises(DefusedXmlException) as reference:
        DefusedXMLParser(forbid_dtd=True).feed(body)
    with pytest.raises(MalformedCall) as refused:
        decode_call(body)
    assert str(refused.value) == f"not an XML-RPC call: {reference.value}"


@pytest.mark.behaviour("http.md#form-of-a-call", "http.md#unknown-methods")
def test_structure_is_not_checked() -> None:
    assert decode_call(b"<x><methodName>a</methodName></x>") == MethodCall("a", [])
    twice = b"<x><methodName>a</methodName><methodName>b</methodName></x>"
    assert decode_call(twice).method == "b"
    assert decode_call(b"<x><methodName> a </methodName></x>").method == " a "


@pytest.mark.behaviour("http.md#form-of-a-call")
@pytest.mark.parametrize(
    "prefix",
    [
        b'<?xml version="1.0" encoding="ISO-8859-1"?>',
        b"\xef\xbb\xbf",
        b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-16"?>',
    ],
)
def test_a_body_is_utf8_whatever_it_says(prefix: bytes) -> None:
    assert decode_call(prefix + call_body("<value>é€</value>")).params == ["é€"]


def test_nesting_up_to_the_limit_is_served() -> None:
    arrays = 15  # each is three elements deep, in a param in params in the call
    xml = "<value><array><data>" * arrays + "</data></array></value>" * arrays
    assert decode_call(call_body(xml)).params == [_nest(arrays)]


def _nest(depth: int) -> Value:
    return [_nest(depth - 1)] if depth > 1 else []


#: Text that a parser gives back unchanged without our help.
plain = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
small = st.integers(-(2**31), 2**31 - 1)
scalars = st.booleans() | small | st.floats(allow_nan=False) | plain
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(values, max_size=3))
def test_calls_of_the_standard_client_are_understood(params: list[Value]) -> None:
    body = xmlrpc.client.dumps(tuple(params), "supervisor.x", encoding="utf-8")
    assert decode_call(body.encode()) == MethodCall("supervisor.x", params)


@given(values)
def test_answers_are_those_of_the_standard_serialiser(value: Value) -> None:
    expected = xmlrpc.client.dumps((value,), methodresponse=True)
    assert encode_response(value).decode() == expected


@pytest.mark.behaviour("http.md#text-that-xml-cannot-carry", "http.md#integers-beyond-32-bits")
@given(st.text())
def test_any_text_reaches_the_client(text: str) -> None:
    """What XML forbids is replaced, a carriage return survives."""
    ((received,), _) = xmlrpc.client.loads(encode_response(text).decode())
    assert isinstance(received, str)
    assert len(received) == len(text)
    for sent, got in zip(text, received, strict=True):
        assert got in (sent, "\ufffd")
    assert received.count("\r") == text.count("\r")


@pytest.mark.behaviour("http.md#text-that-xml-cannot-carry")
@pytest.mark.parametrize(
    ("text", "xml"),
    [
        ("\x1b[31m\x00", "\ufffd[31m\ufffd"),
        ("a\r\nb", "a&#13;\nb"),
        pytest.param("\udcff\ufffe", "\ufffd\ufffd", id="surrogate"),
        pytest.param("<&>\"'\t", "&lt;&amp;&gt;\"'\t", id="markup"),
    ],
)
def test_special_characters(text: str, xml: str) -> None:
    assert f"<string>{xml}</string>" in encode_response(text).decode()
    assert f"<name>{xml}</name>" in encode_response({text: 1}).decode()
    assert f"<name>{xml}</name>" in encode_response({text: [1]}).decode()


def test_long_texts_are_escaped_in_pieces() -> None:
    text = "<\x01&é" * PIECE
    expected = "&lt;\ufffd&amp;é" * PIECE
    assert f"<string>{expected}</string>".encode() in encode_response(text)
    assert f"<string>{expected}</string>".encode() in encode_response(["a", [text, 1]])


@pytest.mark.parametrize("special", "&\r\x01\ud800")
def test_a_text_of_special_characters_is_escaped_without_a_call_for_each(special: str) -> None:
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        encode_response(special * PIECE * 4)
    finally:
        sys.setprofile(None)
    assert calls < 200


def test_the_rough_size_of_a_value() -> None:
    value: Value = ["a" * 1000, {"b": "c" * 2000, "d": [1, 2.0, True]}]
    assert 3000 < rough_size(value) < 3000 + 10 * ELEMENT
    assert 1000 < rough_size([value, value], 1000) < 2000
    assert rough_size([["a"] * 10] * 10) > 100 * ELEMENT
    assert rough_size([1] * 10_000_000, 100) < 100 + 2 * ELEMENT


def test_response_layout() -> None:
    assert encode_response("3.0") == (
        b"<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n"
        b"<value><string>3.0</string></value>\n</param>\n</params>\n</methodResponse>\n"
    )


def test_fault_layout() -> None:
    assert encode_fault(10, "BAD_NAME: zz") == (
        b"<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n"
        b"<name>faultCode</name>\n<value><int>10</int></value>\n</member>\n<member>\n"
        b"<name>faultString</name>\n<value><string>BAD_NAME: zz</string></value>\n</member>\n"
        b"</struct></value>\n</fault>\n</methodResponse>\n"
    )


@pytest.mark.behaviour("http.md#integers-beyond-32-bits")
def test_integers_beyond_32_bits_are_doubles() -> None:
    assert b"<int>2147483647</int>" in encode_response([2147483647])
    assert b"<double>3221225472.0</double>" in encode_response([3221225472])
    assert b"<double>-3221225472.0</double>" in encode_response({"n": -3221225472})
    assert b"<int>1</int>" in encode_response({"n": 1})
    mixed = encode_response({"a": 1, "b": "<", "c": 2**40})
    assert b"<int>1</int>" in mixed
    assert b"<string>&lt;</string>" in mixed
    assert b"<double>1099511627776.0</double>" in mixed
    assert b"<double>inf</double>" in encode_response([10**400])


def test_percent_signs_in_names_and_values() -> None:
    ((value,), _) = xmlrpc.client.loads(encode_response({"100%s": "%d"}).decode())
    assert value == {"100%s": "%d"}


def test_what_has_no_element_is_an_error() -> None:
    without: list[Value] = [None, datetime(2024, 1, 1), [None], {"x": None}]
    for value in without:
        with pytest.raises(TypeError):
            encode_response(value)


def test_structs_of_many_shapes() -> None:
    for number in range(600):
        name = f"key{number}"
        assert f"<name>{name}</name>".encode() in encode_response({name: number})
