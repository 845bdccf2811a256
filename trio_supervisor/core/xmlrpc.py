"""XML-RPC encoding: decodes calls, encodes results and faults.

Decoding is as lenient as existing clients need, and strict where leniency is dangerous: no DTDs,
bounded depth. Encoding produces the bytes that CPython's serialiser produces, because some clients
match text. Methods, HTTP and the size of bodies are dealt with elsewhere.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import field
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.numbers import whole_number

if TYPE_CHECKING:
    from datetime import datetime

Value: TypeAlias = "bool | int | float | str | datetime | list[Value] | dict[str, Value] | None"

#: Depth of nested elements beyond which a body is refused; real calls stay below 15.
MAX_DEPTH = 64
#: Elements beyond which a body is refused: about as many as a system.multicall of 15,000 calls has,
#: which is parsed in half a second.
MAX_ELEMENTS = 200_000
#: Characters of an error that are shown. Some errors quote a value, which may have megabytes.
SHOWN = 200


class MalformedCall(ValueError):
    """The body is not an XML-RPC call."""


@dataclass(frozen=True, slots=True)
class MethodCall:
    """A decoded request."""

    method: str
    params: list[Value]


def decode_call(body: bytes) -> MethodCall:
    """Parse a request body. Raises MalformedCall."""
    # Not needed before the first call. The parsers of defusedxml load ElementTree twice: 0.6 MiB.
    from xml.parsers import expat

    from defusedxml.common import DTDForbidden

    def refuse(name: str, system: str | None, public: str | None, internal: bool) -> NoReturn:
        raise DTDForbidden(name, system, public)

    calls = _CallBuilder()
    # Clients name wrong encodings in the XML declaration; Supervisor reads every body as UTF-8.
    parser = expat.ParserCreate("utf-8", "}")
    parser.buffer_text = True
    parser.StartElementHandler = calls.start
    parser.CharacterDataHandler = calls.data
    parser.EndElementHandler = calls.end
    parser.StartDoctypeDeclHandler = refuse  # without which there are no entities
    mistake = ""
    if b"\0" in body:  # or expat would detect UTF-16
        raise MalformedCall("not an XML-RPC call: not UTF-8 text")
    try:
        parser.Parse(body.decode("utf-8-sig").encode(), True)
    except (expat.ExpatError, ValueError) as error:  # ValueError: not UTF-8, a DTD, a bad value
        mistake = str(error)[:SHOWN]
        _forget_frames(error)
    # Raised here, without its cause: a reference cycle would keep a body of megabytes in memory
    # until the garbage collector runs.
    if mistake or not calls.method:
        raise MalformedCall(f"not an XML-RPC call: {mistake or 'no method name'}")
    return MethodCall(calls.method, calls.params)


def _forget_frames(error: BaseException | None) -> None:
    """Break the reference cycles of an exception and the frames that have it as a variable."""
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


@dataclass(slots=True)
class _Element:
    """An open element: its text, and the values of its closed children."""

    tag: str
    text: list[str] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)


class _CallBuilder:
    """Parser target that turns each element into a value when it closes.

    As clients rely on it, the structure is not checked: the root may have any name, and the last
    methodName and the last params count.
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


def _boolean(text: str, values: list[Value]) -> Value:
    return text == "1"  # only 1: Supervisor reads the word "true" as false


def _integer(text: str, values: list[Value]) -> Value:
    return whole_number(text)


def _double(text: str, values: list[Value]) -> Value:
    return float(text)


def _date(text: str, values: list[Value]) -> Value:
    from datetime import datetime  # few calls have a date

    return datetime.strptime(text.strip(), "%Y%m%dT%H:%M:%S")


def _base64(text: str, values: list[Value]) -> Value:
    return binascii.a2b_base64(text).decode()


def _nil(text: str, values: list[Value]) -> Value:
    return None


def _only(text: str, values: list[Value]) -> Value:
    """Return the value of the child; the text if there is none: an untyped value is a string."""
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


#: Functions that make the value of an element of its text and children. The value of any other
#: element is its text.
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


#: Bytes of the tags around a value.
ELEMENT = 40
_BEFORE = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n"
_AFTER = "</param>\n</params>\n</methodResponse>\n"


def encode_response(value: Value) -> bytes:
    """Encode the body of a successful response.

    Raises TypeError for a value that XML-RPC has no element for.
    """
    # A response may have megabytes: other threads run between its pieces, which are not kept.
    body = bytearray()
    for piece in chain((_BEFORE,), _pieces(value), (_AFTER,)):
        body += piece.encode()
    return bytes(body)


