"""One remote method: its name, its typed parameters, and the function that carries it out.

Parameters accept more than signatures say, because clients send more. Anything else is fault 2,
raised before a name is looked up or anything is done.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Final

from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import Failed, IncorrectParameters
from trio_supervisor.core.numbers import bounded, whole_number

if TYPE_CHECKING:
    from trio_supervisor.core.xmlrpc import Value

REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Parameter:
    """``convert`` makes the argument of a received value, or raises IncorrectParameters."""

    type: str
    """As system.methodSignature reports it."""
    convert: Callable[[Value], object]
    default: object = REQUIRED


@dataclass(frozen=True, slots=True)
class Method:
    """A row of a method table. ``run`` gets the converted arguments."""

    name: str
    returns: str
    parameters: tuple[Parameter, ...]
    run: Callable[..., Awaitable[Value]]
    always: bool = False
    """Whether it is answered during shutdown and restart too."""
    variadic: bool = False
    """Whether it takes any number of further arguments, unconverted."""
    reads: bool = False
    """Whether it changes nothing, so that read-only users may call it."""
    redact: Callable[[Value], Value] | None = None
    """Removes from a result what read-only users may not see; None: they may see all of it."""

    @property
    def signature(self) -> list[Value]:
        return [self.returns, *(parameter.type for parameter in self.parameters)]

    @property
    def help(self) -> str:
        """The function's docstring, which system.methodHelp returns."""
        return inspect.cleandoc(self.run.__doc__ or "")

    def bound(self, context: object) -> Method:
        """The same method with the first argument of ``run`` filled in."""
        return replace(self, run=update_wrapper(partial(self.run, context), self.run))

    def for_readers(self) -> Method:
        """Return the method for read-only users."""
        if not self.reads:
            return self._refused()
        if (redact := self.redact) is None:
            return self

        async def run(*arguments: object) -> Value:
            return redact(await self.run(*arguments))

        return replace(self, run=update_wrapper(run, self.run))

    def _refused(self) -> Method:
        """Return the method for users who may not call it: it refuses every call."""

        async def refuse(*arguments: object) -> Value:
            raise Failed("this user has read-only access")

        return replace(self, run=update_wrapper(refuse, self.run))

    def arguments(self, params: list[Value]) -> list[object]:
        """Return the arguments for ``run``. Raises IncorrectParameters."""
        further = params[len(self.parameters) :]
        if further and not self.variadic:
            raise IncorrectParameters
        given = [
            parameter.convert(value)
            for parameter, value in zip(self.parameters, params, strict=False)
        ]
        missing = [parameter.default for parameter in self.parameters[len(params) :]]
        if REQUIRED in missing:
            raise IncorrectParameters
        return [*given, *missing, *further]


def _string(value: Value) -> str:
    if not isinstance(value, str):
        raise IncorrectParameters
    return value


def _quoted_string(value: Value) -> str:
    """Convert as ``_string`` does; the fault shows the value that is no string."""
    if not isinstance(value, str):
        raise IncorrectParameters(str(value))
    return value


def _integer(value: Value) -> int:
    """Accept digits as a string and doubles too: PHP clients send them."""
    if not isinstance(value, (bool, int, float, str)):
        raise IncorrectParameters
    try:
        return whole_number(value) if isinstance(value, str) else bounded(int(value))
    except (ValueError, OverflowError) as error:
        raise IncorrectParameters from error


def _seconds(value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise IncorrectParameters
    try:
        return float(value)
    except OverflowError as error:
        raise IncorrectParameters from error


def _truth(value: Value) -> bool:
    return bool(value)


def _scalar(value: Value) -> str:
    """Accept numbers too; they become decimal text."""
    if not isinstance(value, (bool, int, float, str)):
        raise IncorrectParameters
    return str(value)


def _array(value: Value) -> list[Value]:
    if not isinstance(value, list):
        raise IncorrectParameters
    return value


NAME = Parameter("string", _string)
QUOTED = Parameter("string", _quoted_string)
INTEGER = Parameter("int", _integer)
SECONDS = Parameter("double", _seconds)
WAIT = Parameter("boolean", _truth, default=True)
SCALAR = Parameter("string", _scalar)
ARRAY = Parameter("array", _array)
