"""The description of the state that is handed over at an upgrade, made from its classes."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import re
import sys
import typing
from typing import Any

from trio_supervisor.core.events import Event
from trio_supervisor.core.handover import versions
from trio_supervisor.core.handover.state import HandedState
from trio_supervisor.core.monotonic import MONOTONIC

HEAD = """\
# The state that is handed over

An [upgrade](upgrade.md) hands the state of the daemon to the next program as a JSON document in a
memory file. This page describes it, for people who write such a program or want to know what a new
version changes. It is made from the code.

This version writes format {format}. It goes on with states of format {oldest} or later; programs of
format {readable_by} or later can go on with the states that it writes.

The document has these members:

| member | type | meaning |
|---|---|---|
| `format` | integer | format of the program that wrote it |
| `readable_by` | integer | the oldest format whose programs can read it |
| `version` | text | version of that program |
| `time` | number | time of the kernel's monotonic clock at which it was written, in seconds |
| `state` | HandedState | see below |

A field that has its default value is left out. So a field that a program does not know is in use,
and the program refuses the state. Times of the monotonic clock are in seconds from `time`, negative
for the past. Bytes are texts with a character for each byte. An infinite number is `"inf"`. Where a
field may have one of several types, an object stands as `{{"Type": value}}`.
"""


def description() -> str:
    """The page in Markdown."""
    head = HEAD.format(
        format=versions.FORMAT, oldest=versions.OLDEST_READ, readable_by=versions.READABLE_BY
    )
    found: dict[type, None] = {}
    _collect(HandedState, found)
    classes = [cls for cls in found if dataclasses.is_dataclass(cls)]
    enums = sorted((cls for cls in found if issubclass(cls, enum.Enum)), key=lambda c: c.__name__)
    parts = [head, *map(_table, classes), "## Words and numbers\n", "| type | values |\n|---|---|"]
    rows = [f"| `{cls.__name__}` | {', '.join(f'`{m.value}`' for m in cls)} |" for cls in enums]
    return "\n".join([*parts, *rows]) + "\n"


def _collect(kind: Any, found: dict[type, None]) -> None:
    codec = versions.codec()
    if kind in codec._stand_ins or kind in found:
        return
    if kind is Event:
        for cls in codec._abstract[Event]:
            _collect(cls, found)
        return
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        found[kind] = None
    elif dataclasses.is_dataclass(kind) and isinstance(kind, type):
        found[kind] = None
        for inner in codec.fields(kind).values():
            _collect(inner, found)
    else:
        for inner in typing.get_args(kind):
            if not isinstance(inner, (str, list)):
                _collect(inner, found)


def _table(cls: Any) -> str:
    is_ours = cls.__module__ == HandedState.__module__  # others are explained where they belong
    texts = _texts(cls) if is_ours else {}
    rows = []
    for field in dataclasses.fields(cls):
        default = ""
        if field.default is not dataclasses.MISSING:
            default = _shown_default(field.default)
        kind = _name(versions.codec().fields(cls)[field.name]).replace("|", "\\|")
        text = re.sub(r"``(.*?)``", r"`\1`", texts.get(field.name, ""))
        rows.append(f"| `{field.name}` | {kind} | {default} |" + (f" {text} |" if is_ours else ""))
    doc = re.sub(r"``(.*?)``", r"`\1`", inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0])
    doc = " ".join(doc.split())
    lines = [f"## {cls.__name__}\n", *([f"{doc}\n"] if is_ours else [])]
    if rows:
        more = (" meaning |", "---|") if is_ours else ("", "")
        lines += [f"| field | type | default |{more[0]}", f"|---|---|---|{more[1]}", *rows]
    return "\n".join(lines) + "\n"


def _shown_default(value: object) -> str:
    if isinstance(value, enum.Enum):
        return f"`{value.value}`"
    if dataclasses.is_dataclass(value):
        return "all defaults"
    return f"`{value!r}`"


def _name(kind: Any) -> str:
    """A type in words."""
    if kind is type(None):
        return "null"
    if typing.get_origin(kind) is typing.Annotated:
        assert MONOTONIC in typing.get_args(kind)
        return "monotonic time"
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"array of {_name(arguments[0])}"
    if origin is tuple:
        return f"[{', '.join(map(_name, arguments))}]"
    if origin in (list, set, frozenset):
        return f"array of {_name(arguments[0])}"
    if origin is not None and "Mapping" in str(origin):
        key, value = arguments
        pairs = f"array of [{_name(key)}, {_name(value)}]"
        return f"object of {_name(value)}" if key is str else pairs
    if origin is not None and "Callable" in str(origin):
        return "(never handed over)"
    if arguments and origin is typing.Literal:
        return " | ".join(f"`{each}`" for each in arguments)
    if arguments:
        return " | ".join(map(_name, arguments))
    words = {bool: "true or false", int: "integer", float: "number", str: "text", bytes: "bytes"}
    return words.get(kind, str(kind.__name__))


def _texts(cls: type) -> dict[str, str]:
    """The texts below the fields of a class, and of those that it is derived from."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if each.__module__ not in sys.modules or each is object:
            continue
        [node] = ast.parse(inspect.cleandoc(inspect.getsource(each))).body
        assert isinstance(node, ast.ClassDef)
        for field, text in zip(node.body, node.body[1:], strict=False):
            is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                assert isinstance(text, ast.Expr)
                assert isinstance(text.value, ast.Constant)
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found
