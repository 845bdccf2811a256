"""Third-party namespaces."""

from __future__ import annotations

import enum
import io
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from supervisor import events, http, states, xmlrpc
from supervisor.rpcinterface import SupervisorNamespaceRPCInterface
from trio.testing import MockClock

from tests.kit.fake_supervisor import FakeSupervisor
from tests.kit.web import call_body, talking
from trio_supervisor import NOT_DONE_YET, PluginError, PluginFault
from trio_supervisor.core.config.model import Config, RpcInterface
from trio_supervisor.core.config.options import MAIN_FACTORY
from trio_supervisor.core.errors import ConfigError, RequestError, UnknownMethod
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.states import DaemonState
from trio_supervisor.core.xmlrpc import Value
from trio_supervisor.runtime.load import load_config
from trio_supervisor.runtime.requester import cause_of_request, requested_by
from trio_supervisor.runtime.rpc import plugins as rpc_plugins
from trio_supervisor.runtime.rpc.calls import Rpc
from trio_supervisor.runtime.rpc.plugins import find_factory, make_plugins
from trio_supervisor.runtime.supervisor import Supervisor

Fake = FakeSupervisor


class RPCError(Exception):
    """As Supervisor's: told by its name."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text


class Color(enum.IntEnum):
    RED = 7


def sentinel(name: str) -> type:
    return type(name, (), {})


class Plugin:
    attribute = 5

    def __init__(self, supervisor: Any, **options: str) -> None:
        self.supervisor = supervisor
        self.options = options
        self.callback = lambda: 1 / 0
        self.asked = 0

    @property
    def costly(self) -> None:
        raise AssertionError("nobody asked for it")

    def greet(self, name: str, greeting: str = "hello") -> str:
        """Greet somebody.

        @param string name      whom
        @param int greeting     how
        @return string          the greeting
        """
        return f"{greeting} {name}"

    def options_given(self) -> dict[str, str]:
        return self.options

    def count(self, *things: Value) -> int:
        return len(things)

    def shapes(self) -> object:
        return {"tuple": (1, (2.5, None)), Color.RED: Color.RED, "no": False}

    def unsendable(self) -> object:
        return {"x": object()}

    def broken(self) -> None:
        raise ZeroDivisionError("in a plugin")

    def fault(self) -> None:
        raise RPCError(77, "OWN_FAULT: seven")

    def our_fault(self) -> None:
        raise PluginFault(78, "OWN_FAULT: eight")

    def deferred(self, sentinel_name: str) -> object:
        started = trio.current_time()

        def poll() -> object:
            self.asked += 1
            if self.asked < 4:
                return sentinel(sentinel_name)
            if sentinel_name == "fault":
                raise RPCError(79, "LATE")
            return trio.current_time() - started

        poll.delay = 0.5  # type: ignore[attr-defined]  # that is the protocol
        return poll

    async def patient(self, seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds

    def blocking(self) -> bool:
        time.sleep(0.01)
        return True

    def _private(self) -> None:
        raise AssertionError

    def __call__(self) -> None:
        raise AssertionError


def interface(factory: str = f"{__name__}:Plugin", **options: str) -> RpcInterface:
    return RpcInterface("x", factory, options)


@pytest.fixture
def fake() -> Fake:
    return Fake("cat")


@pytest.fixture
def rpc(fake: Fake) -> Rpc:
    plugins = make_plugins([interface(color="blue", number="5")], fake.real)
    return Rpc(fake.real, plugins)


async def test_public_methods_are_published_and_nothing_else(rpc: Rpc) -> None:
    names = await rpc.call("system.listMethods", [])
    assert isinstance(names, list)
    assert [name for name in names if str(name).startswith("x.")] == [
        f"x.{name}"
        for name in (
            *("blocking", "broken", "count", "deferred", "fault", "greet", "options_given"),
            *("our_fault", "patient", "shapes", "unsendable"),
        )
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("x._private", "x.__init__", "x.__class__", "x.attribute", "x.callback", "x.costly"),
        *("x.supervisor.log", "x.greet.__globals__", "x.greet.__func__", "x", "x.", "y.greet"),
    ],
)
async def test_nothing_else_can_be_reached(rpc: Rpc, name: str) -> None:
    """CVE-2017-11610."""
    with pytest.raises(UnknownMethod):
        await rpc.call(name, [])


async def test_other_keys_are_keyword_arguments_and_the_supervisor_the_only_positional(
    rpc: Rpc,
) -> None:
    assert await rpc.call("x.options_given", []) == {"color": "blue", "number": "5"}


async def test_arguments_and_documentation(rpc: Rpc) -> None:
    assert await rpc.call("x.greet", ["you"]) == "hello you"
    assert await rpc.call("x.greet", ["you", "hi"]) == "hi you"
    assert await rpc.call("x.count", [1, "two", [3]]) == 3
    wrongs: list[list[Value]] = [[], ["a", "b", "c"]]
    for wrong in wrongs:
        with pytest.raises(RequestError) as caught:
            await rpc.call("x.greet", wrong)
        assert caught.value.number == 2
    assert await rpc.call("system.methodSignature", ["x.greet"]) == ["string", "string", "int"]
    assert str(await rpc.call("system.methodHelp", ["x.greet"])).startswith("Greet somebody.\n")


async def test_results_of_python_types(rpc: Rpc) -> None:
    assert await rpc.call("x.shapes", []) == {"tuple": [1, [2.5, None]], "7": 7, "no": False}


@pytest.mark.parametrize("name", ["NOT_DONE_YET", NOT_DONE_YET.__name__])
async def test_a_deferred_function_is_asked_until_it_is_done(
    rpc: Rpc, autojump_clock: MockClock, name: str
) -> None:
    assert await rpc.call("x.deferred", [name]) == pytest.approx(1.5)


async def test_another_result_of_a_deferred_function_is_the_result(rpc: Rpc) -> None:
    with pytest.raises(TypeError, match="cannot send"):
        await rpc.call("x.deferred", ["Something"])


@pytest.mark.parametrize(
    ("name", "fault"),
    [("fault", (77, "OWN_FAULT: seven")), ("our_fault", (78, "OWN_FAULT: eight"))],
)
async def test_faults_of_a_plugin_have_its_numbers(
    rpc: Rpc, name: str, fault: tuple[int, str]
) -> None:
    with pytest.raises(RequestError) as caught:
        await rpc.call(f"x.{name}", [])
    assert (caught.value.number, str(caught.value)) == fault
    calls: list[Value] = [{"methodName": f"x.{name}"}, {"methodName": "x.broken"}]
    assert await rpc.call("system.multicall", [calls]) == [
        {"faultCode": fault[0], "faultString": fault[1]},
        {"faultCode": 30, "faultString": "FAILED: in a plugin"},
    ]


async def test_async_methods_may_wait_and_hold_up_nobody(
    rpc: Rpc, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(rpc.call, "x.patient", [3600]))
        await trio.testing.wait_all_tasks_blocked()
        assert await rpc.call("x.greet", ["you"]) == "hello you"
        assert trio.current_time() == pytest.approx(0)


async def test_a_method_that_blocks_is_named_in_the_log(
    fake: Fake, rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_plugins, "LONG_STEP", 0.005)
    assert await rpc.call("x.blocking", []) is True
    (line,) = fake.lines
    assert line.startswith("WARN x.blocking held up the whole daemon for 0.0 s: ")


@pytest.mark.behaviour("http.md#methods-of-plugins")
async def test_what_goes_wrong_in_a_plugin_stays_in_its_call(fake: Fake) -> None:
    fake.config = replace(fake.config, rpcinterfaces=(*fake.config.rpcinterfaces, interface(a="b")))
    async with talking(fake) as client:
        for name, said in (("broken", "ZeroDivisionError"), ("unsendable", "cannot send")):
            fake.lines.clear()
            reply = await client.post("/RPC2", call_body(f"x.{name}"))
            assert reply.status == 500
            assert "plugin" not in reply.body.decode()
            (line,) = fake.lines
            assert said in line
            assert "/test_plugins.py" in line or name == "unsendable"
        reply = await client.post("/RPC2", call_body("x.greet", "you"))
        assert b"hello you" in reply.body


async def test_the_main_factory_under_another_name_publishes_the_main_methods(fake: Fake) -> None:
    other = RpcInterface("other", MAIN_FACTORY)
    fake.config = replace(fake.config, rpcinterfaces=(other,))
    rpc = Rpc(fake.real, make_plugins(fake.config.rpcinterfaces, fake.real))
    assert await rpc.call("other.getAPIVersion", []) == "3.0"
    with pytest.raises(UnknownMethod):
        await rpc.call("supervisor.getAPIVersion", [])


def failing(supervisor: object, **options: str) -> object:
    raise ValueError(f"what is {options}?")


NOT_A_FUNCTION = 5


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("no.such.module:f", "No module named 'no'"),
        (f"{__name__}:nothing", "has no attribute 'nothing'"),
        (f"{__name__}:NOT_A_FUNCTION", "it is not callable"),
        (__name__, "it is not callable"),
        ("", "Empty module name"),
    ],
)
def test_what_cannot_be_imported_is_an_error_of_the_configuration(
    tmp_path: Path, factory: str, said: str
) -> None:
    with pytest.raises(PluginError, match=said):
        find_factory(interface(factory))
    if not factory:
        return  # the option itself would be missing
    path = tmp_path / "c.conf"
    path.write_text(f"[supervisord]\n[rpcinterface:x]\nsupervisor.rpcinterface_factory={factory}\n")
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(str(path))
    assert "within [rpcinterface:x]" in str(caught.value)
    assert "use module:callable" in str(caught.value)


def test_a_module_that_fails_while_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "angry_plugin.py").write_text("raise SystemError('no')\n")
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(PluginError, match="SystemError: no"):
            find_factory(interface("angry_plugin:f"))
    finally:
        sys.path.remove(str(tmp_path))


def test_a_factory_that_fails(fake: Fake) -> None:
    with pytest.raises(
        PluginError, match=r"Could not make x rpc interface: .*what is \{'a': 'b'\}"
    ):
        make_plugins([interface(f"{__name__}:failing", a="b")], fake.real)


async def test_a_plugin_that_imports_the_reference(fake: Fake, autojump_clock: MockClock) -> None:
    """Its sentinel is a class, its faults have a code and a text."""
    answers = iter([http.NOT_DONE_YET, http.NOT_DONE_YET, "done"])

    class Theirs:
        def wait(self) -> object:
            def poll() -> object:
                return next(answers)

            poll.delay = 0.2  # type: ignore[attr-defined]  # that is the protocol
            return poll

        def fail(self) -> None:
            raise xmlrpc.RPCError(xmlrpc.Faults.BAD_NAME, "zz")

    def make(supervisor: object) -> Theirs:
        return Theirs()

    theirs = ModuleType("their_plugin")
    theirs.make = make  # type: ignore[attr-defined]  # a module made here
    sys.modules["their_plugin"] = theirs
    try:
        plugins = make_plugins([interface("their_plugin:make")], fake.real)
    finally:
        del sys.modules["their_plugin"]
    rpc = Rpc(fake.real, plugins)
    assert await rpc.call("x.wait", []) == "done"
    assert trio.current_time() == pytest.approx(0.4)
    with pytest.raises(RequestError) as caught:
        await rpc.call("x.fail", [])
    assert (caught.value.number, str(caught.value)) == (10, "BAD_NAME: zz")
    assert rpc_plugins.is_not_done(http.NOT_DONE_YET())
    assert not rpc_plugins.is_not_done(None)


class FromTheTemplate:
    """Written for Supervisor: a look at the state first, then its objects."""

    def __init__(self, supervisord: Any, **options: str) -> None:
        self.supervisord = supervisord

    def look(self) -> str:
        if self.supervisord.get_state() == states.SupervisorStates.SHUTDOWN:
            raise xmlrpc.RPCError(xmlrpc.Faults.SHUTDOWN_STATE)
        return "up"

    def identify(self) -> object:
        return self.supervisord.options.identifier

    def own_mistake(self) -> object:
        return self.supervisor  # type: ignore[attr-defined]  # the mistake


class FromTheirInterface(SupervisorNamespaceRPCInterface):  # type: ignore[misc]  # untyped
    def __init__(self, supervisord: object) -> None:
        super().__init__(supervisord)


def subscribing(supervisord: object) -> object:
    events.subscribe(events.Event, print)
    return FromTheTemplate(supervisord)


def looking_inside(supervisord: Any) -> object:
    return supervisord.options


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def real(lines: list[str]) -> Supervisor:
    log = lambda severity, text: lines.append(f"{severity.name} {text}")  # noqa: E731  # one line
    return Supervisor(Config(rpcinterfaces=()), log=log, environment={})


async def test_a_plugin_of_the_common_template_reads_the_state(real: Supervisor) -> None:
    plugins = make_plugins([interface(f"{__name__}:FromTheTemplate")], real)
    rpc = Rpc(real, plugins)
    assert await rpc.call("x.look", []) == "up"
    real.state = DaemonState.SHUTDOWN
    with pytest.raises(RequestError) as caught:
        await rpc.call("x.look", [])
    assert caught.value.number == 6


@pytest.mark.behaviour("http.md#methods-of-plugins")
async def test_what_a_plugin_misses_is_named_once(real: Supervisor, lines: list[str]) -> None:
    """Every server has a plugin of its own; the log is told once all the same."""
    for _ in range(2):
        plugins = make_plugins([interface(f"{__name__}:FromTheTemplate")], real)
        rpc = Rpc(real, plugins)
        for _ in range(2):
            with pytest.raises(RequestError, match=r"uses Supervisor\.options, which") as caught:
                await rpc.call("x.identify", [])
            assert caught.value.number == 30
    (line,) = lines
    assert line.startswith("ERROR x.identify uses Supervisor.options, which tsupervisord does not")
    assert "test_plugins.py, line " in line
    with pytest.raises(AttributeError):
        await rpc.call("x.own_mistake", [])


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("looking_inside", "looking_inside uses Supervisor.options, which tsupervisord does not"),
        ("FromTheirInterface", "is built on SupervisorNamespaceRPCInterface, which works on"),
    ],
)
def test_a_plugin_that_works_on_internal_objects_is_refused(
    real: Supervisor, factory: str, said: str
) -> None:
    """As multivisor does, whose server would never be started."""
    with pytest.raises(PluginError) as caught:
        make_plugins([interface(f"{__name__}:{factory}")], real)
    assert said in str(caught.value)


def test_a_subscription_that_hears_nothing_is_reported(
    real: Supervisor, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "callbacks", [])
    for _ in range(2):
        make_plugins([interface(f"{__name__}:subscribing")], real)
    (line,) = lines
    assert "subscribing of [rpcinterface:x] has subscribed to the events of the package" in line


class Exits:
    """Ends the interpreter, as scripts do."""

    def __init__(self, supervisor: object) -> None:
        pass

    def leave(self) -> None:
        print("bye")
        sys.exit(3)

    async def leave_later(self) -> None:
        await trio.lowlevel.checkpoint()
        raise KeyboardInterrupt


def exiting(supervisor: object) -> None:
    sys.exit("no")


@pytest.mark.parametrize("method", ["leave", "leave_later"])
async def test_a_method_that_exits_does_not_end_the_daemon(real: Supervisor, method: str) -> None:
    rpc = Rpc(real, make_plugins([interface(f"{__name__}:Exits")], real))
    with pytest.raises(RuntimeError, match=rf"x\.{method} raised (SystemExit|KeyboardInterrupt)"):
        await rpc.call(f"x.{method}", [])


def test_a_factory_that_exits_is_an_error_like_others(real: Supervisor) -> None:
    with pytest.raises(PluginError, match="exiting raised SystemExit: no"):
        make_plugins([interface(f"{__name__}:exiting")], real)


async def test_what_a_method_prints_is_flushed(
    real: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    rpc = Rpc(real, make_plugins([interface(f"{__name__}:Exits")], real))
    out = Stream()
    monkeypatch.setattr(sys, "stdout", out)
    with pytest.raises(RuntimeError):
        await rpc.call("x.leave", [])
    assert out.flushed == "bye\n"


class Asks:
    def __init__(self, supervisor: object, **options: str) -> None:
        pass

    async def ask(self) -> str:
        await trio.lowlevel.checkpoint()
        return cause_of_request().who


async def test_what_a_plugin_asks_for_is_its_own_request(real: Supervisor) -> None:
    rpc = Rpc(real, make_plugins([interface(f"{__name__}:Asks")], real))
    with requested_by(Cause(CauseKind.REQUEST, "ann")):
        assert await rpc.call("x.ask", []) == "plugin x.ask"
        assert cause_of_request().who == "ann"
