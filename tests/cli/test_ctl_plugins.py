"""Plugins of the client: ctl.md 7, D-23, D-27."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kit.rpc_stub import fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kit.ctl import Ran
    from tests.kit.rpc_stub import Stub

    Ctl = Callable[..., Ran]

PLUGIN = '''
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


def test_action(command: Ctl, config: str, stub: Stub) -> None:
    stub.answers |= {"getPID": 42, "other.add": 3}
    ran = command("-c", config, "paint a  b")
    assert ran == (9, "a  b {'color': 'red'} mine\n42\n3\n42\n", "")
    assert ("other.add", 1, "x") in stub.calls


def test_options_and_order(command: Ctl, config: str, stub: Stub) -> None:
    ran = command("-c", config, "-u", "me", "-i", "look")
    assert ran.out == f"('{stub.url}', 'me', None)\n(True, ['default', 'mine', 'two'])\n"


def test_built_in_actions_come_first(command: Ctl, config: str, stub: Stub) -> None:
    stub.answers["getAllProcessInfo"] = []
    assert command("-c", config, "status") == (0, "", "")


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


def test_help_D23(command: Ctl, config: str) -> None:
    ran = command("-c", config, "help")
    assert "\nmine commands (type help <topic>):\n==================================\n" in ran.out
    assert "\nfail  leave  look  paint  status\n" in ran.out
    assert command("-c", config, "help paint").out == "paint <what>\tPaints.\n"
    assert command("-c", config, "help fail").out == "fails\n"
    assert command("-c", config, "help nosuch").out == "*** No help on nosuch\n"


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
def test_factories_that_do_not_work_D27(
    command: Ctl, write: Callable[[str], str], section: str, message: str
) -> None:
    ran = command("-c", write(f"[ctlplugin:x]\n{section}"), "help")
    assert (ran.status, ran.out) == (2, "")
    first, second = ran.err.splitlines()
    assert first.startswith(f"Error: {message}")
    assert second == "For help, use tsupervisorctl -h"
