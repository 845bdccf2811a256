"""Runs servers for tests without trio: a supervisor in its own thread.

Tests that run in trio use ``open_supervisor`` itself; docs/embedding.md shows both.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Unpack

import trio

from trio_supervisor.runtime.embedding import open_supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trio_supervisor.core.config.model import ProgramOptions
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor

__all__ = ["NotReady", "Programs", "supervised_programs"]

#: Default seconds for a program to become ready: generous, because only failures take that long.
READY_WITHIN = 30.0
#: Seconds at the end after which programs that have not stopped are killed.
STOP_WITHIN = 10.0


class NotReady(AssertionError):
    """A program did not write the expected line in time; the text shows its output."""


class Programs:
    """The programs of a test. Call its methods from the thread of the test."""

    def __init__(self, supervisor: Supervisor, nursery: trio.Nursery) -> None:
        self._supervisor = supervisor
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()
        self._lines: dict[str, list[str]] = {}
        self._news = trio.lowlevel.ParkingLot()
        self.done = trio.Event()

    def start(
        self,
        name: str,
        command: str | Sequence[str],
        *,
        timeout: float = READY_WITHIN,
        **options: Unpack[ProgramOptions],
    ) -> str:
        """Start a program and wait until it is ready.

        It is ready when it has written a line that contains ``ready`` to stdout or stderr; this
        line is returned. Here ``ready`` is the text, not a condition as in a configuration; without
        it the program is ready when it is RUNNING. ``timeout`` is in seconds. Raises NotReady or
        RequestError.
        """
        ready = options.pop("ready", None)
        trio.from_thread.run(self._begin, name, command, options, trio_token=self._token)
        return "" if ready is None else self.wait_for_line(name, ready, timeout=timeout)

    def wait_for_line(self, name: str, text: str, *, timeout: float = READY_WITHIN) -> str:
        """Wait for the first line of the program that contains ``text``, and return it.

        ``timeout`` is in seconds. Raises NotReady.
        """
        return trio.from_thread.run(self._line_with, name, text, timeout, trio_token=self._token)

    def lines(self, name: str) -> list[str]:
        """Return the lines that the program has written so far."""
        return trio.from_thread.run_sync(lambda: list(self._lines[name]), trio_token=self._token)

    def stop(self, name: str) -> None:
        """Stop a program and remove it; its lines are kept."""
        trio.from_thread.run(self._supervisor.remove, name, trio_token=self._token)

    def end(self) -> None:
        """Stop all programs."""
        trio.from_thread.run_sync(self.done.set, trio_token=self._token)

    async def _begin(
        self, name: str, command: str | Sequence[str], options: ProgramOptions
    ) -> None:
        with_all: ProgramOptions = {
            "startsecs": 0,
            **options,
            "autostart": False,
            "redirect_stderr": True,
        }
        process = self._supervisor.add_program(name, command, **with_all)
        self._lines[name] = []
        await self._nursery.start(self._collect, process)
        await process.start()

    async def _line_with(self, name: str, text: str, within: float) -> str:
        lines = self._lines[name]
        with trio.move_on_after(within):
            while True:
                found = next((line for line in lines if text in line), None)
                if found is not None:
                    return found
                await self._news.park()
        wrote = "\n".join(lines) or "(nothing)"
        raise NotReady(f"{name} wrote no {text!r} within {within} seconds, but:\n{wrote}")

    async def _collect(self, process: Process, *, task_status: trio.TaskStatus[None]) -> None:
        with process.output() as output:
            task_status.started()
            async for line in output.lines():
                self._lines[process.name].append(line)
                self._news.unpark_all()


@contextmanager
def supervised_programs() -> Iterator[Programs]:
    """A context manager, usually in a fixture, that stops its programs at the end."""
    begun: Future[Programs] = Future()

    async def main() -> None:
        async with (
            trio.open_nursery() as nursery,
            open_supervisor(stop_within=STOP_WITHIN) as supervisor,
        ):
            programs = Programs(supervisor, nursery)
            begun.set_result(programs)
            await programs.done.wait()

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as error:
            if begun.done():
                raise
            begun.set_exception(error)

    thread = threading.Thread(target=run, name="supervised programs")
    thread.start()
    programs = begun.result()
    try:
        yield programs
    finally:
        programs.end()
        thread.join()
