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
from trio_supervisor.core.process.exit import Exit, ResourceUsage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.spawn.child import Carry

    TaskFunction = Callable[..., Awaitable[object]]

#: Signals that by default end a program; they cancel a task.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGKILL)
#: Exit status of a task that ended with an exception, as of a Python program.
FAILED = 1


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
        started: Callable[[], None],
        write_note: Callable[[str], None],
    ) -> None:
        """``started`` is called when the function calls ``task_status.started()``, ``write_note``
        with the traceback of an exception."""
        self._name = name
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
                    await self._function(task_status=_Status(self._started))
                else:
                    await self._function()
                ended = Exit(0)
            if self._scope.cancelled_caught:
                ended = Exit(None, self._signal)
        except (KeyboardInterrupt, SystemExit) as error:
            self._host.abort(error)
        except Exception as error:
            below_us = error.__traceback__ and error.__traceback__.tb_next
            self._write_note("".join(traceback.format_exception(None, error, below_us)))
            what = "".join(traceback.format_exception_only(error)).strip()
            self._host.log(Severity.ERROR, f"task '{self._name}' has failed: {what}")
        finally:
            self._exit = ended
            self._ended.set()

    async def wait(self) -> Exit:
        await self._ended.wait()
        assert self._exit is not None
        return self._exit

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

    def resume(self, *, group: bool) -> None:
        """Do nothing: a task cannot be stopped by SIGSTOP."""

    def close(self) -> None:
        self._scope.cancel()


class _Status:
    """The ``task_status`` argument of the function, usable as trio's own."""

    def __init__(self, started: Callable[[], None]) -> None:
        self._announce = started

    def started(self, value: object = None) -> None:
        self._announce()
