"""XML-RPC as bytes: a request body to a call, a result or fault to a response body.

Decoding is as lenient as clients need (interfaces.md 2.2) and strict where leniency is dangerous:
no DTDs, bounded depth. Encoding gives the byte layout of CPython's serialiser (2.1), because some
clients match text. Knows nothing of methods, of HTTP or of how large a body may be.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any

from trio_supervisor.core.numbers import whole_number

Value = None | bool | int | float | str | datetime | list["Value"] | dict[str, "Value"]

#: Nesting of elements beyond which a body is refused; real calls stay below 15.
MAX_DEPTH = 64


#: Elements beyond which a body is refused: a system.multicall of 15,000 calls has as many. They are
#: parsed in about half a second.
MAX_ELEMENTS = 200_000
#: Characters of an error that are shown: some quote the value, which may be megabytes long.
SHOWN = 200


class MalformedCall(ValueError):
    """The body is not an XML-RPC call."""


@dataclass(frozen=True, slots=True)
class MethodCall:
    method: str
    params: list[Value]


def decode_call(body: bytes) -> MethodCall:
    """Parse a request body. Raises MalformedCall."""
    # Slow to import (technique.md 7), and not needed before the first call.
    from xml.etree.ElementTree import ParseError

    from defusedxml.ElementTree import DefusedXMLParser

    calls = _CallBuilder()
    # Whatever encoding the XML declaration names, the body is UTF-8 (W46 to W48).
    parser = DefusedXMLParser(target=calls, encoding="utf-8", forbid_dtd=True)
    mistake = ""
    if b"\0" in body:  # or expat would recognise UTF-16 (W47)
        raise MalformedCall("not an XML-RPC call: not UTF-8 text")
    try:
        parser.feed(body.decode("utf-8-sig").encode())
        parser.close()
    except (ParseError, ValueError) as error:  # ValueError: not UTF-8, a DTD, or a bad value
        mistake = str(error)[:SHOWN]
        _forget_frames(error)
    finally:
        vars(parser).clear()  # it and its handlers refer to each other
    # Raised here, without its cause: what is in cycles keeps a body of megabytes in memory until
    # the garbage collector runs.
    if mistake or not calls.method:
        raise MalformedCall(f"not an XML-RPC call: {mistake or 'no method name'}")
    return MethodCall(calls.method, calls.params)


def _forget_frames(error: BaseException | None) -> None:
    """Cut the cycles of an exception and frames that have it as a variable, as the parser's do."""
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


@dataclass(slots=True)
class _Element:
    """An open element: its text and the values that its children turned out to be."""

    tag: str
    text: list[str] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)


class _CallBuilder:
    """Parser target that turns each element into a value when it closes.

    Bottom-up and careless about structure, as clients have come to rely on (2.2): the root's name
    is not checked, the last methodName and the last params count.
    """

    def __init__(self) -> None:
        self.method = ""
        self.params: list[Value] = []
        self._open: list[_Element] = []
        self._elements = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise MalformedCall(f"nested deeper than {MAX_DEPTH}")
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise MalformedCall(f"more than {MAX_ELEMENTS} elements")
        self._open.append(_Element(tag))

    def data(self, text: str) -> None:
        self._open[-1].text.append(text)

    def end(self, tag: str) -> None:
        element = self._open.pop()
        text = "".join(element.text)
        if tag == "methodName":
            self.method = text
        elif tag == "params":
            self.params = element.values
        elif self._open:
            value = _VALUES[tag](text, element.values) if tag in _VALUES else text
            self._open[-1].values.append(value)

    def close(self) -> None:
        """Part of the protocol between parser and target."""


def _boolean(text: str, values: list[Value]) -> Value:
    return text == "1"  # the word "true" is false (Q34)


def _integer(text: str, values: list[Value]) -> Value:
    return whole_number(text)


def _double(text: str, values: list[Value]) -> Value:
    return float(text)


def _date(text: str, values: list[Value]) -> Value:
    return datetime.strptime(text.strip(), "%Y%m%dT%H:%M:%S")


