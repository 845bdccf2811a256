"""Third-party namespaces: the factories of ``[rpcinterface:x]`` sections and their methods.

A factory gets the supervisor and the other keys of its section, and returns an object whose public
methods become remote methods. They are listed when the object is made; nothing that a client sends
is ever looked up as an attribute. Methods run in trio's thread, between the steps of everything
else: the supervisor does not change while they run. A method that blocks holds up the whole daemon,
which is logged. ``async def`` methods may wait.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.config.options import MAIN_FACTORY
from trio_supervisor.core.errors import Failed, PluginError, PluginFault, RequestError
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.runtime.printed import flush_printed
from trio_supervisor.runtime.requester import requested_by
from trio_supervisor.runtime.rpc.method import REQUIRED, Method, Parameter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_supervisor.core.config.model import RpcInterface
    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.supervisor import Supervisor

MAIN_NAMESPACE = "supervisor"
OURS = __name__.partition(".")[0]
#: Class of Supervisor whose methods work on its internal objects; told by its name.
INTERNAL_CLASS = "SupervisorNamespaceRPCInterface"
#: What plugins have missed, so that each is reported once, not once a call and a server.
_MISSED: WeakKeyDictionary[Supervisor, set[str]] = WeakKeyDictionary()
#: Seconds one step of a method may take before a line about the slow method is logged.
LONG_STEP = 0.5
#: Seconds between two calls of a deferred function at least, whatever its ``delay``.
SHORTEST_DELAY = 0.01


class NOT_DONE_YET:  # Supervisor's name; its plugins return the class itself
    """Value that a deferred function returns until it has a result."""


def is_plugin(interface: RpcInterface) -> bool:
    """Whether the namespace is not one of ours."""
    return interface.name != MAIN_NAMESPACE and interface.factory != MAIN_FACTORY


def find_factory(interface: RpcInterface) -> Callable[..., object]:
    """Import ``module:callable``. Raises PluginError, whatever the import raises."""
    module, _, path = interface.factory.partition(":")
    try:
        factory: object = importlib.import_module(module.strip())
        for name in filter(None, path.strip().split(".")):
            factory = getattr(factory, name)
        if not callable(factory) or inspect.ismodule(factory):
            raise TypeError("it is not callable")
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{interface.factory} cannot be resolved within [rpcinterface:{interface.name}]: "
            f"{type(error).__name__}: {error}"
        ) from error
    return factory


def make_plugins(
    interfaces: Iterable[RpcInterface], supervisor: Supervisor
) -> dict[str, list[Method]]:
    """The methods of all third-party namespaces. Raises PluginError."""
    return {
        interface.name: _methods(_made(interface, supervisor), interface.name, supervisor)
        for interface in interfaces
        if is_plugin(interface)
    }


def _made(interface: RpcInterface, supervisor: Supervisor) -> object:
    factory = find_factory(interface)
    failure = f"Could not make {interface.name} rpc interface: {interface.factory}"
    try:
        plugin = factory(supervisor, **interface.options)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{failure} {_missing(error) or f'raised {type(error).__name__}: {error}'}"
        ) from error
    if any(cls.__name__ == INTERNAL_CLASS for cls in type(plugin).__mro__):
        raise PluginError(
            f"{failure} is built on {INTERNAL_CLASS}, which works on the internal objects of "
            "Supervisor; tsupervisord has none of them. Remove the section "
            f"[rpcinterface:{interface.name}]"
        )
    subscribers = getattr(sys.modules.get("supervisor.events"), "callbacks", None)
    if subscribers:
        _report_once(
            supervisor,
            f"{interface.factory} of [rpcinterface:{interface.name}] has subscribed to the events "
            "of the package supervisor, where tsupervisord publishes none: use an event listener, "
            "or supervisor.events() of what the factory is given",
        )
    return plugin


def _methods(plugin: object, namespace: str, supervisor: Supervisor) -> list[Method]:
    """One for each public method, as the class defines them; properties are not evaluated."""
    methods = []
    for name in dir(plugin):
        if name.startswith("_") or isinstance(inspect.getattr_static(plugin, name), property):
            continue
        attribute = getattr(plugin, name)
        if inspect.ismethod(attribute):
            call = _PluginMethod(f"{namespace}.{name}", attribute, supervisor)
            methods.append(
                Method(
                    name,
                    _type(attribute, "return"),
                    call.parameters,
                    call,
                    always=True,  # a plugin decides itself what it does during shutdown
                    variadic=call.variadic,
                )
            )
    return methods


class _PluginMethod:
    """Carries out one method of a plugin; what goes wrong in it stays in this call."""

    def __init__(self, name: str, function: Callable[..., object], supervisor: Supervisor) -> None:
        self.__doc__ = function.__doc__
        self._name = name
        self._function = function
        self._supervisor = supervisor
        parameters = [*inspect.signature(function).parameters.values()]
        self.parameters = tuple(
            Parameter(_type(function, f"param {p.name}"), _as_it_is, _default(p))
            for p in parameters
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        )
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)

    async def __call__(self, *arguments: object) -> Value:
        """Call the method; what it asks of the supervisor is the plugin's request."""
        with requested_by(Cause(CauseKind.PLUGIN, f"plugin {self._name}")):
            return await self._call(arguments)

    async def _call(self, arguments: tuple[object, ...]) -> Value:
        try:
            result = self._step(self._function, *arguments)
            if inspect.isawaitable(result):
                result = await result
            if callable(result) and isinstance(getattr(result, "delay", None), (int, float)):
                result = await self._finished(result)
        except RequestError:
            raise
        except (SystemExit, KeyboardInterrupt) as error:  # which would end the daemon
            raise RuntimeError(f"{self._name} raised {error!r}") from error
        except Exception as error:
            fault = _fault(error)
            if fault is not None:
                raise fault from error
            missing = _missing(error)
            if missing is None:
                raise
            _report_once(self._supervisor, f"{self._name} {missing}")
            raise Failed(missing) from error
        return _plain(result)

    async def _finished(self, deferred: Callable[[], object]) -> object:
        """Ask a deferred function for its result until there is one."""
        while is_not_done(result := self._step(deferred)):
            delay = float(getattr(deferred, "delay", 0))
            await trio.sleep(delay if delay > SHORTEST_DELAY else SHORTEST_DELAY)  # not if NaN
        return result

    def _step(self, function: Callable[..., object], *arguments: object) -> object:
        began = time.monotonic()
        try:
            return function(*arguments)
        finally:
            flush_printed()
            if (took := time.monotonic() - began) > LONG_STEP:
                self._supervisor.log(
                    Severity.WARN,
                    f"{self._name} held up the whole daemon for {took:.1f} s: "
                    "its plugin should wait in an async method, or work in a thread",
                )


