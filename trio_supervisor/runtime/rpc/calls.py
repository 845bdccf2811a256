"""Remote calls by name: the method tables of all namespaces, and ``system.*`` over them.

Methods come from explicit tables, never from attribute lookup on what a client sent. Knows nothing
of XML or HTTP; what cannot be carried out is a RequestError with its fault number.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity
from trio_supervisor.core.errors import (
    Failed,
    IncorrectParameters,
    RequestError,
    ShuttingDown,
    SignatureUnsupported,
    UnknownMethod,
)
from trio_supervisor.core.process.states import DaemonState
from trio_supervisor.core.xmlrpc import rough_size
from trio_supervisor.runtime.logs import logread
from trio_supervisor.runtime.rpc.method import ARRAY, NAME, Method
from trio_supervisor.runtime.rpc.plugins import MAIN_NAMESPACE as MAIN_NAMESPACE
from trio_supervisor.runtime.rpc.plugins import is_plugin
from trio_supervisor.runtime.rpc.supervisor import METHODS as SUPERVISOR_METHODS
from trio_supervisor.runtime.rpc.tsupervisor import METHODS as TSUPERVISOR_METHODS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.supervisor import Supervisor

#: Comes with MAIN_NAMESPACE, which exists only if the configuration has its section: without it
#: clients can neither read nor change anything.
OWN_NAMESPACE = "tsupervisor"
MULTICALL = "system.multicall"
#: Why calls of a multicall are left out.
FULL = "the results of this multicall have {} bytes already; make this call in another"


class Rpc:
    """All methods that can be called by name. ``extensions`` are further namespaces.

    ``readonly``: methods that change anything are listed and refused.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        extensions: Mapping[str, Iterable[Method]] | None = None,
        *,
        readonly: bool = False,
    ) -> None:
        self._supervisor = supervisor
        self._readonly = readonly
        self._methods: dict[str, Method] = {}
        for interface in supervisor.config.rpcinterfaces:
            if not is_plugin(interface):
                self._publish_own(interface.name, SUPERVISOR_METHODS)
            if interface.name == MAIN_NAMESPACE:
                self._publish_own(OWN_NAMESPACE, TSUPERVISOR_METHODS)
        for namespace, methods in (extensions or {}).items():
            self._publish(namespace, methods)
        self._publish("system", self._system_methods())

    async def call(self, name: str, params: list[Value]) -> Value:
        """Carry out one call. Raises RequestError.

        The number and types of arguments come first, then the state of the supervisor.
        """
        method = self._methods.get(name)
        if method is None:
            raise UnknownMethod
        arguments = method.arguments(params)
        if not method.always and self._supervisor.state is not DaemonState.RUNNING:
            raise ShuttingDown
        return await method.run(*arguments)

    async def list_methods(self) -> Value:
        """List the names of all methods that can be called.

        @return array  the names, sorted
        """
        return [*sorted(self._methods)]

    async def method_help(self, name: str) -> Value:
        """Tell what a method does.

        @param string name  the method
        @return string      its documentation
        """
        return self._known(name).help

    async def method_signature(self, name: str) -> Value:
        """Tell the types of a method.

        @param string name  the method
        @return array       the type it returns, then those of its parameters
        """
        return self._known(name).signature

    async def multicall(self, calls: list[Value]) -> Value:
        """Carry out several calls, one after the other.

        When the results have 16 MiB (or log_answer_maxbytes, if that is more), the calls that are
        left are not carried out, and have the fault FAILED.

        @param array calls  structs {methodName: string, params: array}
        @return array       for each call its bare result, or a struct {faultCode, faultString}
        """
        if not all(isinstance(call, dict) for call in calls):
            raise IncorrectParameters
        most = max(logread.ANSWER_LIMIT, self._supervisor.config.daemon.log_answer_maxbytes)
        left: float = most
        results: list[Value] = []
        for call in calls:
            if left > 0 and isinstance(call, dict):
                results.append(await self._call_contained(call))
                left -= rough_size(results[-1])
            else:
                results.append(_fault(Failed(f"not carried out: {FULL.format(most)}")))
            # Thousands of calls must not hold up other clients; a call of shutdown among them must
            # not cancel the answer.
            await trio.lowlevel.cancel_shielded_checkpoint()
        return results

    async def _call_contained(self, call: dict[str, Value]) -> Value:
        """Carry out one call of several; no error in it reaches the others."""
        try:
            return await self._call_listed(call)
        except RequestError as error:
            return _fault(error)
        except Exception as error:
            name = ascii(call.get("methodName"))  # no struct: it would be rendered as a whole
            self._supervisor.log(
                Severity.ERROR, f"error in {MULTICALL} of {name:.200}:\n{traceback.format_exc()}"
            )
            return _fault(Failed(str(error)))

    async def _call_listed(self, call: dict[str, Value]) -> Value:
        name, params = call.get("methodName"), call.get("params", [])
        if not name:
            raise IncorrectParameters("No methodName")
        if name == MULTICALL:
            raise IncorrectParameters(f"Recursive {MULTICALL} forbidden")
        if not isinstance(name, str):
            raise UnknownMethod
        if not isinstance(params, list):
            raise IncorrectParameters
        return await self.call(name, params)

    def _publish_own(self, namespace: str, table: Iterable[Method]) -> None:
        self._publish(namespace, (method.bound(self._supervisor) for method in table))

    def _publish(self, namespace: str, methods: Iterable[Method]) -> None:
        for method in methods:
            allowed = method.for_readers() if self._readonly else method
            self._methods[f"{namespace}.{method.name}"] = allowed

    def _known(self, name: str) -> Method:
        if name not in self._methods:
            raise SignatureUnsupported
        return self._methods[name]

    def _system_methods(self) -> tuple[Method, ...]:
        return (
            Method("listMethods", "array", (), self.list_methods, always=True, reads=True),
            Method("methodHelp", "string", (NAME,), self.method_help, always=True, reads=True),
            Method(
                "methodSignature", "array", (NAME,), self.method_signature, always=True, reads=True
            ),
            Method("multicall", "array", (ARRAY,), self.multicall, always=True, reads=True),
        )


def _fault(error: RequestError) -> dict[str, Value]:
    return {"faultCode": error.number, "faultString": str(error)}
