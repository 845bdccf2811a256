"""Plugins of the client, ``[ctlplugin:x]`` (ctl.md 7): loaded only when the configuration has one.

``Controller`` is what plugins written for supervisorctl expect to be given, names included.
"""

from __future__ import annotations

import importlib
from functools import reduce

from trio_supervisor.cli.ctl.flags import OptionError

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from typing import Any, Protocol

    from trio_supervisor.cli.ctl.options import Options, PluginSection
    from trio_supervisor.cli.ctl.session import Session

    class Plugin(Protocol):
        """Anything with ``do_X`` methods; the name is that of its section."""

        name: str


class Controller:
    """The client as a plugin sees it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def options(self) -> Options:
        return self._session.options

    @property
    def exitstatus(self) -> int:
        return self._session.exit_status

    @exitstatus.setter
    def exitstatus(self, status: int) -> None:
        self._session.exit_status = status

    def output(self, text: object) -> None:
        self._session.line(str(text))

    def upcheck(self) -> bool:
        return self._session.upcheck()

    def get_server_proxy(self, namespace: str | None = None) -> Proxy:
        return Proxy(self._session, namespace or "")

    def get_supervisor(self) -> Proxy:
        return self.get_server_proxy("supervisor")


class Proxy:
    """Calls by attribute: ``proxy.supervisor.getPID()``."""

    def __init__(self, session: Session, method: str) -> None:
        self._session = session
        self._method = method

    def __getattr__(self, name: str) -> Proxy:
        if name.startswith("__"):  # copy, pickle and the like must not become remote calls
            raise AttributeError(name)
        return Proxy(self._session, f"{self._method}.{name}" if self._method else name)

    def __call__(self, *params: str | int | bool) -> Any:
        return self._session.client().call(self._method, *params)


class ControllerPluginBase:
    """What plugins usually derive from."""

    name = ""

    def __init__(self, controller: Controller, **options: str) -> None:
        self.ctl = controller

    def do_help(self, topic: str) -> None:
        """Show the help of one of this plugin's actions."""
        explain = getattr(self, f"help_{topic}", None)
        if explain is not None:
            explain()
        else:
            method = getattr(self, f"do_{topic}", None)
            self.ctl.output(getattr(method, "__doc__", None) or f"*** No help on {topic}")


def load_plugins(session: Session) -> list[Plugin]:
    """Call every factory of the configuration, in file order. Raises OptionError."""
    controller = Controller(session)
    default = ControllerPluginBase(controller)
    default.name = "default"
    plugins = [_load(section, controller) for section in session.options.plugin_sections]
    session.options.plugins = [default, *plugins]
    return plugins


def _load(section: PluginSection, controller: Controller) -> Plugin:
    module, _, path = section.factory.partition(":")
    try:
        factory: Any = reduce(getattr, path.split("."), importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(
            f"{section.factory} cannot be resolved within [ctlplugin:{section.name}]: {error}"
        ) from None
    try:
        plugin: Plugin = factory(controller, **section.options)
    except Exception as error:  # somebody else's code: whatever it raises is its mistake (D-27)
        raise OptionError(
            f"{section.factory} of [ctlplugin:{section.name}] failed: {error!r}"
        ) from error
    plugin.name = section.name
    return plugin
