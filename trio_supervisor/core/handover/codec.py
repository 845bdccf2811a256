"""Values of the model as plain data (JSON), by the types of their fields, and back.

Theory of operation
-------------------
The state of a daemon is made of values: dataclasses, enumerations, tuples, numbers, texts, bytes.
Their annotations say what they are made of, so there is one way to dump and load them all, and no
class needs code for it.

A field that has its default value is left out. So a version that does not know a field yet
understands a state in which nothing uses it, and refuses one in which something does: it could not
go on with that. A field that is missing gets its default.

===============================  ===============================================================
type                             plain data
===============================  ===============================================================
``bool``, ``int``, ``str``       itself
``float``                        a number, or ``"inf"`` and ``"-inf"``
``Monotonic``                    seconds from now
``bytes``                        a text with a character for each byte (latin-1)
enumeration                      its value
``tuple``, ``list``, ``set``     an array
mapping with texts as keys       an object
dataclass                        an object with the fields that do not have their defaults
one of several                   itself if it is plain; else ``{"Class": ...}`` with its class
===============================  ===============================================================
"""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from trio_supervisor.core.monotonic import MONOTONIC

#: Types whose values are their own plain data.
_PLAIN: tuple[type, ...] = (bool, int, str)
#: Names of the infinite numbers, which JSON does not have.
_INFINITE = {"inf": math.inf, "-inf": -math.inf}

Convert = Callable[[Any, float], Any]


class NotUnderstood(Exception):
    """Plain data that this version cannot make a value of; the text says what and where."""

    place = ""
    """The field that it is in."""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} (in {self.place})" if self.place else text


class NotPlain(Exception):
    """A value that has no plain data, such as a function."""


@dataclasses.dataclass(frozen=True)  # our own cannot be generic in older interpreters
class _Form:
    """How the values of one type are dumped and loaded; both get the present time."""

    dump: Convert
    load: Convert


