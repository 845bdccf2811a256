"""Whether processes are as they should be, and waiting until they are; with real children."""

from __future__ import annotations

import math

import pytest
import trio

from trio_supervisor import State, Supervisor, open_supervisor
from trio_supervisor.core.config.model import Autorestart
from trio_supervisor.core.errors import BadName, IncorrectParameters
from trio_supervisor.core.xmlrpc import Value
from trio_supervisor.runtime.rpc.method import SECONDS
from trio_supervisor.runtime.rpc.tsupervisor import unhealthy, wait_for_state

#: Seconds no machine needs.
LONG = 30.0


async def ailing(supervisor: Supervisor, *names: Value) -> dict[object, object]:
    """State by name of those that are not healthy."""
    found = await unhealthy(supervisor, list(names))
    assert isinstance(found, list)
    rows = [row for row in found if isinstance(row, dict)]
    assert all(row["reason"] for row in rows)
    return {row["full_name"]: row["statename"] for row in rows}


async def states(supervisor: Supervisor, names: list[Value], *rest: object) -> list[object]:
    rows = await wait_for_state(supervisor, names, *rest)  # type: ignore[arg-type]  # plain lists of strings
    assert isinstance(rows, list)
    return [row["statename"] for row in rows if isinstance(row, dict)]


async def test_what_counts_as_healthy() -> None:
    async with open_supervisor() as supervisor:
        once = Autorestart.NEVER
        cat = supervisor.add_program("cat", "/bin/cat", startsecs=0)
        done = supervisor.add_program("done", "/bin/true", startsecs=0, autorestart=once)
        supervisor.add_program("off", "/bin/cat", autostart=False)
        await cat.wait_for(State.RUNNING)
        await done.wait_for(State.EXITED)
        assert await ailing(supervisor) == {}
        assert await ailing(supervisor, "cat", "off") == {"off": "STOPPED"}

        failed = supervisor.add_program(
            "failed", ["/bin/sh", "-c", "exit 7"], startsecs=0, autorestart=once
        )
        flop = supervisor.add_program("flop", "/bin/false", startretries=9)
        lost = supervisor.add_program("lost", "/no/such", startretries=0)
        slow = supervisor.add_program("slow", "/bin/cat", startsecs=100)
        await failed.wait_for(State.EXITED)
        await flop.wait_for(State.BACKOFF)
        await lost.wait_for(State.FATAL)
        await slow.wait_for(State.STARTING)
        await cat.stop()
        assert await ailing(supervisor) == {
            "cat": "STOPPED",
            "failed": "EXITED",
            "flop": "BACKOFF",
            "lost": "FATAL",
            "slow": "STARTING",
        }
        assert await ailing(supervisor, "done") == {}
        with pytest.raises(BadName):
            await unhealthy(supervisor, ["nosuch"])


@pytest.mark.behaviour("http.md#tsupervisor-methods")
async def test_waiting_for_a_state() -> None:
    async with open_supervisor() as supervisor:
        cat = supervisor.add_program("cat", "/bin/cat", startsecs=0, autostart=False)
        other = supervisor.add_program("other", "/bin/cat", startsecs=0)
        await other.wait_for(State.RUNNING)
        names: list[Value] = ["cat", "other"]
        assert await states(supervisor, names, ["RUNNING"], 0.0) == ["STOPPED", "RUNNING"]
        assert await states(supervisor, names, ["STOPPED", "RUNNING"], LONG) == [
            "STOPPED",
            "RUNNING",
        ]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cat.start)
            with trio.fail_after(LONG):
                assert await states(supervisor, names, ["RUNNING"], LONG * 2) == ["RUNNING"] * 2


async def test_waiting_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    async with open_supervisor() as supervisor:
        supervisor.add_program("off", "/bin/cat", autostart=False)
        began = trio.current_time()
        assert await states(supervisor, ["off"], ["RUNNING"], 1e9) == ["STOPPED"]
        assert trio.current_time() - began == pytest.approx(60, abs=1)


async def test_wrong_arguments_of_waiting() -> None:
    async with open_supervisor() as supervisor:
        supervisor.add_program("off", "/bin/cat", autostart=False)
        wrongs: tuple[list[Value], ...] = (["RUNING"], ["running"], [], [20])
        for wrong in wrongs:
            with pytest.raises(IncorrectParameters):
                await wait_for_state(supervisor, ["off"], wrong, 0.0)
        with pytest.raises(BadName):
            await wait_for_state(supervisor, ["nosuch"], ["RUNNING"], 0.0)
    wrong_seconds: tuple[Value, ...] = (-1, math.nan, "1", True, [], None)
    for seconds in wrong_seconds:
        with pytest.raises(IncorrectParameters):
            SECONDS.convert(seconds)
    assert SECONDS.convert(2) == 2.0
