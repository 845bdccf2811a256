"""From a process's configuration to what its child is made of: command and environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import AUTO
from trio_supervisor.runtime.spawn.command import find_command
from trio_supervisor.runtime.spawn.launcher import SpawnSpec

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.spawn.command import Command


def find_command_of(config: ProcessConfig, host: Host) -> Command:
    """The process's command, found. Raises NoFile or NotExecutable."""
    return find_command(
        config.command,
        directory=config.directory,
        environment=config.environment,
        inherited=host.environment,
    )


def spawn_spec(config: ProcessConfig, group: str, host: Host, stdin: int | None) -> SpawnSpec:
    """What the next child of this process is made of. Raises NoFile or NotExecutable.

    ``stdin`` is a descriptor to give as fd 0; None: a pipe.
    """
    return SpawnSpec(
        label=config.name,
        command=find_command_of(config, host),
        environment=child_environment(config, group, host),
        directory=config.directory,
        umask=config.umask,
        uid=config.uid,
        redirect_stderr=config.redirect_stderr,
        ignore_sigpipe=config.ignore_sigpipe,
        stdin=stdin,
    )


def child_environment(config: ProcessConfig, group: str, host: Host) -> dict[str, str]:
    """The layers of P-062, later ones winning."""
    names = {
        "SUPERVISOR_ENABLED": "1",
        "SUPERVISOR_PROCESS_NAME": config.name,
        "SUPERVISOR_GROUP_NAME": group,
    }
    url = host.server_url if config.serverurl is AUTO else config.serverurl
    if url:
        names["SUPERVISOR_SERVER_URL"] = url
    return {**host.environment, **names, **config.environment}
