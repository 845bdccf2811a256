"""Calls of each remote method with arguments that no client should send."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_supervisor.runtime.rpc.method import Method

#: Values, as XML: of the wrong type, names of nothing, of groups, of several, extreme numbers.
ODD = (
    *("<nil/>", "<string></string>", "<string>cat</string>", "<string>grp</string>"),
    *("<string>grp:*</string>", "<string>grp:</string>", "<string>:</string>"),
    *("<string>*</string>", "<string>none</string>", "<string>1</string>"),
    f"<string>{'9' * 900}</string>",
    *("<int>0</int>", "<int>-1</int>", "<i8>9223372036854775807</i8>"),
    *("<double>-0.5</double>", "<double>1e308</double>"),
    *("<boolean>1</boolean>", "<base64>Y2F0</base64>"),
    "<dateTime.iso8601>20261126T10:00:00</dateTime.iso8601>",
    *("<struct></struct>", "<array><data></data></array>"),
    "<array><data><value><string>grp:*</string></value></data></array>",
    "<array><data><value><string></string></value></data></array>",
    "<array><data><value><nil/></value><value><int>1</int></value></data></array>",
    "<array><data><value><array><data></data></array></value></data></array>",
)
#: Values of the right type that name something, by the type of the parameter.
USUAL = {
    "string": "<string>cat</string>",
    "array": "<array><data><value><string>cat</string></value></data></array>",
    "int": "<int>10</int>",
    "double": "<double>0</double>",
    "boolean": "<boolean>1</boolean>",
}


def odd_arguments(method: Method) -> Iterator[tuple[str, ...]]:
    """Yield arguments of a method: too few, too many, each by itself odd, all alike.

    The first are none at all.
    """
    usual = tuple(USUAL[parameter.type] for parameter in method.parameters)
    for count in range(len(usual)):
        yield usual[:count]
    yield usual
    yield (*usual, USUAL["string"])
    for odd in ODD:
        for position in range(len(usual)):
            yield (*usual[:position], odd, *usual[position + 1 :])
        if len(usual) > 1:
            yield (odd,) * len(usual)


def call(name: str, values: tuple[str, ...]) -> bytes:
    """Return the body of a call."""
    params = "".join(f"<param><value>{value}</value></param>" for value in values)
    text = f"<methodCall><methodName>{name}</methodName><params>{params}</params></methodCall>"
    return text.encode()
