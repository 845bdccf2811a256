"""``dataclass``, as in ``dataclasses``, but a daemon with a hundred of them starts faster.

``dataclasses`` compiles six methods for each class when its module is imported: half of the time
that our modules took to load, and a megabyte. Most of these methods are never called. Here
``__init__`` is compiled when the first instance is made, and all classes share the others. Fields,
slots, ``fields``, ``replace`` and patterns are those of ``dataclasses``, which also describes the
decorator to type checkers. Of its arguments there are only those that are used here.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass

    Method = Callable[..., Any]
else:

    def dataclass(
        cls: type | None = None,
        /,
        *,
        frozen: bool = False,
        slots: bool = False,
        eq: bool = True,
        weakref_slot: bool = False,
    ) -> type | Callable[[type], type]:
        """Make a class a dataclass, or return the decorator that does."""

        def decorate(cls: type) -> type:
            return _decorated(cls, frozen, eq, slots=slots, weakref_slot=weakref_slot)

        return decorate if cls is None else decorate(cls)


def _decorated(cls: type, frozen: bool, eq: bool, **options: bool) -> Any:
    cls.__doc__ = cls.__doc__ or cls.__name__  # else its signature is made up, which is slow
    decorator = dataclasses.dataclass(init=False, repr=False, eq=False, **options)
    # For ``dataclasses`` a frozen base needs a frozen class, for which it compiles two methods.
    inherited = [getattr(base, "__dataclass_params__", None) for base in cls.__mro__[1:]]
    frozen_bases = [parameters for parameters in inherited if parameters and parameters.frozen]
    try:
        for parameters in frozen_bases:
            parameters.frozen = False
        made: Any = decorator(cls)
    finally:
        for parameters in frozen_bases:
            parameters.frozen = True
    made.__dataclass_params__.frozen = frozen  # for classes that others derive
    methods: dict[str, object] = {"__init__": _compiled_later(made, frozen), "__repr__": _repr}
    if eq:
        methods.update(__eq__=_eq, __hash__=_hash if frozen else None)
        compared = [field.name for field in dataclasses.fields(made) if field.compare]
        made._compared = attrgetter(*compared) if compared else _nothing
    if frozen:
        methods.update(__setattr__=_refuse, __delattr__=_refuse)
        methods.update(__getstate__=_state, __setstate__=_restore)
    for name, method in methods.items():
        if name not in made.__dict__:
            setattr(made, name, method)
    return made


def _compiled_later(cls: Any, frozen: bool) -> Method:
    def __init__(self: object, /, *args: object, **named: object) -> None:
        cls.__init__ = _compiled(cls, frozen)
        cls.__init__(self, *args, **named)

    return __init__


def _compiled(cls: Any, frozen: bool) -> Method:
    """Return the ``__init__`` that sets all fields of the class.

    It sets those of a frozen class by their slots, which is faster than ``object.__setattr__``.
    """
    names: dict[str, Any] = {"_set": object.__setattr__, "_missing": dataclasses.MISSING}
    parameters, body = ["self"], []
    for field in dataclasses.fields(cls):
        name, value = field.name, field.name
        parameter = name
        if field.default_factory is not dataclasses.MISSING:
            names[f"_make_{name}"] = field.default_factory
            parameter += "=_missing"
            value = f"_make_{name}() if {name} is _missing else {name}"
        elif field.default is not dataclasses.MISSING:
            names[f"_default_{name}"] = field.default
            parameter += f"=_default_{name}"
        if field.init:
            parameters.append(parameter)
            slot = getattr(cls, name, None)
            if not frozen:
                body.append(f"self.{name} = {value}")
            elif isinstance(slot, MemberDescriptorType):
                names[f"_set_{name}"] = slot.__set__
                body.append(f"_set_{name}(self, {value})")
            else:
                body.append(f"_set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    text = f"def __init__({', '.join(parameters)}):\n {'; '.join(body) or 'pass'}"
    exec(text, names)
    method: Method = names["__init__"]
    method.__qualname__ = f"{cls.__qualname__}.__init__"
    return method


def _repr(self: Any) -> str:
    shown = (field.name for field in dataclasses.fields(self) if field.repr)
    texts = [f"{name}={getattr(self, name)!r}" for name in shown]
    return f"{type(self).__qualname__}({', '.join(texts)})"


def _eq(self: Any, other: Any) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    compared = type(self)._compared
    return compared(self) == compared(other)


def _hash(self: Any) -> int:
    return hash(type(self)._compared(self))


def _nothing(self: Any) -> tuple[()]:
    """Return what is compared of a class without fields."""
    return ()


def _refuse(self: object, name: str, *value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot change field {name!r}")


def _state(self: Any) -> list[object]:
    """Return the values of all fields, to copy or pickle."""
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _restore(self: Any, state: list[object]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
