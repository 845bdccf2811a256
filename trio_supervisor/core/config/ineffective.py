"""Policies that cannot have an effect beside the other options of the program.

They are no mistakes: the file runs. But somebody counts on what they say.
"""

from __future__ import annotations

from signal import SIGKILL, SIGSTOP
from typing import TYPE_CHECKING

from trio_supervisor.core.config.model import Autorestart, OnUnhealthy
from trio_supervisor.core.config.policies import Contradiction
from trio_supervisor.core.config.restarting import Backoff
from trio_supervisor.core.process.restart import RESTART_FLOOR

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from trio_supervisor.core.config.model import ProcessConfig


#: Options that only say how ``health`` is checked, and what follows.
OF_HEALTH = (
    *("health_interval", "health_timeout", "health_failures"),
    *("on_unhealthy", "dump_signal"),
)
#: Signals for which no program has a handler.
UNHANDLED = (SIGKILL, SIGSTOP)


def ineffective(config: ProcessConfig, written: Container[str]) -> Iterator[Contradiction]:
    """Yield those of the written options of a program that have no effect, or a late one.

    The text completes the name of the option.
    """
    yield from (one for one in _of_retries(config) if one.option in written)
    yield from (one for one in _of_restarts(config) if one.option in written)
    yield from (one for one in _of_probes(config) if one.option in written)
    yield from (one for one in _of_hooks(config) if one.option in written)
    restarts = config.autorestart is not Autorestart.NEVER and not config.oneshot
    if restarts and "essential" in written and "autorestart" not in written and config.essential:
        text = "ends everything only when the program is not restarted any more after a crash"
        yield Contradiction(
            "essential", text, "write autorestart = false to end at the first crash, or unexpected"
        )


def _of_hooks(config: ProcessConfig) -> Iterator[Contradiction]:
    stopping = config.stopping
    if stopping.refresh_command is not None:
        text = "has no effect beside refresh_command"
        yield Contradiction("refresh_signal", text, "leave one of the two out")
    elif stopping.refresh_signal in UNHANDLED:
        text = "is a signal that no program can handle, so each refresh fails"
        yield Contradiction(
            "refresh_signal", text, "use one that lets the program reload, like HUP"
        )
    hooks = (stopping.pre_start, stopping.post_stop, stopping.refresh_command)
    if hooks == (None,) * len(hooks):
        text = "has no effect: the program has no pre_start, post_stop or refresh_command"
        yield Contradiction("hook_timeout", text, "leave it out")


def _of_probes(config: ProcessConfig) -> Iterator[Contradiction]:
    health = config.health
    if config.readiness.condition is None:
        text = "has no effect: the program has no ready option"
        yield Contradiction("ready_timeout", text, "add ready, or leave it out")
    if health.check is None:
        text = "has no effect: the program has no health option"
        for option in OF_HEALTH:
            yield Contradiction(option, text, "add health, or leave it out")
        return
    if health.on_unhealthy is not OnUnhealthy.RESTART:
        text = "has no effect: the program is not restarted for ill health"
        yield Contradiction("dump_signal", text, "leave it out, or use on_unhealthy = restart")
    if health.check.needs_program:
        text = "has no effect: with health = notify one missing message is enough"
        yield Contradiction("health_failures", text, "leave it out")
        text = "has no effect: with health = notify health_interval is the time"
        yield Contradiction("health_timeout", text, "leave it out")


def _of_retries(config: ProcessConfig) -> Iterator[Contradiction]:
    options = config.restarting
    if options.retry_forever:
        text = "has no effect beside retry_forever = true"
        yield Contradiction("startretries", text, "leave one of the two out")
        if options.on_fatal is not None and options.restart_limit is None:
            text = "has no effect: with retry_forever = true the program is never given up"
            yield Contradiction("on_fatal", text, "leave one of the two out")
    if isinstance(options.backoff, tuple):
        text = "has no effect: backoff lists the pauses"
        yield Contradiction("backoff_initial", text, "leave it out")
    elif options.backoff_max is not None and options.backoff_max < options.backoff_initial:
        text = "is less than backoff_initial, so all pauses are the same"
        yield Contradiction("backoff_max", text, "use more, or less for backoff_initial")
    if not _is_retried(config):
        text = "has no effect: with startretries = 0 a failed start is not tried again"
        hint = "leave it out, or raise startretries"
        yield Contradiction("backoff_initial", text, hint)
        if not (options.backoff is Backoff.EXPONENTIAL and options.restart_delay):
            yield Contradiction("backoff", text, hint)


def _of_restarts(config: ProcessConfig) -> Iterator[Contradiction]:
    options, hint = config.restarting, "leave it out, or use autorestart = unexpected"
    if not _is_restarted(config):
        text = "has no effect: with autorestart = false the program is not restarted"
        yield Contradiction("restart_delay", text, hint)
        yield Contradiction("restart_limit", text, hint)
        if not _is_retried(config):
            text = "has no effect: nothing is started again automatically anyway"
            yield Contradiction("restart_prevent", text, "leave it out")
    elif options.restart_limit is not None:
        apart = max(RESTART_FLOOR, config.startsecs + options.restart_delay)
        limit = options.restart_limit
        if limit.count * apart > limit.within:
            text = f"is never reached: restarts are at least {apart:g} s apart"
            yield Contradiction("restart_limit", text, "use fewer restarts, or a longer time")


def _is_retried(config: ProcessConfig) -> bool:
    return config.startretries > 0 or config.restarting.retry_forever


def _is_restarted(config: ProcessConfig) -> bool:
    ill = config.health.check is not None and config.health.on_unhealthy is OnUnhealthy.RESTART
    too_large = config.limits.memory_max is not None  # restarted where the daemon watches it
    return config.autorestart is not Autorestart.NEVER or ill or too_large