class Codec:
    """Dumps and loads values of the types that are reached from some classes.

    ``names`` are the classes and aliases that annotations may name. ``abstract`` maps a class to
    the classes of its values, where these are derived from it. ``stand_ins`` are the values that
    are loaded for types whose values are not handed over.
    """

    def __init__(
        self,
        names: Mapping[str, Any],
        abstract: Mapping[type, tuple[type, ...]],
        stand_ins: Mapping[type, object],
    ) -> None:
        self._names = dict(names)
        self._stand_ins = stand_ins
        self._abstract = abstract
        self._forms: dict[Any, _Form] = {}

    def dump(self, value: Any, kind: Any, now: float) -> Any:
        """Return a value of the type ``kind`` as plain data; ``now`` is the monotonic time.

        Raises NotPlain.
        """
        return self._form(kind).dump(value, now)

    def load(self, data: Any, kind: Any, now: float) -> Any:
        """Make a value of the type ``kind``; ``now`` is the monotonic time at which it was dumped.

        Raises NotUnderstood.
        """
        return self._form(kind).load(data, now)

    def fields(self, cls: type) -> dict[str, Any]:
        """Return the types of the fields of a dataclass, by their names."""
        hints = typing.get_type_hints(cls, localns=self._names, include_extras=True)
        return {field.name: hints[field.name] for field in dataclasses.fields(cls)}

    def _form(self, kind: Any) -> _Form:
        form = self._forms.get(kind)
        if form is None:
            # First, because a type may contain itself.
            self._forms[kind] = _Form(
                lambda value, now: self._forms[kind].dump(value, now),
                lambda data, now: self._forms[kind].load(data, now),
            )
            form = self._forms[kind] = self._made(kind)
        return form

    def _made(self, kind: Any) -> _Form:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is typing.Annotated:
            return _MONOTONIC if MONOTONIC in arguments else self._form(arguments[0])
        if kind in self._stand_ins:
            stand_in = self._stand_ins[kind]
            return _Form(lambda value, now: None, lambda data, now: stand_in)
        if kind in self._abstract:
            return self._one_of(self._abstract[kind])
        if origin in (typing.Union, types.UnionType):
            return self._one_of(arguments)
        if origin is typing.Literal:
            return _literal(arguments)
        if origin is not None and issubclass(origin, Mapping):
            return self._mapping(*arguments)
        if origin is Callable:
            return _NO_FUNCTION
        if origin is tuple and arguments[-1] is not Ellipsis:
            return self._record(arguments)
        if origin is not None:
            return self._sequence(origin, arguments[0])
        return self._simple(kind)

    def _simple(self, kind: Any) -> _Form:
        if kind is None or kind is type(None):
            return _checked(type(None))
        if kind is float:
            return _FLOAT
        if kind is bytes:
            return _BYTES
        if kind in _PLAIN:
            return _checked(kind)
        if issubclass(kind, enum.Enum):
            return _enumeration(kind)
        if dataclasses.is_dataclass(kind):
            return self._dataclass(kind)
        raise TypeError(f"no plain data for {kind!r}")

    def _one_of(self, kinds: tuple[Any, ...]) -> _Form:
        """A union: plain values stand for themselves, others with the name of their class."""
        rest = tuple(kind for kind in kinds if kind is not type(None))
        optional = len(rest) < len(kinds)
        if len(rest) == 1 and rest[0] not in self._abstract:
            inner = self._form(rest[0])
            return _Form(
                lambda value, now: None if value is None else inner.dump(value, now),
                lambda data, now: None if data is None else inner.load(data, now),
            )
        rest = tuple(one for kind in rest for one in self._abstract.get(kind, (kind,)))
        named = {kind.__name__: kind for kind in rest if _is_named(kind)}
        plain = [kind for kind in rest if not _is_named(kind)]
        for kind in rest:  # an unknown type is found now, not when the first value comes
            self._form(kind)

        def dump(value: Any, now: float) -> Any:
            if value is None and optional:
                return None
            name = type(value).__name__
            if named.get(name) is type(value):
                return {name: self._form(type(value)).dump(value, now)}
            return self._form(_fitting(plain, value)).dump(value, now)

        def load(data: Any, now: float) -> Any:
            if data is None and optional:
                return None
            if isinstance(data, dict) and len(data) == 1:
                [(name, content)] = data.items()
                if name not in named:
                    raise NotUnderstood(f"{name!r} is unknown here")
                return self._form(named[name]).load(content, now)
            return self._form(_fitting(plain, data)).load(data, now)

        return _Form(dump, load)

    def _mapping(self, key: Any, content: Any) -> _Form:
        if key is not str:
            return self._pairs(key, content)
        inner = self._form(content)

        def load(data: Any, now: float) -> Any:
            return {
                name: _within(name, inner.load, value, now)
                for name, value in _expect(data, dict).items()
            }

        return _Form(
            lambda value, now: {name: inner.dump(each, now) for name, each in value.items()}, load
        )

    def _pairs(self, key: Any, content: Any) -> _Form:
        """A mapping whose keys are no texts: an array of pairs."""
        pairs = self._form(tuple[tuple[key, content], ...])
        return _Form(
            lambda value, now: pairs.dump(tuple(value.items()), now),
            lambda data, now: dict(pairs.load(data, now)),
        )

    def _record(self, kinds: tuple[Any, ...]) -> _Form:
        forms = [self._form(kind) for kind in kinds]

        def load(data: Any, now: float) -> Any:
            if len(_expect(data, list)) != len(forms):
                raise NotUnderstood(f"{len(data)} values instead of {len(forms)}")
            return tuple(form.load(each, now) for form, each in zip(forms, data, strict=True))

        return _Form(
            lambda value, now: [
                form.dump(each, now) for form, each in zip(forms, value, strict=True)
            ],
            load,
        )

    def _sequence(self, origin: Any, content: Any) -> _Form:
        inner = self._form(content)

        def load(data: Any, now: float) -> Any:
            return origin(
                _within(f"[{place}]", inner.load, each, now)
                for place, each in enumerate(_expect(data, list))
            )

        def dump(value: Any, now: float) -> Any:
            dumped = [inner.dump(each, now) for each in value]
            return dumped if isinstance(value, (tuple, list)) else sorted(dumped)

        return _Form(dump, load)

    def _dataclass(self, cls: Any) -> _Form:
        forms = {name: self._form(kind) for name, kind in self.fields(cls).items()}
        defaults = {field.name: _default(field) for field in dataclasses.fields(cls)}

        def dump(value: Any, now: float) -> Any:
            data = {}
            for name, form in forms.items():
                content, default = getattr(value, name), defaults[name]
                if content is default or (type(content) is type(default) and content == default):
                    continue
                try:
                    data[name] = form.dump(content, now)
                except NotPlain as error:
                    raise NotPlain(f"{cls.__name__}.{name}: {error}") from None
            return data

        def load(data: Any, now: float) -> Any:
            values = {}
            for name, content in _expect(data, dict).items():
                if name not in forms:
                    raise NotUnderstood(f"the field {name!r} of {cls.__name__} is unknown")
                values[name] = _within(f"{cls.__name__}.{name}", forms[name].load, content, now)
            for name, default in defaults.items():
                if default is dataclasses.MISSING and name not in values:
                    raise NotUnderstood(f"the field {name!r} of {cls.__name__} is missing")
            return cls(**values)

        return _Form(dump, load)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _is_named(kind: Any) -> bool:
    """Whether values of this type stand in a union with the name of their class."""
    return isinstance(kind, type) and (
        dataclasses.is_dataclass(kind) or issubclass(kind, enum.Enum)
    )