def _missing(error: BaseException) -> str | None:
    """Return the attribute of Supervisor that a plugin misses; None for any other error."""
    cls = type(getattr(error, "obj", None))
    if not isinstance(error, AttributeError) or cls.__module__.partition(".")[0] != OURS:
        return None
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"uses {cls.__name__}.{error.name}, which tsupervisord does not have "
        f"({frame.filename}, line {frame.lineno})"
    )


def _report_once(supervisor: Supervisor, text: str) -> None:
    reported = _MISSED.setdefault(supervisor, set())
    if text not in reported:
        reported.add(text)
        supervisor.log(Severity.ERROR, text)


def _fault(error: Exception) -> RequestError | None:
    """Return the fault of an RPCError of Supervisor, known by its name; None for other errors."""
    if not any(cls.__name__ == "RPCError" for cls in type(error).__mro__):
        return None
    code, text = getattr(error, "code", None), getattr(error, "text", None)
    return PluginFault(code, str(text)) if isinstance(code, int) else None


def is_not_done(result: object) -> bool:
    """Compare by name, so that plugins which import Supervisor's sentinel work too."""
    cls = result if isinstance(result, type) else type(result)
    return cls.__name__ == NOT_DONE_YET.__name__


def _plain(value: object) -> Value:
    """Convert a value to XML-RPC types: tuples to arrays, subclasses to their base types."""
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return value if type(value) is kind else kind(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    raise TypeError(f"cannot send {value!r:.100} by XML-RPC")


def _as_it_is(value: Value) -> object:
    return value


def _default(parameter: inspect.Parameter) -> object:
    return REQUIRED if parameter.default is parameter.empty else parameter.default


def _type(function: Callable[..., object], of: str) -> str:
    """Return the XML-RPC type that a docstring in Supervisor's form gives, else ``string``.

    ``@param int offset ...`` and ``@return array ...``.
    """
    word, _, name = of.partition(" ")
    behind = rf"\s+{re.escape(name)}\b" if name else ""
    found = re.search(rf"@{word}\s+(\w+){behind}", function.__doc__ or "")
    return found[1] if found else "string"