def _base64(text: str, values: list[Value]) -> Value:
    return binascii.a2b_base64(text).decode()


def _nil(text: str, values: list[Value]) -> Value:
    return None


def _only(text: str, values: list[Value]) -> Value:
    """What the one child was; without one, the text (an untyped value is a string)."""
    return values[-1] if values else text


def _array(text: str, values: list[Value]) -> Value:
    if len(values) != 1 or not isinstance(values[0], list):
        raise MalformedCall("an array needs one data element")
    return values[0]


def _data(text: str, values: list[Value]) -> Value:
    return values


def _member(text: str, values: list[Value]) -> Value:
    match values:
        case [str(name), value]:
            return {name: value}
    raise MalformedCall("a struct member needs a name and a value")


def _struct(text: str, values: list[Value]) -> Value:
    struct: dict[str, Value] = {}
    for member in values:
        if not isinstance(member, dict):
            raise MalformedCall("a struct consists of members")
        struct.update(member)
    return struct


#: How each element's text and children become its value; any other element is its text (Q35).
_VALUES: dict[str, Callable[[str, list[Value]], Value]] = {
    "array": _array,
    "base64": _base64,
    "boolean": _boolean,
    "data": _data,
    "dateTime.iso8601": _date,
    "double": _double,
    "i4": _integer,
    "i8": _integer,
    "int": _integer,
    "member": _member,
    "nil": _nil,
    "param": _only,
    "struct": _struct,
    "value": _only,
}


#: Bytes of the elements around a value.
ELEMENT = 40
_BEFORE = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n"
_AFTER = "</param>\n</params>\n</methodResponse>\n"


def encode_response(value: Value) -> bytes:
    """The body of a good answer. Raises TypeError for a value XML-RPC has no element for."""
    # An answer may be megabytes long: joined once, and made of pieces, between which a thread lets
    # other threads run.
    return b"".join([piece.encode() for piece in (_BEFORE, *_pieces(value), _AFTER)])


def rough_size(value: Value, enough: float = math.inf) -> int:
    """About how many bytes a value takes in an answer; counting stops at ``enough``."""
    if isinstance(value, str):
        return ELEMENT + len(value)
    if not isinstance(value, (list, dict)):
        return ELEMENT
    size = ELEMENT
    for item in value.values() if isinstance(value, dict) else value:
        size += rough_size(item, enough - size)
        if size >= enough:
            break
    return size


def encode_fault(code: int, text: str) -> bytes:
    """The body of an answer that is a fault."""
    fault = _encode({"faultCode": int(code), "faultString": text})
    return (
        f"<?xml version='1.0'?>\n<methodResponse>\n<fault>\n{fault}</fault>\n</methodResponse>\n"
    ).encode()


#: Markup, the carriage return that parsers would turn into a newline, and everything that XML 1.0
#: forbids even as a character reference (2.3).
_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;"))
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile(f"[{''.join(special for special, _ in _ESCAPES)}]|{_FORBIDDEN.pattern}")
REPLACEMENT = "\ufffd"
#: Characters that are escaped at once: in some milliseconds, whatever they are.
PIECE = 32 * 1024


def _escape(text: str) -> str:
    # No function of ours is called for a character: a log may consist of special ones.
    for special, reference in _ESCAPES:
        text = text.replace(special, reference)
    return _FORBIDDEN.sub(REPLACEMENT, text)


#: ``<int>`` has 32 bits: clients with a strict decoder fail on a whole answer with a larger one.
LARGEST_INTEGER = 2**31 - 1
SMALLEST_INTEGER = -(2**31)

#: For ``%`` formatting; ints are within LARGEST_INTEGER.
_SCALARS: dict[type, str] = {
    bool: "<value><boolean>%d</boolean></value>\n",
    int: "<value><int>%d</int></value>\n",
    float: "<value><double>%r</double></value>\n",
    str: "<value><string>%s</string></value>\n",
}


@dataclass(frozen=True, slots=True)
class _Template:
    """How structs of one shape are written."""

    text: str
    """For ``%`` with all values."""
    strings: Callable[[tuple[Value, ...]], Collection[str]]
    """Of all values those that may need escaping."""
    integers: Callable[[tuple[Value, ...]], Collection[int]]


