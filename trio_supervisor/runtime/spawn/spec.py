"""Description of a child to spawn, built from the configuration of its process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trio_supervisor.core.config.model import AUTO
from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.runtime.spawn.command import find_command
from trio_supervisor.runtime.spawn.steps import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trio_supervisor.core.config.model import ProcessConfig
    from trio_supervisor.runtime.spawn.command import FoundCommand
    from trio_supervisor.runtime.spawn.steps import Argument


#: The steps that a configuration can ask for, with what tells their arguments.
_SETTINGS = [(step.name, step.setting) for step in STEPS if step.setting is not None]


class Logs(Protocol):
    """The logs of a child, see ``output/child_logs.py``."""

    @property
    def are_files(self) -> bool:
        """Whether they can be taken when there is a child."""

    def open(self) -> None:
        """Open all. Raises SpawnError, also if it was given up meanwhile."""

    def take(self) -> None:
        """Write to those that are open; in the event loop. Raises SpawnError."""

    def left(self, seconds: float) -> float:
        """Return how much is left of so many seconds for opening them."""

    def give_up(self) -> bool:
        """Open them no more; False if they are open."""

    def unanswered(self) -> Exception:
        """Return the SpawnError to raise if opening them takes too long."""


@dataclass(frozen=True, slots=True)
class SpawnSpec:
    """Everything needed to make one child."""

    label: str
    """The process's name, for error texts."""
    command: FoundCommand
    environment: Mapping[str, str]
    steps: Mapping[str, Argument]
    """Arguments of what the child does before it executes the program, by name of the step."""
    uid: int | None
    """User to run as; None means the supervisor's own. Resolved to steps when the child is made,
    in a worker thread, because the user database may be far away (LDAP)."""
    redirect_stderr: bool
    gid: int | None = None
    """Group to run as; None means that of the user."""
    stdin: int | None = None
    """A descriptor to give as fd 0 instead of a pipe (FastCGI)."""
    descriptor: int | None = None
    """What the step "descriptor" passes to the child; the caller closes it."""
    before_fork: Callable[[Mapping[str, int]], object] | None = None
    """Called with our ends of the pipes just before the fork, in a worker thread."""
    logs: Logs | None = None
    """What is opened before that, in the same thread; None: nothing is."""


def find_command_of(config: ProcessConfig, inherited: Mapping[str, str]) -> FoundCommand:
    """Find the process's command; ``inherited`` is the supervisor's environment.

    Raises NoFile or NotExecutable.
    """
    return find_command(
        config.command,
        directory=config.directory,
        environment=config.environment,
        inherited=inherited,
    )


def spawn_spec(
    config: ProcessConfig,
    group: str,
    *,
    inherited: Mapping[str, str],
    server_url: str | None,
    stdin: int | None,
    owner: str = "",
) -> SpawnSpec:
    """Describe the next child of a process. Raises NoFile or NotExecutable.

    ``inherited`` is the supervisor's environment, ``server_url`` the address of its own server, and
    ``stdin`` a descriptor to give as fd 0 (None means a pipe). ``owner`` is that of ``Host``.
    """
    names = {
        "SUPERVISOR_ENABLED": "1",
        "SUPERVISOR_PROCESS_NAME": config.name,
        "SUPERVISOR_GROUP_NAME": group,
    }
    url = server_url if config.serverurl is AUTO else config.serverurl
    if url:
        names["SUPERVISOR_SERVER_URL"] = url
    if owner:
        from trio_supervisor.runtime.spawn.owned import mark  # few daemons need it

        names.update(mark(owner, full_name(config.name, group)))
    return SpawnSpec(
        label=config.name,
        command=find_command_of(config, inherited),
        environment={**inherited, **names, **config.environment},
        steps=steps_of(config),
        uid=config.uid,
        gid=config.identity.gid,
        redirect_stderr=config.redirect_stderr,
        stdin=stdin,
    )


def steps_of(config: ProcessConfig) -> dict[str, Argument]:
    """Return the arguments of the steps that this configuration asks for."""
    arguments = {}
    for name, setting in _SETTINGS:
        if (argument := setting(config)) is not None:
            arguments[name] = argument
    return arguments
