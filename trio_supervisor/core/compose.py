"""A compose file of the programs of a configuration: each process is a service. Pure.

Strings are written as JSON, which is YAML too, so no YAML library is needed.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Autorestart, GroupKind
from trio_supervisor.core.process.signals import signal_name
from trio_supervisor.core.unit_files import unit_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_supervisor.core.config.model import GroupConfig, ProcessConfig

#: A compose file cannot know in which image a program is; the shell's form makes it ask.
IMAGE = "${IMAGE:?the image that has the programs}"
_RESTART = {
    Autorestart.NEVER: "no",
    Autorestart.UNEXPECTED: "on-failure",
    Autorestart.ALWAYS: "always",
}


def compose_file(groups: Iterable[GroupConfig], user_name: Mapping[int, str]) -> str:
    """The text of the file: one service for each process. Listener pools are left out."""
    lines = ["services:"]
    for group in groups:
        if group.kind is not GroupKind.POOL:
            for process in group.processes:
                same = process.name == group.name
                name = unit_name(process.name if same else f"{group.name}-{process.name}")
                lines += [f"  {json.dumps(name.replace(':', '_'))}:"]
                lines += [f"    {line}" for line in _service(process, user_name)]
    return "\n".join(lines) + "\n"


def _service(process: ProcessConfig, user_name: Mapping[int, str]) -> list[str]:
    command = [_literal(word) for word in shlex.split(process.command)]
    lines = [
        f"image: {json.dumps(IMAGE)}",
        f"command: {json.dumps(command, ensure_ascii=False)}",
        "init: true",
        f"restart: {json.dumps(_RESTART[process.autorestart])}",
        f"stop_signal: {signal_name(process.stopsignal)}",
        f"stop_grace_period: {process.stopwaitsecs}s",
    ]
    if process.directory is not None:
        lines.append(f"working_dir: {_string(process.directory)}")
    if process.uid is not None:
        lines.append(f"user: {_string(user_name.get(process.uid, str(process.uid)))}")
    limits = process.limits
    if limits.memory_max is not None:
        lines.append(f"mem_limit: {limits.memory_max}")
    if limits.cpu_max is not None:
        lines.append(f"cpus: {limits.cpu_max:g}")
    if limits.pids_max is not None:
        lines.append(f"pids_limit: {limits.pids_max}")
    if process.environment:
        lines.append("environment:")
        for name, value in process.environment.items():
            lines.append(f"  {_string(name)}: {_string(value)}")
    if not process.autostart:
        lines.append('profiles: ["manual"]')
    return lines


def _string(text: str) -> str:
    return json.dumps(_literal(text), ensure_ascii=False)


def _literal(text: str) -> str:
    """Text in which compose replaces no variable."""
    return text.replace("$", "$$")
