"""Options of one process that contradict each other, in files and in Python programs alike.

Each mistake names the option to change. Files that have no such option are not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Task
from trio_supervisor.core.config.stopping import KillMode
from trio_supervisor.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_supervisor.core.config.model import ProcessConfig


@dataclass(frozen=True, slots=True)
class Contradiction:
    """An option that cannot have its value together with the other options of the process."""

    option: str
    text: str
    hint: str


def contradictions(config: ProcessConfig) -> Iterator[Contradiction]:
    """Yield what contradicts each other in the options of a process."""
    yield from _of_readiness(config)
    yield from _of_health(config)
    yield from _of_kill_mode(config)
    if config.essential and config.restarting.on_fatal is not None:
        text = "an essential program cannot be started again after FATAL: its end stops everything"
        yield Contradiction("on_fatal", text, "leave one of essential and on_fatal out")


def _of_kill_mode(config: ProcessConfig) -> Iterator[Contradiction]:
    if config.stopping.kill_mode is KillMode.PROCESS:
        return
    for option in ("stopasgroup", "killasgroup"):
        if getattr(config, option):
            text = f"kill_mode = {config.stopping.kill_mode.value} ends more than {option}"
            yield Contradiction(option, text, f"leave out {option}")
            return


def _of_readiness(config: ProcessConfig) -> Iterator[Contradiction]:
    condition, timeout = config.readiness.condition, config.readiness.timeout
    if condition is None:
        return
    if 0 < timeout < config.startsecs:
        text = f"ready_timeout ({timeout:g} s) is less than startsecs ({config.startsecs} s)"
        yield Contradiction("ready_timeout", text, "use more, or a smaller startsecs")
    if isinstance(config.runnable, Task):
        if config.runnable.announces:
            text = "the task announces by task_status.started() that it is ready"
            yield Contradiction("ready", text, "leave out ready, or task_status")
        elif condition.needs_program:
            text = f"a task cannot be ready by {condition}"
            yield Contradiction("ready", text, "use task_status.started()")


def _of_health(config: ProcessConfig) -> Iterator[Contradiction]:
    health = config.health
    if health.check is None:
        return
    for option, value in (("health_interval", health.interval), ("health_timeout", health.timeout)):
        if value <= 0:
            yield Contradiction(option, f"{option} must be more than 0", "use 1s or more")
    if isinstance(config.runnable, Task) and health.check.needs_program:
        text = f"the health of a task cannot be checked by {health.check}"
        yield Contradiction("health", text, "use tcp:, http:// or exec:")
