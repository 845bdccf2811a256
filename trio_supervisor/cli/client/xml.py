"""XML-RPC for the command-line client: encodes calls and decodes answers.

Uses expat alone, because importing xmlrpc.client takes longer than a whole run of the client.
Document type declarations and entities are refused, so that an answer cannot expand or refer to
anything outside.
"""

from __future__ import annotations

from xml.parsers import expat

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    #: What the client sends.
    Param = str | int | bool | float | Sequence[str]


#: The largest value of ``<int>``.
LARGEST_INTEGER = 2**31 - 1


#: Limit on values and names in an answer: as many as 50,000 processes have.
MOST_VALUES = 4_000_000
#: Limit on the nesting of elements, because expat needs memory for each level.
DEEPEST = 100_000


class Fault(Exception):
    """The daemon refused a call."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return f"<Fault {self.code}: {self.text!r}>"  # as in supervisorctl


class BadAnswer(Exception):
    """The answer is not valid XML-RPC."""


def encode_call(method: str, params: tuple[Param, ...]) -> bytes:
    """Return the body of a call. Numbers must be finite."""
    rows = "".join(f"<param><value>{_encoded(value)}</value></param>" for value in params)
    text = (
        "<?xml version='1.0'?>\n<methodCall>"
        f"<methodName>{_escaped(method)}</methodName><params>{rows}</params></methodCall>\n"
    )
    return text.encode("utf-8", "replace")


def decode_answer(body: bytes | bytearray) -> Any:
    """Return the value of an answer. Raises Fault, BadAnswer.

    The number of values is limited, because a value takes much more memory than its element: a
    hostile answer costs a few times its length.
    """
    return _AnswerBuilder().read(body)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _encoded(value: Param) -> str:
    if isinstance(value, bool):
        return f"<boolean>{value:d}</boolean>"
    if isinstance(value, int):
        return f"<int>{value}</int>"
    if isinstance(value, float):
        return f"<double>{value!r}</double>"
    if isinstance(value, dict):  # plugins call system.multicall
        members = "".join(
            f"<member><name>{_escaped(name)}</name><value>{_encoded(item)}</value></member>"
            for name, item in value.items()
        )
        return f"<struct>{members}</struct>"
    if not isinstance(value, str):
        items = "".join(f"<value>{_encoded(item)}</value>" for item in value)
        return f"<array><data>{items}</data></array>"
    return f"<string>{_escaped(value)}</string>"


def _nothing(text: str) -> None:
    return None


def _number(text: str) -> int | float:
    """Convert a double; whole numbers beyond 32 bits become integers."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) > LARGEST_INTEGER else number


def _bytes(text: str) -> bytes:
    # Imported here because our daemon sends none.
    from binascii import a2b_base64

    return a2b_base64(text)


_SCALARS: dict[str, Callable[[str], object]] = {
    "int": int,
    "i4": int,
    "i8": int,
    "boolean": lambda text: bool(int(text)),
    "double": _number,
    "string": str,
    "nil": _nothing,
    "base64": _bytes,
    "dateTime.iso8601": str,
}
_CONTAINERS = frozenset({"array", "struct"})


class _AnswerBuilder:
    """Builds the value with an explicit stack, so that deep nesting causes no RecursionError."""

    def __init__(self) -> None:
        self._open: list[list[Any]] = [[]]
        self._text: list[str] = []
        self._untyped = False
        """Inside ``<value>`` without a type element so far: its text is a string."""
        self._faulted = False
        self._count = 0
        self._depth = 0

    def read(self, body: bytes | bytearray) -> Any:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.StartDoctypeDeclHandler = _refuse
        parser.EntityDeclHandler = _refuse
        parser.UnparsedEntityDeclHandler = _refuse
        parser.ExternalEntityRefHandler = _refuse
        try:
            parser.Parse(body, True)
            (value,) = self._open[0]
            if self._faulted:
                raise Fault(value["faultCode"], value["faultString"])
        except expat.ExpatError as error:
            raise BadAnswer(str(error)) from None
        except (ValueError, KeyError, IndexError, TypeError):
            raise BadAnswer("the answer is not an XML-RPC answer") from None
        return value

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise BadAnswer(f"elements of the answer are nested more than {DEEPEST} deep")
        self._text.clear()
        if tag == "value":
            self._untyped = True
        elif tag in _CONTAINERS:
            self._untyped = False
            self._open.append([])
        elif tag in _SCALARS:
            self._untyped = False
        elif tag == "fault":
            self._faulted = True

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if tag in _SCALARS:
            self._add(_SCALARS[tag]("".join(self._text)))
        elif tag == "name" or (tag == "value" and self._untyped):
            self._add("".join(self._text))
        elif tag == "array":
            items = self._open.pop()
            self._add(items)
        elif tag == "struct":
            flat = self._open.pop()
            self._add(dict(zip(flat[::2], flat[1::2], strict=True)))
        if tag == "value":
            self._untyped = False

    def _add(self, value: object) -> None:
        self._count += 1
        if self._count > MOST_VALUES:
            raise BadAnswer(f"the answer has more than {MOST_VALUES} values")
        self._open[-1].append(value)


def _refuse(*declaration: object) -> NoReturn:
    raise BadAnswer("the answer declares a document type or entities, which is refused")