def rough_size(value: Value, enough: float = math.inf) -> int:
    """Estimate the bytes of a value in a response. Counting stops at ``enough``."""
    if isinstance(value, str):
        return ELEMENT + len(value)
    if not isinstance(value, (list, dict)):
        return ELEMENT
    size = ELEMENT
    for item in value.values() if isinstance(value, dict) else value:
        # Most are texts, and for those no further call is made.
        size += ELEMENT + len(item) if type(item) is str else rough_size(item, enough - size)
        if size >= enough:
            break
    return size


def encode_fault(code: int, text: str) -> bytes:
    """Encode the body of a response that is a fault."""
    fault = _encode({"faultCode": int(code), "faultString": text})
    return (
        f"<?xml version='1.0'?>\n<methodResponse>\n<fault>\n{fault}</fault>\n</methodResponse>\n"
    ).encode()


#: Markup, the carriage return, which parsers would turn into a newline, and all characters that XML
#: 1.0 forbids even as a character reference.
_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;"))
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile(f"[{''.join(special for special, _ in _ESCAPES)}]|{_FORBIDDEN.pattern}")
REPLACEMENT = "\ufffd"
#: Characters that are escaped at once, which takes some milliseconds at most.
PIECE = 32 * 1024


def _escape(text: str) -> str:
    # No Python function is called for a character: a log may consist of special ones.
    for special, reference in _ESCAPES:
        text = text.replace(special, reference)
    return _FORBIDDEN.sub(REPLACEMENT, text)


#: ``<int>`` has 32 bits. A client with a strict decoder rejects a whole response with a larger one.
LARGEST_INTEGER = 2**31 - 1
SMALLEST_INTEGER = -(2**31)

#: For ``%`` formatting; integers are within 32 bits.
_SCALARS: dict[type, str] = {
    bool: "<value><boolean>%d</boolean></value>\n",
    int: "<value><int>%d</int></value>\n",
    float: "<value><double>%r</double></value>\n",
    str: "<value><string>%s</string></value>\n",
}


@dataclass(frozen=True, slots=True)
class _Template:
    """The encoding of structs with the same keys and types."""

    text: str
    """Format for ``%``, with all values."""
    strings: Callable[[tuple[Value, ...]], Collection[str]]
    """Selects the values that may need escaping."""
    fits: Callable[[tuple[Value, ...]], bool]
    """Whether all integers are within 32 bits."""


#: By keys and types of a struct. With a thousand structs of the same keys in one response this is
#: four times as fast as encoding each value by itself.
_templates: dict[tuple[tuple[str, ...], tuple[type, ...]], _Template] = {}
#: Our own methods need a dozen. More can only come from plugins whose keys are data.
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
    """Return the nearest double: every client decodes it, and sizes in bytes are exact in it."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _pieces(value: Value) -> Iterator[str]:
    """Encode a value in pieces."""
    if isinstance(value, list):
        yield "<value><array><data>\n"
        for item in value:
            if isinstance(item, dict):  # as most are, and for those no generator is made
                yield _encode_struct(item)
            else:
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
    if not template.fits(values):
        return _encode_nested(struct)
    strings = template.strings(values)
    if _SPECIAL.search("".join(strings)):  # seldom: one search in all is faster than one in each
        values = tuple([_escape(value) if isinstance(value, str) else value for value in values])
    return template.text % values


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
    return _Template(text, _getter(_places(str, types)), _check(_places(int, types)))


def _places(kind: type, types: tuple[type, ...]) -> list[int]:
    """Return the places of the values of one type."""
    return [place for place, found in enumerate(types) if found is kind]


def _getter(places: list[int]) -> Callable[[tuple[Value, ...]], Any]:
    """Return a function that selects the values at some places."""
    if len(places) > 1:
        return itemgetter(*places)
    # With one place, an itemgetter would return the value and not a tuple.
    return lambda values: tuple([values[place] for place in places])


def _check(places: list[int]) -> Callable[[tuple[Any, ...]], bool]:
    """Return a function that tells whether the integers at some places are within 32 bits."""
    if not places:
        return lambda values: True
    if len(places) == 1:
        [only] = places
        return lambda values: SMALLEST_INTEGER <= values[only] <= LARGEST_INTEGER
    integers = itemgetter(*places)

    def fits(values: tuple[Any, ...]) -> bool:
        found = integers(values)
        return bool(SMALLEST_INTEGER <= min(found) <= max(found) <= LARGEST_INTEGER)

    return fits
