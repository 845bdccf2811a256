"""Makes children: one call for each child, from a description to a process that has reached exec.

Theory of operation: the thread that makes children
---------------------------------------------------
Making a child (``forking.py``) happens in a thread, so that a slow user database or a slow exec
(network file system, cold disk) never stalls the event loop. A start is two jobs of that thread
(``logs/worker.py``):

* *fork*: open the logs (without its logs there is no child), make the pipes, fork, and send the
  orders. The jobs are done in the order of the calls, and each ends with a pid that the daemon
  owns. So children are forked in the order of the calls, whichever of the three ways they take,
  and a start need not wait for the one before it to keep that order.
* *exec*: wait until the child executes its program. This job is queued when the first one is done:
  children take their steps while the next ones are forked. ``Popen`` has waited already. It is done
  in the same order, so the tasks learn of their children in the order of the calls too. No more
  than ``AT_ONCE`` children are between fork and exec, because each takes a descriptor: if there are
  more, the oldest is waited for before the next fork.

A job that takes longer than ``STUCK_AFTER`` holds up no other: another thread goes on with the
queue. ``trio.Process`` is not used because reading its return code reaps the child.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.runtime.logs.worker import DiskWorker
from trio_supervisor.runtime.spawn.child import ChildRegistry
from trio_supervisor.runtime.spawn.fork_client import ForkServerSlot
from trio_supervisor.runtime.spawn.forking import Burst, fork_child, needs_helper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_supervisor.core.config.model import Severity
    from trio_supervisor.runtime.spawn.child import Child, RealChild
    from trio_supervisor.runtime.spawn.fork_client import ForkServer
    from trio_supervisor.runtime.spawn.forking import ForkedChild
    from trio_supervisor.runtime.spawn.spec import SpawnSpec

    Launcher = Callable[[SpawnSpec], Awaitable[Child]]

#: Seconds that one job for a child may take before another thread does the next: the order is kept
#: on a healthy machine.
STUCK_AFTER = 0.1
#: Children that take their steps at the same time.
AT_ONCE = 8
#: Seconds for opening the logs of a child, from the moment when its turn has come.
LOG_TIMEOUT = 2
#: Seconds between two polls of a child without a pidfd.
POLL_INTERVAL = 0.2


def _not_logged(severity: Severity, text: str) -> None:
    """Default log: discards the line."""


class Making:
    """A child that is being made in a thread, after its logs have been opened."""

    def __init__(
        self, spec: SpawnSpec, number: int, in_loop: Callable[[Callable[[], object]], None]
    ) -> None:
        """``number``: how many children have been asked for, this one included."""
        self.done = trio.Event()
        self.number = number
        self.server: ForkServer | None = None
        """What was to fork it; None: another way was taken."""
        self._spec = spec
        self._logs = spec.logs
        self._in_loop = in_loop
        self._forked: ForkedChild | None = None
        self._child: RealChild | None = None
        self._error: BaseException | None = None

    def fork(
        self,
        registry: ChildRegistry,
        burst: Burst,
        server: Callable[[Burst], ForkServer | None],
        *,
        close_fds: bool,
    ) -> None:
        """Open the logs and fork it; called in the thread."""
        try:
            if self._logs is not None:
                self._logs.open()
                if not self._logs.are_files:
                    self._in_loop(self._logs.take)
            if needs_helper(self._spec):
                self.server = server(burst)
            self._forked = fork_child(self._spec, registry, burst, self.server, close_fds=close_fds)
        except BaseException as error:
            self._error = error

    @property
    def waits_for_exec(self) -> bool:
        """Whether ``finish`` may have to wait, after ``fork``."""
        return self._forked is not None and self._forked.waits_for_exec

    def finish(self) -> None:
        """Wait until it executes its program; called in the thread."""
        if self._forked is not None:
            try:
                self._child = self._forked.executed()
            except BaseException as error:
                self._error = error

    async def wait(self) -> None:
        """Return when it is done.

        It is given up if the task is cancelled, or a disk does not answer, before the logs are
        open. Raises SpawnError for a disk.
        """
        logs = self._logs
        while logs is not None and not self.done.is_set():
            try:
                with trio.move_on_after(logs.left(LOG_TIMEOUT)) as scope:
                    await self.done.wait()
            except trio.Cancelled:
                if logs.give_up():
                    raise
                break  # there is a child, or will be one
            if scope.cancelled_caught and not logs.left(LOG_TIMEOUT):
                if logs.give_up():
                    raise logs.unanswered()
                break
        if not self.done.is_set():
            with trio.CancelScope(shield=True):
                await self.done.wait()

    def child(self) -> RealChild:
        """Return the child, when that is done. Raises SpawnError."""
        if self._child is None:
            assert self._error is not None
            raise self._error
        return self._child


class ProcessLauncher:
    """Callable that makes children in a thread, with a fork server where one is needed.

    Each supervisor has its own, so that supervisors in one program do not starve each other.
    """

    def __init__(
        self,
        poll_interval: float = POLL_INTERVAL,
        log: Callable[[Severity, str], None] = _not_logged,
        *,
        close_fds: bool = True,
    ) -> None:
        """``poll_interval``: seconds between two polls of children without a pidfd.

        It can be long if ``child_ended`` is called for each SIGCHLD. ``close_fds``: whether
        children must close what is open here; false: the exec closes all of it.
        """
        self._close_fds = close_fds
        self._registry = ChildRegistry(poll_interval)
        self._fork_server = ForkServerSlot(log)
        self._worker = DiskWorker(STUCK_AFTER)
        self._asked = 0
        """How many children have been asked for."""
        self._burst = Burst(0)
        self._executing: deque[Making] = deque()
        """Those that are forked, and not waited for yet."""
        self._made: deque[Making] = deque()
        """Those that are done, and whose tasks are not woken yet."""
        self._token: trio.lowlevel.TrioToken | None = None

    @property
    def registry(self) -> ChildRegistry:
        """The children that were made here."""
        return self._registry

    def owns(self, pid: int) -> bool:
        """Whether this is a child that was made here, is not reaped and was not given up."""
        return self._registry.owns(pid) or self._fork_server.owns(pid)

    def needs_child_signals(self) -> bool:
        """Whether there are children whose end only SIGCHLD tells of, or a poll."""
        return self._registry.needs_child_signals

    def child_ended(self) -> None:
        """Look which children have ended. Called for each SIGCHLD, if the program receives it."""
        self._fork_server.reap()
        self._registry.child_ended()

    def __call__(self, spec: SpawnSpec) -> Awaitable[Child]:
        """Have a child made, after those of earlier calls; return what waits for it.

        That raises SpawnError. Once the logs are open it is not cancelled: whoever waits is to have
        the child.
        """
        self._token = trio.lowlevel.current_trio_token()
        self._asked += 1
        making = Making(spec, self._asked, self._in_loop)
        self._worker.submit(partial(self._fork, making))
        return self._wait(making)

    def _fork(self, making: Making) -> None:
        """The first job for a child."""
        if making.number > self._burst.last:
            self._burst = Burst(self._asked)
        making.fork(self._registry, self._burst, self._server, close_fds=self._close_fds)
        is_next = not self._executing
        self._executing.append(making)
        if is_next and not making.waits_for_exec:
            self._finish_oldest()
            return
        self._worker.submit(self._finish_oldest)
        if len(self._executing) > AT_ONCE:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        """The second job for a child; the first job of a later child may have done it already."""
        try:
            making = self._executing.popleft()
        except IndexError:
            return
        making.finish()
        self._made.append(making)
        assert self._token is not None
        self._token.run_sync_soon(self._deliver, idempotent=True)

    def _server(self, burst: Burst) -> ForkServer | None:
        """Return a server that has what children inherit; None: there can be none now."""
        slot = self._fork_server
        if not (burst.has_looked and slot.works):
            if not slot.is_current():
                self._in_loop(slot.renew)
            burst.has_looked = True
        return slot.server

    def _in_loop(self, function: Callable[[], object]) -> None:
        """Have a function called by the event loop, and wait for that."""
        assert self._token is not None
        try:
            trio.lowlevel.current_trio_token()
        except RuntimeError:
            trio.from_thread.run_sync(function, trio_token=self._token)
        else:  # there was no thread for the job
            function()

    async def _wait(self, making: Making) -> Child:
        await making.wait()
        self._fork_server.review(making.server)
        return making.child()

    def _deliver(self) -> None:
        """Wake the task of the child made first; the next one later, so that order is kept."""
        if self._made:
            self._made.popleft().done.set()
        if self._made and self._token is not None:
            self._token.run_sync_soon(self._deliver, idempotent=True)

    def close(self) -> None:
        """Stop the fork server. Living children keep running."""
        self._fork_server.close()
