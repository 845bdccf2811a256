"""What a configuration read again means for the daemon itself (config.md 13.6, 13.8).

The option table says of each option what it takes; groups are compared in ``core/config/model.py``.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from trio_supervisor.core.config.model import DaemonConfig
from trio_supervisor.core.config.options import SUPERVISORD, Effect, effect_of
from trio_supervisor.core.diagnostics import Diagnostic, Severity

if TYPE_CHECKING:
    from collections.abc import Collection

#: Fields of the model that have another name as options.
_OPTION_NAMES = {"uid": "user"}
_EFFECTS = {option.name: effect_of("supervisord", option) for option in SUPERVISORD}


def reread_daemon(
    running: DaemonConfig, read: DaemonConfig
) -> tuple[DaemonConfig, tuple[Diagnostic, ...]]:
    """``[supervisord]`` as a reread leaves it, and what the log is to say (Q69)."""
    daemon, effective, waiting = _take_over(running, read, {Effect.REREAD})
    said = [f"the new {name} is in force" for name in effective]
    for effect, needed in ((Effect.RELOAD, "a reload"), (Effect.START, "a new start")):
        if effect in waiting:
            said.append(f"changed, but {needed} is needed: {', '.join(waiting[effect])}")
    return daemon, tuple(Diagnostic(Severity.INFO, text) for text in said)


def reload_daemon(
    running: DaemonConfig, read: DaemonConfig
) -> tuple[DaemonConfig, tuple[Diagnostic, ...]]:
    """``[supervisord]`` as a reload leaves it, and what the log is to say (Q83, Q84)."""
    effects = {Effect.REREAD, Effect.UPDATE, Effect.RELOAD}
    daemon, _, waiting = _take_over(running, read, effects)
    return daemon, tuple(
        Diagnostic(
            Severity.CRITICAL if name == "user" else Severity.WARN,
            f"{name} has changed in the configuration, but stays what it was: "
            "a running daemon cannot change it, start it anew",
        )
        for name in waiting.get(Effect.START, ())
    )


def _take_over(
    running: DaemonConfig, read: DaemonConfig, effects: Collection[Effect]
) -> tuple[DaemonConfig, list[str], dict[Effect, list[str]]]:
    """New values of the options that have one of these effects, old ones of all others.

    Also the names of the options that have changed: effective ones, and others by their effect.
    """
    new: dict[str, Any] = {}
    effective: list[str] = []
    waiting: dict[Effect, list[str]] = {}
    for field in fields(DaemonConfig):
        value = getattr(read, field.name)
        if value == getattr(running, field.name):
            continue
        option = _OPTION_NAMES.get(field.name, field.name)
        effect = _EFFECTS[option]
        if effect in effects:
            new[field.name] = value
            effective.append(option)
        else:
            waiting.setdefault(effect, []).append(option)
    return replace(running, **new), effective, waiting
