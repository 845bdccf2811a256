"""Reports of worker threads, which the event loop passes on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.fakes import log_lines
from trio_supervisor.core.config.model import Severity
from trio_supervisor.runtime.logs.reports import ReportQueue

if TYPE_CHECKING:
    from trio_supervisor.runtime.logs.reports import Report


def refused(severity: Severity, text: str) -> None:
    raise ValueError(text)


async def in_a_thread(queue: ReportQueue, *reports: tuple[Report, str]) -> None:
    def add() -> None:
        for report, text in reports:
            queue.add(report, Severity.INFO, text)

    thread = threading.Thread(target=add)
    thread.start()
    await trio.to_thread.run_sync(thread.join)
    await wait_all_tasks_blocked()


async def test_one_that_cannot_be_logged_holds_up_no_other() -> None:
    lines: list[str] = []
    queue = ReportQueue()
    await in_a_thread(queue, (log_lines(lines), "a"), (refused, "b"), (log_lines(lines), "c"))
    assert len(lines) == 2


def test_the_loop_passes_them_on_that_was_entered_last() -> None:
    lines: list[str] = []
    queue = ReportQueue()

    async def attached() -> None:
        queue.attach()
        await in_a_thread(queue, (log_lines(lines), "a"))

    for number in (1, 2):
        trio.run(attached)
        assert len(lines) == number
