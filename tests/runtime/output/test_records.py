"""The stage of a log format between a channel and its targets, with a virtual clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_supervisor.core.config.model import LogFormat
from trio_supervisor.core.line_records import Origin
from trio_supervisor.runtime.output.records import LATE, RecordStage

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_supervisor.runtime.output.targets import ChannelTargets

PID = 5


class Written:
    """Log targets that keep what is written."""

    def __init__(self) -> None:
        self.text = b""

    def write(self, data: bytes) -> None:
        self.text += data

    @property
    def lines(self) -> list[str]:
        """The lines without their times."""
        return [line.partition(" ")[2] for line in self.text.decode().splitlines()]


@pytest.mark.behaviour("output.md#lines-without-an-end")
async def test_a_line_without_an_end_is_written_when_it_is_late(mock_clock: MockClock) -> None:
    """Each beginning of a line has a time of its own, and the rest is a record of its own."""
    written = Written()
    stage = RecordStage(
        LogFormat.PREFIX,
        Origin("x", "x", "x", "stdout"),
        cast("ChannelTargets", written),
        lambda: 0.0,
    )

    async def jump(seconds: float) -> None:
        mock_clock.jump(seconds)
        await wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        silence = trio.Event().wait()
        nursery.start_soon(stage.during, silence, PID)
        await wait_all_tasks_blocked()
        stage.write(b"one\npass", PID)
        await jump(LATE - 0.5)
        stage.write(b"word: ", PID)  # more of the same line does not put it off
        await wait_all_tasks_blocked()
        assert written.lines == ["x stdout one"]
        await jump(0.5)
        assert written.lines == ["x stdout one", "x stdout+ password: "]
        await jump(10)
        stage.write(b"\nab", PID)
        await jump(LATE - 0.5)
        stage.write(b"c\nde", PID)  # another line, which is not late yet
        await jump(0.5)
        assert written.lines[2:] == ["x stdout ", "x stdout abc"]
        stage.finish(PID)
        await jump(LATE)
        assert written.lines[4:] == ["x stdout de"]
        nursery.cancel_scope.cancel()
