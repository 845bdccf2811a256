"""Plugins of the client."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.kit.rpc_stub import fault, http_error, turns
from trio_supervisor.cli.ctl.controller import Controller
from trio_supervisor.cli.ctl.io import StandardInput
from trio_supervisor.cli.ctl.options import ClientOptions
from trio_supervisor.cli.ctl.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kit.ctl import Ran
    from tests.kit.rpc_stub import Stub

    Ctl = Callable[..., Ran]

PLUGIN = '''
import io
import threading
import xmlrpc.client

from trio_supervisor.cli.ctl.plugins import ControllerPluginBase

class Mine(ControllerPluginBase):
    def __init__(self, controller, **options):
        ControllerPluginBase.__init__(self, controller)
        self.options = options

    def do_paint(self, argument):
        """paint <what>\\tPaints."""
        if self.ctl.upcheck():
            self.ctl.output(f"{argument} {self.options} {self.name}")
            self.ctl.output(self.ctl.get_supervisor().getPID())
            self.ctl.output(self.ctl.get_server_proxy("other").add(1, "x"))
            self.ctl.output(self.ctl.get_server_proxy().supervisor.getPID())
            self.ctl.exitstatus = 9

    def do_look(self, argument):
        options = self.ctl.options
        self.ctl.output((options.serverurl, options.username, options.password))
        self.ctl.output((options.interactive, [plugin.name for plugin in options.plugins]))

    def do_status(self, argument):
        self.ctl.output("never reached")

    def do_leave(self, argument):
        raise SystemExit(11)

    def do_fail(self, argument):
        raise KeyError(argument)

    def help_fail(self):
        self.ctl.output("fails")

    def do_twice(self, argument):
        self.ctl.onecmd(f"start {argument}")
        self.ctl.onecmd("version")
        self.ctl.output(self.ctl.lastcmd)

    def do_read(self, argument):
        standard, self.ctl.stdout = self.ctl.stdout, io.StringIO()
        self.ctl.onecmd("pid")
        self.ctl.options.plugins[0].do_version("")
        said, self.ctl.stdout = self.ctl.stdout.getvalue(), standard
        self.ctl.output(said.split())

    def do_catch(self, argument):
        try:
            self.ctl.options.getServerProxy().supervisor.getPID()
        except xmlrpc.client.Fault as fault:
            self.ctl.output((fault.faultCode, fault.faultString))
            self.ctl.set_exitstatus_from_xmlrpc_fault(fault.faultCode, int(argument))
        except xmlrpc.client.ProtocolError as error:
            self.ctl.output((error.errcode, error.errmsg))

    def do_many(self, argument):
        calls = [{"methodName": "a.b", "params": [1, {"x": "y"}]}]
        self.ctl.output(self.ctl.get_server_proxy().system.multicall(calls))

    def do_threads(self, argument):
        work = lambda: self.ctl.onecmd("start " + argument)
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def do_hook(self, argument):
        self.ctl.prompt = "mine> "
        self.ctl.precmd = lambda line: line.replace("pd", "pid")
        self.ctl.postcmd = lambda stop, line: line == "last"
        self.ctl.cmdqueue.append("pid")

    def do_ask(self, argument):
        ctl = self.ctl
        self.ctl.output([ctl.complete("ta", 0, "help ta"), ctl.complete("ta", 1, "help ta")])
        self.ctl.output("paint" in ctl.vocab)
        ctl.default("what")
        ctl.do_help("version")
        ctl.emptyline()

def make(controller, **options):
    return Mine(controller, **options)

def broken(controller, **options):
    raise RuntimeError("no")
'''


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stub: Stub) -> Callable[[str], str]:
    monkeypatch.setenv("COLOR", "red")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plug_in.py").write_text(PLUGIN)
    path = tmp_path / "c.conf"

    def write(section: str) -> str:
        path.write_text(f"[supervisorctl]\nserverurl={stub.url}\n{section}\n")
        return str(path)

    return write


@pytest.fixture
def config(write: Callable[[str], str]) -> str:
    return write(
        "[ctlplugin:mine]\nsupervisor.ctl_factory = plug_in:make\nColor = %(ENV_COLOR)s\n"
        "[ctlplugin:two]\nsupervisor.ctl_factory = plug_in:Mine\n"
    )


@pytest.mark.behaviour("client.md#plugins-of-the-client")
def test_action(command: Ctl, config: str, stub: Stub) -> None:
    stub.answers |= {"getPID": 42, "other.add": 3}
    ran = command("-c", config, "paint a  b")
    assert ran == (9, "a  b {'color': 'red'} mine\n42\n3\n42\n", "")
    assert ("other.add", 1, "x") in stub.calls


@pytest.mark.behaviour("client.md#plugins-of-the-client")
def test_options_and_order(command: Ctl, config: str, stub: Stub) -> None:
    ran = command("-c", config, "-u", "me", "-i", "look")
    assert ran.out == f"('{stub.url}', 'me', None)\n(True, ['default', 'mine', 'two'])\n"


def test_built_in_actions_come_first(command: Ctl, config: str, stub: Stub) -> None:
    stub.answers["getAllProcessInfo"] = []
    assert command("-c", config, "status") == (0, "", "")


@pytest.mark.behaviour("client.md#plugins-of-the-client")
def test_exceptions(command: Ctl, config: str) -> None:
    assert command("-c", config, "fail now") == (1, "error: 'now'\n", "")
    with pytest.raises(SystemExit) as left:
        command("-c", config, "leave")
    assert left.value.code == 11


def test_unauthorized_and_faults_of_an_action(command: Ctl, config: str, stub: Stub) -> None:
    stub.answers["getPID"] = fault("FAILED", "x")
    assert command("-c", config, "paint it").out.endswith("\nerror: <Fault 30: 'FAILED: x'>\n")
    stub.password = "a:b"
    assert command("-c", config, "paint it") == (1, "Server requires authentication\n", "")


@pytest.mark.behaviour("client.md#help-exit-and-quit")
def test_help_for_an_unknown_action_is_said_once(command: Ctl, config: str) -> None:
    ran = command("-c", config, "help")
    assert "\nmine commands (type help <topic>):\n==================================\n" in ran.out
    assert (
        "\nask  catch  fail  hook  leave  look  many  paint  read  status  threads  twice\n"
        in ran.out
    )
    # Python 3.13 replaces the TABs of docstrings when it compiles them.
    shown = command("-c", config, "help paint").out.expandtabs()
    assert shown == "paint <what>\tPaints.\n".expandtabs()
    assert command("-c", config, "help fail").out == "fails\n"
    assert command("-c", config, "help nosuch").out == "*** No help on nosuch\n"


@pytest.mark.behaviour("client.md#plugins-of-the-client")
@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("a = b", "section [ctlplugin:x] does not specify a supervisor.ctl_factory"),
        ("supervisor.ctl_factory = no_such:f", "no_such:f cannot be resolved within [ctlplugin:x]"),
        ("supervisor.ctl_factory = plug_in:f", "plug_in:f cannot be resolved within [ctlplugin:x]"),
        ("supervisor.ctl_factory = plug_in", "plug_in cannot be resolved within [ctlplugin:x]"),
        (
            "supervisor.ctl_factory = plug_in:broken",
            "plug_in:broken of [ctlplugin:x] failed: RuntimeError('no')",
        ),
    ],
)
def test_factories_that_do_not_work(
    command: Ctl, write: Callable[[str], str], section: str, message: str
) -> None:
    ran = command("-c", write(f"[ctlplugin:x]\n{section}"), "help")
    assert (ran.status, ran.out) == (2, "")
    first, second = ran.err.splitlines()
    assert first.startswith(f"Error: {message}")
    assert second == "For help, use tsupervisorctl -h"


def test_onecmd_performs_a_line_and_keeps_the_exit_status(
    command: Ctl, config: str, stub: Stub
) -> None:
    stub.answers |= {"startProcess": fault("SPAWN_ERROR"), "getSupervisorVersion": "9"}
    ran = command("-c", config, "twice cat")
    assert ran == (7, "cat: ERROR (spawn error)\n9\nversion\n", "")


def test_stdout_can_be_replaced_to_read_what_actions_print(
    command: Ctl, config: str, stub: Stub
) -> None:
    stub.answers |= {"getPID": 42, "getSupervisorVersion": "9"}
    assert command("-c", config, "read") == (0, "['42', '9']\n", "")


def test_errors_are_of_the_classes_of_the_standard_library(
    command: Ctl, config: str, stub: Stub
) -> None:
    stub.answers["getPID"] = fault("NOT_RUNNING", "x")
    assert command("-c", config, "catch 0") == (7, "(70, 'NOT_RUNNING: x')\n", "")
    assert command("-c", config, "catch 70").status == 0
    stub.answers["getPID"] = fault("FAILED")
    assert command("-c", config, "catch 70").status == 1
    stub.answers["getPID"] = http_error(500, "Oops")
    assert command("-c", config, "catch 0").out == "(500, 'Oops')\n"


def test_structs_can_be_sent(command: Ctl, config: str, stub: Stub) -> None:
    stub.answers["system.multicall"] = ["done"]
    assert command("-c", config, "many").out == "['done']\n"
    sent = [{"methodName": "a.b", "params": [1, {"x": "y"}]}]
    assert ("system.multicall", sent) in stub.calls


def test_threads_perform_lines(command: Ctl, config: str, stub: Stub) -> None:
    """One that fails sets the exit status, whichever ends last."""
    stub.answers["startProcess"] = turns(True, fault("NO_FILE"), True)
    ran = command("-c", config, "threads cat")
    assert sorted(ran.out.splitlines()) == ["cat: ERROR (no such file)", *["cat: started"] * 2]
    assert ran.status == 1


def test_each_thread_has_a_connection_of_its_own() -> None:
    session = Session(ClientOptions(), sys.stdout)
    with ThreadPoolExecutor(1) as thread:
        assert session.client() is session.client()
        assert thread.submit(session.client).result() is not session.client()
        assert not session.is_in_thread
        assert thread.submit(lambda: session.is_in_thread).result()
    session.disconnect()


def test_hooks_of_the_shell(
    command: Ctl, config: str, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.answers |= {"getAllProcessInfo": [], "getPID": 42}
    lines = iter(["hook", "pd", "last", "never read"])
    asked = []

    def ask(self: object, prompt: str) -> str:
        asked.append(prompt)
        return next(lines)

    monkeypatch.setattr(StandardInput, "ask", ask)
    ran = command("-c", config)
    assert ran.out == "42\n42\n*** Unknown syntax: last\n"
    assert asked == ["supervisor> ", "mine> ", "mine> "]


def test_a_failing_hook_does_not_end_the_shell(
    command: Ctl, config: str, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.answers |= {"getAllProcessInfo": [], "getPID": 42}
    monkeypatch.setattr(Controller, "postcmd", lambda self, stop, line: {}[line])
    lines = iter(["pid", None])
    monkeypatch.setattr(StandardInput, "ask", lambda self, prompt: next(lines))
    assert command("-c", config).out == "42\nerror: 'pid'\n\n"


def test_completion_help_and_unknown_lines(command: Ctl, config: str) -> None:
    pytest.importorskip("readline")
    ran = command("-c", config, "ask")
    assert ran.out.splitlines()[:3] == ["['tail ', None]", "True", "*** Unknown syntax: what"]
    assert ran.out.splitlines()[3].startswith("version\t")
    assert ran.status == 1
