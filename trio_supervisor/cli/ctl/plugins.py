"""Plugins of the client, ``[ctlplugin:x]``: loaded only when the configuration has one."""

from __future__ import annotations

import importlib
from functools import reduce

from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.controller import Controller
from trio_supervisor.cli.ctl.options import OptionError

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from trio_supervisor.cli.ctl.dispatch import Dispatcher, Plugin
    from trio_supervisor.cli.ctl.options import PluginSection


class ControllerPluginBase:
    """The usual base class of plugins."""

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
            text = None if method is None else method.__doc__  # None has one in Python 3.13
            self.ctl.output(text or f"*** No help on {topic}")


class DefaultPlugin(ControllerPluginBase):
    """The first of ``controller.options.plugins``: its ``do_X`` are Supervisor's actions."""

    name = "default"

    def __getattr__(self, name: str) -> Callable[[str], bool]:
        action = name.removeprefix("do_")
        command = None if action == name else COMMANDS.get(action)
        if command is None or command.extension:
            raise AttributeError(name)
        return lambda argument: self.ctl.onecmd(f"{action} {argument}")


def load_plugins(dispatcher: Dispatcher) -> None:
    """Give the dispatcher the plugins of the configuration, in file order. Raises OptionError."""
    controller = dispatcher.controller = Controller(dispatcher)
    options = dispatcher.session.options
    options.plugins = [DefaultPlugin(controller)]
    for section in options.plugin_sections:
        options.plugins.append(_load(section, controller))
    dispatcher.plugins = options.plugins[1:]


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
    except Exception as error:  # the plugin may raise anything: report it without a traceback
        raise OptionError(
            f"{section.factory} of [ctlplugin:{section.name}] failed: {error!r}"
        ) from error
    plugin.name = section.name
    return plugin
