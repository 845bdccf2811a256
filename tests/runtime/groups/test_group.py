"""Processes that are added to and removed from a group while it runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fakes import Recorder, program
from tests.kit.running import running
from trio_supervisor.core.config.model import AUTO, ChannelConfig, DaemonConfig
from trio_supervisor.core.errors import AlreadyAdded, BadName, StillRunning
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from pathlib import Path


async def test_an_added_process_runs_in_its_place_and_siblings_are_left_alone(
    autojump_clock: MockClock,
) -> None:
    recorder = Recorder()
    group = recorder.group(program("b", priority=2), program("d", priority=4))
    async with running(group, recorder.host):
        b = group.processes["b"]
        await b.start()
        added = group.add(program("c", priority=3))
        assert list(group.processes) == ["b", "c", "d"]
        assert [process.name for process in group.config.processes] == ["b", "d", "c"]
        await wait_all_tasks_blocked()
        assert len(recorder.launcher.children) == 1  # nothing is started
        await added.start()
        assert added.state is State.RUNNING
        with pytest.raises(AlreadyAdded):
            group.add(program("c"))
        assert (b.state, len(recorder.launcher.children)) == (State.RUNNING, 2)


async def test_a_process_is_removed_when_it_has_ended(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    recorder = Recorder(DaemonConfig(childlogdir=str(tmp_path)))
    auto = ChannelConfig(logfile=AUTO)
    group = recorder.group(program("a", stdout=auto), program("b", stdout=auto))
    async with running(group, recorder.host):
        a, b = group.processes.values()
        await a.start()
        await b.start()
        with pytest.raises(StillRunning):
            group.remove("a")
        await a.stop()
        assert len(os.listdir(tmp_path)) == 2
        group.remove("a")
        await wait_all_tasks_blocked()
        assert list(group.processes) == ["b"]
        assert group.config.processes == (b.config,)
        (left,) = os.listdir(tmp_path)
        assert str(tmp_path / left) == b.stdout.logfile
        with pytest.raises(BadName):
            group.remove("a")
        with pytest.raises(BadName):
            await a.start()  # somebody remembers it
        assert b.state is State.RUNNING
        again = group.add(program("a"))
        await again.start()
        assert again.state is State.RUNNING