def _fitting(kinds: list[Any], value: Any) -> Any:
    """Choose the plain alternative of a union that a value belongs to."""
    if type(value) in kinds:
        return type(value)
    for kind in kinds:
        origin = typing.get_origin(kind) or kind
        if origin is tuple and isinstance(value, (tuple, list)):
            return kind
        if origin is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return kind
        if isinstance(origin, type) and isinstance(value, origin):
            return kind
    raise NotUnderstood(f"{value!r:.40} is none of {kinds}")


def _within(place: str, load: Convert, data: Any, now: float) -> Any:
    """Load a part, and name it if it is not understood."""
    try:
        return load(data, now)
    except NotUnderstood as error:
        error.place = error.place or place
        raise


def _expect(data: Any, kind: type) -> Any:
    if type(data) is not kind:
        raise NotUnderstood(f"{type(data).__name__} instead of {kind.__name__}")
    return data


def _checked(kind: type) -> _Form:
    return _Form(lambda value, now: value, lambda data, now: _expect(data, kind))


def _enumeration(kind: Any) -> _Form:
    def load(data: Any, now: float) -> Any:
        try:
            return kind(data)
        except ValueError:
            raise NotUnderstood(f"{data!r:.40} is no {kind.__name__}") from None

    return _Form(lambda value, now: value.value, load)


def _literal(values: tuple[Any, ...]) -> _Form:
    def load(data: Any, now: float) -> Any:
        if data not in values:
            raise NotUnderstood(f"{data!r:.40} is none of {values}")
        return data

    return _Form(lambda value, now: value, load)


def _dump_float(value: Any, now: float) -> Any:
    return value if math.isfinite(value) else str(float(value))


def _load_float(data: Any, now: float) -> Any:
    if isinstance(data, str) and data in _INFINITE:
        return _INFINITE[data]
    if isinstance(data, bool) or not isinstance(data, (int, float)):
        raise NotUnderstood(f"{data!r:.40} is no number")
    return data


def _load_bytes(data: Any, now: float) -> Any:
    try:
        encoded: bytes = _expect(data, str).encode("latin-1")
    except UnicodeEncodeError:
        raise NotUnderstood("a text instead of bytes") from None
    return encoded


def _no_function(value: Any, now: float) -> Any:
    raise NotPlain("a function of this program cannot be handed over")


def _not_loaded(data: Any, now: float) -> Any:
    raise NotUnderstood("a function")


_FLOAT = _Form(_dump_float, _load_float)
#: Rounded, because the sum of two times has more digits than the clock.
_MONOTONIC = _Form(
    lambda value, now: _dump_float(round(value - now, 6) if math.isfinite(value) else value, now),
    lambda data, now: now + _load_float(data, now),
)
_BYTES = _Form(lambda value, now: bytes(value).decode("latin-1"), _load_bytes)
_NO_FUNCTION = _Form(_no_function, _not_loaded)
