"""Ends for good that end the supervisor, also of what others depend on; fakes, a virtual clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.runtime.test_supervisor import Stage, group, supervised
from trio_supervisor.core.config.depends_on import Dependencies, parse_dependencies
from trio_supervisor.core.config.model import (
    Autorestart,
    DaemonConfig,
    ExitWhen,
    GroupConfig,
    GroupKind,
    PoolConfig,
)
from trio_supervisor.core.process.cause import Cause, CauseKind
from trio_supervisor.core.process.states import DaemonState

ALL_ENDED = DaemonConfig(exit_when=ExitWhen.ALL_ENDED)


def once(name: str, needs: str = "", **options: object) -> GroupConfig:
    dependencies = Dependencies(parse_dependencies(needs) if needs else ())
    values = {"startsecs": 0, "autorestart": Autorestart.NEVER, **options}
    return group(name, dependencies=dependencies, **values)  # type: ignore[arg-type]  # test data


async def state_after(stage: Stage, name: str, code: int) -> DaemonState:
    """End the child of a process; return the state of the supervisor once all has settled."""
    stage.child(name).die(code)
    await trio.sleep(1)
    await wait_all_tasks_blocked()
    return stage.supervisor.state


@pytest.mark.behaviour("policies.md#exit_when")
async def test_what_waits_for_what_has_ended_does_not_count(autojump_clock: MockClock) -> None:
    """``b`` needs the job ``a``, which fails, and ``c`` needs ``b``."""
    job = once("a", oneshot=True, startretries=0)
    async with supervised(job, once("b", "a:done"), once("c", "b"), daemon=ALL_ENDED) as stage:
        assert await state_after(stage, "a", 3) is DaemonState.SHUTDOWN
        assert stage.supervisor.exit_code == 3


@pytest.mark.behaviour("policies.md#ended-for-good")
async def test_an_essential_program_that_waits_in_vain(autojump_clock: MockClock) -> None:
    job = once("a", oneshot=True, startretries=0)
    async with supervised(job, once("b", "a:done", essential=True), once("x")) as stage:
        assert await state_after(stage, "a", 3) is DaemonState.SHUTDOWN
        failure = stage.supervisor.failure
        assert failure is not None
        assert (failure.process, failure.reason, failure.code) == (
            "b", "waiting for a, which is FATAL", 1
        )  # fmt: skip


@pytest.mark.behaviour("policies.md#ended-for-good")
async def test_a_wait_for_what_a_person_has_stopped_is_no_end(autojump_clock: MockClock) -> None:
    job = once("a", oneshot=True)
    b = once("b", "a:done", essential=True)
    async with supervised(job, b, daemon=ALL_ENDED) as stage:
        await stage.supervisor.process("a").stop()
        await trio.sleep(1)
        assert stage.supervisor.process("b").attempt.waits_in_vain
        assert stage.supervisor.state is DaemonState.RUNNING


@pytest.mark.behaviour("policies.md#exit_when")
async def test_a_stop_and_the_end_of_a_listener_end_nothing(autojump_clock: MockClock) -> None:
    listener = replace(
        once("l"), kind=GroupKind.POOL, pool=PoolConfig(frozenset({"PROCESS_STATE"}))
    )
    async with supervised(listener, once("a"), once("b"), daemon=ALL_ENDED) as stage:
        assert await state_after(stage, "a", 0) is DaemonState.RUNNING
        await stage.supervisor.process("b").stop()
        assert await state_after(stage, "l", 1) is DaemonState.RUNNING
        await stage.supervisor.process("a").start()
        assert await state_after(stage, "a", 0) is DaemonState.SHUTDOWN
        assert stage.supervisor.exit_code == 0


@pytest.mark.behaviour("policies.md#ended-for-good")
async def test_a_stop_by_an_option_is_an_end(autojump_clock: MockClock) -> None:
    """As ``on_unhealthy = stop`` stops it; a program that exits with 0 then has failed too."""
    async with supervised(once("a", essential=True), once("b")) as stage:
        stage.child("a").on_signal = lambda child, number: child.die(0)
        stage.supervisor.process("a").request_stop(cause=Cause(CauseKind.PROBE))
        await stage.finished.wait()
        assert stage.supervisor.exit_code == 1