#: By keys and types of a struct: with a thousand equal shapes in one answer this is four times as
#: fast as walking each (technique.md 7).
_templates: dict[tuple[tuple[str, ...], tuple[type, ...]], _Template] = {}
#: Strings that were looked at and need no escaping: names and paths are sent again and again.
_plain: set[str] = set()
#: Those of some thousand processes, and the characters of the longest that is kept: 2 MiB at most.
MAX_PLAIN = 8192
LONGEST_PLAIN = 256
#: Our own methods have a dozen shapes; more can only come from extensions with keys of data.
MAX_TEMPLATES = 256


def _encode(value: Value) -> str:
    if isinstance(value, str):
        return f"<value><string>{_escape(value)}</string></value>\n"
    if isinstance(value, dict):
        return _encode_struct(value)
    if isinstance(value, list):
        return "".join(_pieces(value))
    if isinstance(value, int) and not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        value = _double_of(value)
    template = _SCALARS.get(type(value))
    if template is None:
        raise TypeError(f"cannot send {value!r} by XML-RPC")
    return template % value


def _double_of(number: int) -> float:
    """The nearest double, which holds every number of bytes and is read by every client."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _pieces(value: Value) -> Iterator[str]:
    """The text of a value in pieces."""
    if isinstance(value, list):
        yield "<value><array><data>\n"
        for item in value:
            yield from _pieces(item)
        yield "</data></array></value>\n"
    elif isinstance(value, str) and len(value) > PIECE:
        yield "<value><string>"
        for start in range(0, len(value), PIECE):
            yield _escape(value[start : start + PIECE])
        yield "</string></value>\n"
    else:
        yield _encode(value)


def _encode_struct(struct: dict[str, Value]) -> str:
    values = tuple(struct.values())
    shape = (tuple(struct), tuple(map(type, values)))
    template = _templates.get(shape)
    if template is None:
        if not _SCALARS.keys() >= set(shape[1]):
            return _encode_nested(struct)
        if len(_templates) >= MAX_TEMPLATES:
            _templates.clear()
        template = _templates[shape] = _struct_template(*shape)
    integers = template.integers(values)
    if integers and not SMALLEST_INTEGER <= min(integers) <= max(integers) <= LARGEST_INTEGER:
        return _encode_nested(struct)
    strings = template.strings(values)
    if not _plain.issuperset(strings) and not _all_plain(strings):
        values = tuple([_escape(value) if isinstance(value, str) else value for value in values])
    return template.text % values


def _all_plain(strings: Collection[str]) -> bool:
    """Whether nothing is to be escaped, as hardly ever is: one look at all text together."""
    if _SPECIAL.search("".join(strings)):
        return False
    if len(_plain) > MAX_PLAIN:
        _plain.clear()
    _plain.update([text for text in strings if len(text) <= LONGEST_PLAIN])
    return True


def _encode_nested(struct: dict[str, Value]) -> str:
    members = "".join(
        f"<member>\n<name>{_escape(name)}</name>\n{_encode(value)}</member>\n"
        for name, value in struct.items()
    )
    return f"<value><struct>\n{members}</struct></value>\n"


def _struct_template(names: tuple[str, ...], types: tuple[type, ...]) -> _Template:
    members = []
    for name, kind in zip(names, types, strict=True):
        literal = _escape(name).replace("%", "%%")
        members.append(f"<member>\n<name>{literal}</name>\n{_SCALARS[kind]}</member>\n")
    text = f"<value><struct>\n{''.join(members)}</struct></value>\n"
    return _Template(text, _getter(str, types), _getter(int, types))


def _getter(kind: type, types: tuple[type, ...]) -> Callable[[tuple[Value, ...]], Any]:
    """Takes the values of one type out of a struct's values."""
    places = [place for place, found in enumerate(types) if found is kind]
    if len(places) > 1:
        return itemgetter(*places)
    # Of one place an itemgetter would give the value itself.
    return lambda values: tuple([values[place] for place in places])
