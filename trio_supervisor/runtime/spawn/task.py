"""An async function in the place of an operating-system process: the child of a supervised task.

The child ends when the function returns or raises, is stopped by cancellation, and has an exit
status that shows which of these happened.
"""

from __future__ import annotations

import errno
import signal
import traceback
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import Severity, Task
from trio_supervisor.core.config.names import full_name
from trio_supervisor.core.process.exit import Exit, ResourceUsage
from trio_supervisor.core.process.log_lines import ProcessLine
from trio_supervisor.core.process.states import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_supervisor.core.process.member import Member
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.spawn.child import Carry

    TaskFunction = Callable[..., Awaitable[object]]

#: Signals that by default end a program; they cancel a task.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGKILL)
#: Exit status of a task that ended with an exception, as of a Python program.
FAILED = 1


class TaskOutcome:
    """Results of the runs of a task."""

    def __init__(self) -> None:
        self.exception: BaseException | None = None
        """What ended the last run that has ended; None if it has returned or was cancelled."""
        self.result: object = None
        """What this run has returned."""
        self.announced: object = None
        """The argument of ``task_status.started()`` of the present or last run."""

    def ended(self, *, exception: BaseException | None = None, result: object = None) -> None:
        """Keep what a run has given, until the next one ends."""
        self.exception, self.result = exception, result


class TaskChild:
    """One run of the function: a ``Child`` without pid and pipes."""

    pid = 0
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    usage: ResourceUsage | None = None
    cannot_be_killed = (
        "was cancelled and does not end; let trio.Cancelled pass, and end every shield"
    )

    def __init__(
        self,
        name: str,
        function: TaskFunction,
        host: Host,
        *,
        group: str,
        outcome: TaskOutcome,
        started: Callable[[], None],
        write_note: Callable[[str], None],
    ) -> None:
        """``started`` is called when the function calls ``task_status.started()``, ``write_note``
        with the traceback of an exception. ``outcome`` gets what the run gives."""
        self._name = name
        self._full_name = full_name(name, group)
        self._outcome = outcome
        self._function = function
        self._started = started
        self._write_note = write_note
        self._host = host
        self._scope = trio.CancelScope()
        self._signal: int = signal.SIGTERM
        self._exit: Exit | None = None
        self._ended = trio.Event()

    def serve(self, nursery: trio.Nursery, carry: Carry) -> None:
        nursery.start_soon(self._run)  # there are no bytes to carry

    async def _run(self) -> None:
        """Run the function. Its exceptions stop here."""
        ended = Exit(FAILED)
        try:
            with self._scope:
                if Task(self._function).announces:
                    result = await self._function(task_status=_Status(self._announced))
                else:
                    result = await self._function()
                self._outcome.ended(result=result)
                ended = Exit(0)
            if self._scope.cancelled_caught:
                self._outcome.ended()
                ended = Exit(None, self._signal)
        except (KeyboardInterrupt, SystemExit) as error:
            self._outcome.ended(exception=error)
            self._host.abort(error)
        except Exception as error:
            self._outcome.ended(exception=error)
            below_us = error.__traceback__ and error.__traceback__.tb_next
            self._write_note("".join(traceback.format_exception(None, error, below_us)))
            what = "".join(traceback.format_exception_only(error)).strip()
            text = f"task '{self._name}' has failed: {what}"
            self._host.log(
                Severity.ERROR, ProcessLine(text, self._full_name, 0, State.RUNNING, error)
            )
        finally:
            self._exit = ended
            self._ended.set()

    def _announced(self, value: object) -> None:
        self._outcome.announced = value
        self._started()

    async def wait(self) -> Exit:
        await self._ended.wait()
        assert self._exit is not None
        return self._exit

    async def left_in_group(self) -> set[Member]:
        return set()

    def poll(self) -> Exit | None:
        return self._exit

    def send_signal(self, number: int) -> None:
        if self._exit is not None:
            raise ProcessLookupError(errno.ESRCH, "the task has ended")
        if number not in ENDING_SIGNALS:
            raise OSError(errno.ENOTSUP, "a task takes only signals that end it")
        self._signal = number
        self._scope.cancel()

    def send_group_signal(self, number: int) -> None:
        self.send_signal(number)

    def would_end_by(self, number: int) -> bool:
        return number in ENDING_SIGNALS

    def resume(self, *, group: bool) -> None:
        """Do nothing: a task cannot be stopped by SIGSTOP."""

    def hold(self, *, held: bool = True) -> None:
        """Do nothing: a task cannot be taken over."""

    def close(self) -> None:
        self._scope.cancel()


class _Status:
    """The ``task_status`` argument of the function, usable as trio's own."""

    def __init__(self, announce: Callable[[object], None]) -> None:
        self._announce = announce

    def started(self, value: object = None) -> None:
        self._announce(value)
