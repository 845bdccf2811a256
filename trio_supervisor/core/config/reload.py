"""Which changed options of ``[supervisord]`` a reread and a reload bring into force.

The option table has what each option needs; groups are compared in ``core/config/model.py``.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import DaemonConfig
from trio_supervisor.core.config.options import SUPERVISORD, RestartScope, filled, restart_scope
from trio_supervisor.core.diagnostics import Diagnostic, Severity

if TYPE_CHECKING:
    from collections.abc import Collection


#: The log names options in this order.
_FIELDS = [field.name for field in fields(DaemonConfig)]


def reread_daemon(
    running: DaemonConfig, read: DaemonConfig
) -> tuple[DaemonConfig, tuple[Diagnostic, ...]]:
    """``[supervisord]`` after a reread, and messages for the log."""
    daemon, effective, waiting = _apply(running, read, {RestartScope.NOTHING})
    texts = [f"the new {name} is in force" for name in effective]
    for scope, needed in (
        (RestartScope.PROGRAMS, "a reload"),
        (RestartScope.DAEMON, "a new start"),
    ):
        if scope in waiting:
            texts.append(f"changed, but {needed} is needed: {', '.join(waiting[scope])}")
    return daemon, tuple(Diagnostic(Severity.INFO, text) for text in texts)


def reload_daemon(
    running: DaemonConfig, read: DaemonConfig
) -> tuple[DaemonConfig, tuple[Diagnostic, ...]]:
    """``[supervisord]`` after a reload, and messages for the log."""
    scopes = {RestartScope.NOTHING, RestartScope.GROUPS, RestartScope.PROGRAMS}
    daemon, _, waiting = _apply(running, read, scopes)
    return daemon, tuple(
        Diagnostic(
            Severity.CRITICAL if name == "user" else Severity.WARN,
            f"{name} has changed in the configuration, but not in the running daemon, which "
            "cannot change it: restart the daemon",
        )
        for name in waiting.get(RestartScope.DAEMON, ())
    )


def _apply(
    running: DaemonConfig, read: DaemonConfig, scopes: Collection[RestartScope]
) -> tuple[DaemonConfig, list[str], dict[RestartScope, list[str]]]:
    """New values of the options that need one of these restarts, old ones of all others.

    Also the names of changed options: those in force, and others by what has to restart.
    """
    new: dict[str, object] = {}
    effective: list[str] = []
    waiting: dict[RestartScope, list[str]] = {}
    for option in sorted(SUPERVISORD, key=lambda option: _FIELDS.index(option.path or "")):
        value = option.read(read)
        if value == option.read(running):
            continue
        scope = restart_scope("supervisord", option)
        if scope in scopes:
            new[option.path or option.name] = value
            effective.append(option.name)
        else:
            waiting.setdefault(scope, []).append(option.name)
    return filled(running, new), effective, waiting
