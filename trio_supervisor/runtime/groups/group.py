"""A group: its processes, the nursery of their tasks, and the dispatcher of a listener pool.

An error in the task of one process stops here, and reaches no other process.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.config.model import ChannelConfig, GroupKind, Severity, Task
from trio_supervisor.core.errors import AlreadyAdded, BadName, StillRunning
from trio_supervisor.core.plan import start_order
from trio_supervisor.core.process.states import STOPPED_STATES
from trio_supervisor.runtime.events import pool
from trio_supervisor.runtime.events.listener_reader import ListenerReader
from trio_supervisor.runtime.guards import RECOVERY_PAUSE, run_forever
from trio_supervisor.runtime.logs.autologs import create_auto_log, remove_auto_log
from trio_supervisor.runtime.logs.drops import reason
from trio_supervisor.runtime.output.channel import OutputChannel
from trio_supervisor.runtime.process.process import Process
from trio_supervisor.runtime.requester import PYTHON, set_requester
from trio_supervisor.runtime.spawn.shared_socket import SharedSocket

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from trio_supervisor.core.config.model import FastCgiSocket, GroupConfig, ProcessConfig
    from trio_supervisor.core.handover.state import HandedGroup
    from trio_supervisor.core.process.record import ProcessRecord
    from trio_supervisor.runtime.groups.scaling import Scaling
    from trio_supervisor.runtime.host import Host
    from trio_supervisor.runtime.process.process import Result
    from trio_supervisor.runtime.spawn.child import Child


class Group:
    """The processes of one group, by name, in start order (priority, then configuration order)."""

    def __init__(
        self,
        config: GroupConfig,
        host: Host,
        handed: HandedGroup | None = None,
        auto_logs: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        """A FastCGI socket or an automatic log that cannot be made is no error here: each start of
        the processes that need it tries again, and fails.

        ``handed`` is what the same group of an earlier supervisor had: the group goes on with its
        records, sockets and automatic logs. ``auto_logs`` are paths of those that were made for it
        beforehand.
        """
        self.config = config
        self.name = config.name
        self.priority = config.priority
        self._host = host
        self.pool = pool.Pool(config.name, config.pool, host) if config.pool is not None else None
        self.sockets: dict[str, SharedSocket] = {}
        """FastCGI sockets by URL: one for each program of the group."""
        self.processes: dict[str, Process] = {}
        self._nursery: trio.Nursery | None = None
        self._closed = False
        self._scaling: Scaling | None = None
        """None: the number of processes was never changed."""
        self._warnings: tuple[str, ...] = ()
        """What was told of options that do not work here: processes of one program share it."""
        records: dict[str, ProcessRecord] = {}
        if handed is not None:
            auto_logs = {(log.process, log.channel): log.path for log in handed.logs}
            self._take_over_sockets(handed.sockets)
            records = {process.name: process.record for process in handed.processes}
        for process in start_order(config.processes):
            # Of equal names the last counts.
            record = records.get(process.name)
            self.processes[process.name] = self._make(process, record, auto_logs)

    def __repr__(self) -> str:
        return f"<Group {self.name}: {', '.join(self.processes) or 'no processes'}>"

    def __iter__(self) -> Iterator[Process]:
        """The processes, in start order."""
        return iter(self.processes.values())

    async def scale(self, count: int, *, program: str | None = None) -> list[Result]:
        """Change the number of processes; return when new ones are RUNNING, and others removed.

        New processes have the next numbers and are started, whatever ``autostart`` says. The last
        ones are stopped and removed. The other ones are left alone. Results are of the processes
        that were added and removed, in order of completion; ``error`` is what ``Process.start``
        would raise. The later of two calls wins; a call that is cancelled is carried out all the
        same. ``program`` is needed only if the group has several programs, by a configuration.

        Raises ConfigError if its processes have no numbers (see ``add_programs``), TypeError or
        ValueError for what is no number of processes, BadName if the group was removed, or
        ShuttingDown.
        """
        if self._scaling is None:
            from trio_supervisor.runtime.groups.scaling import Scaling  # few programs need it

            self._scaling = Scaling(self, self._host, self._nursery)
        return await self._scaling.scale(program, count)

    @property
    def written(self) -> GroupConfig:
        """The group as its configuration has it, with the number of processes from there."""
        return self.config if self._scaling is None else self._scaling.unscaled

    @property
    def closed(self) -> bool:
        """Whether it was removed, or the supervisor has ended."""
        return self._closed

    async def run(self) -> None:
        """Run the group's tasks until ``close``; children still alive then are abandoned."""
        set_requester(PYTHON)  # not the client that happened to ask for the group
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            if self._closed:
                nursery.cancel_scope.cancel()
            if self._scaling is not None:
                self._scaling.run_in(nursery)
            if self.pool is not None:
                what = f"pool {self.name}"
                nursery.start_soon(run_forever, self.pool.run, what, self._host.log)
            for process in self.processes.values():
                nursery.start_soon(self._live, process, name=process.full_name)
            # Also without a process, because one may be added. ``trio.sleep_forever`` would take
            # two objects more for each group.
            await trio.lowlevel.wait_task_rescheduled(_cancelled)

    def add(
        self,
        config: ProcessConfig,
        *,
        record: ProcessRecord | None = None,
        child: Child | None = None,
    ) -> Process:
        """Add a process, also while the group runs; nothing is started.

        With ``record`` and ``child`` the process continues from this record with a child that is
        already alive. Raises AlreadyAdded.
        """
        if config.name in self.processes:
            raise AlreadyAdded(f"{self.name}:{config.name}")
        process = self._make(config, record)
        if child is not None:
            process.driver.hand_over(child)
        members = {**self.processes, config.name: process}
        ordered = start_order(member.config for member in members.values())
        self.processes = {member.name: members[member.name] for member in ordered}
        self._configure((*self.config.processes, config))
        if self._nursery is not None:
            self._nursery.start_soon(self._live, process, name=process.full_name)
        return process

    def remove(self, name: str) -> None:
        """Remove a process that has ended. Raises BadName or StillRunning."""
        process = self.processes.get(name)
        if process is None:
            raise BadName(f"{self.name}:{name}")
        if process.state not in STOPPED_STATES:
            raise StillRunning(process.full_name)
        # A new one, because a shutdown goes through the processes one after the other.
        self.processes = {n: member for n, member in self.processes.items() if n != name}
        process.remove()
        if self.pool is not None:
            self.pool.remove(process)
        self._configure(tuple(p for p in self.config.processes if p.name != name))
        self._remove_auto_logs_of((process,))

    def _configure(self, processes: tuple[ProcessConfig, ...]) -> None:
        self.config = replace(self.config, processes=processes)
        self._host.groups_changed(self.config)

    def close(self) -> None:
        """End the group's tasks; nothing in it is started any more."""
        for process in self.processes.values():
            process.remove()
        if self.pool is not None:
            self.pool.close()
        self._closed = True
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    @property
    def auto_logs(self) -> dict[tuple[str, str], str]:
        """Paths of automatic logs, by names of process and channel."""
        return _auto_logs_of(self.processes.values())

    def remove_auto_logs(self) -> None:
        """Remove the automatic logs of a group that is closed for good; trouble costs a line."""
        self._remove_auto_logs_of(self.processes.values())

    def _remove_auto_logs_of(self, processes: Iterable[Process]) -> None:
        paths = _auto_logs_of(processes).values()
        if self._host.daemon.nocleanup or not paths:
            return

        def remove(directory: str) -> None:
            for path in paths:
                remove_auto_log(path)

        try:
            self._host.sinks.do(remove, self._host.daemon.childlogdir)
        except OSError as error:
            self._host.log(
                Severity.WARN, f"cannot remove the automatic logs of {self.name}: {reason(error)}"
            )

    @property
    def at_rest(self) -> bool:
        """Whether every process is in the stopped set."""
        return all(process.state in STOPPED_STATES for process in self.processes.values())

    async def _live(self, process: Process) -> None:
        """Run one process; an error in it stops here, and reaches no other process."""
        set_requester(PYTHON)  # not the client that happened to ask for the process
        try:
            while not process.removed:
                try:
                    await process.driver.run()
                except Exception:
                    process.driver.recover()
                    await trio.sleep(RECOVERY_PAUSE)
        finally:
            process.abandon()

    def _make(
        self,
        config: ProcessConfig,
        record: ProcessRecord | None = None,
        auto_logs: Mapping[tuple[str, str], str] | None = None,
    ) -> Process:
        if config.wants_cgroup:
            self._warn_of_shortcomings(config)
        redirected = ChannelConfig(logfile=None)
        channels = {
            "stdout": config.stdout,
            "stderr": redirected if config.redirect_stderr else config.stderr,
        }
        stdout, stderr = (
            self._channel(config, name, channel, (auto_logs or {}).get((config.name, name)))
            for name, channel in channels.items()
        )
        stdout.time_index.other, stderr.time_index.other = stderr.time_index, stdout.time_index
        process = Process(
            config,
            group=self.name,
            kind=GroupKind.TASK if isinstance(config.runnable, Task) else self.config.kind,
            host=self._host,
            stdout=stdout,
            stderr=stderr,
            socket=self._shared_socket(config),
            record=record,
        )
        if self.pool is not None:
            self.pool.add(process)
        self._host.outputs.added((process,))
        return process

    def _warn_of_shortcomings(self, config: ProcessConfig) -> None:
        from trio_supervisor.core.cgroups import shortcomings  # few programs need it

        cgroups = self._host.cgroups
        lacking = None if cgroups is None else cgroups.lacking(config.limits)
        for found in shortcomings(config, lacking):
            text = f"{config.program}: {found.text} ({found.hint})"
            if text not in self._warnings:
                self._warnings += (text,)
                self._host.log(Severity.WARN, text)

    def _take_over_sockets(self, descriptors: Mapping[str, int]) -> None:
        for config in self.config.processes:
            socket = config.socket
            if socket is not None and socket.url in descriptors and socket.url not in self.sockets:
                descriptor = descriptors[socket.url]
                self.sockets[socket.url] = self._socket_of(socket, config.uid, descriptor)

    def _socket_of(
        self, config: FastCgiSocket, uid: int | None, descriptor: int | None = None
    ) -> SharedSocket:
        host = self._host
        return SharedSocket(config, uid, host.log, descriptor, lambda: host.letting_go)

    def _shared_socket(self, config: ProcessConfig) -> SharedSocket | None:
        if config.socket is None:
            return None
        url = config.socket.url
        if url not in self.sockets:
            self.sockets[url] = self._socket_of(config.socket, config.uid)
            try:
                self.sockets[url].check()
            except OSError as error:
                text = f"could not create FastCGI socket {url}: {error}"
                self._host.log(Severity.WARN, f"{self.name}: {text}")
        return self.sockets[url]

    def _channel(
        self, process: ProcessConfig, name: str, config: ChannelConfig, auto_log: str | None
    ) -> OutputChannel:
        """``auto_log`` is the path of its automatic log; None: none was made yet."""
        reader = None
        if self.pool is not None and name == "stdout":
            reader = ListenerReader(self._host, self.pool.on_output(process.name))
            # Its stdout is the protocol: neither captured nor made events, even if options say so.
            config = replace(config, capture_maxbytes=0, events_enabled=False)
        return OutputChannel(
            name,
            config,
            process=process.name,
            group=self.name,
            host=self._host,
            auto_log=partial(self._auto_log, process.name, name) if auto_log is None else auto_log,
            reader=reader,
            program=self._program_of(process),
            log_format=process.log_format,
            create_log_dirs=process.create_log_dirs,
            journald=process.journald,
        )

    def _program_of(self, process: ProcessConfig) -> str:
        """Name of its program; of several processes from Python values that of the group."""
        numbered = process.section is None and self.config.programs
        return self.name if numbered else process.program

    def _auto_log(self, process: str, channel: str) -> str:
        """Make an automatic log and return its path. Raises OSError with the reason."""
        daemon = self._host.daemon
        create = partial(
            create_auto_log, process=process, channel=channel, identifier=daemon.identifier
        )
        try:
            return self._host.sinks.do(create, daemon.childlogdir, undo=remove_auto_log)
        except OSError as error:
            why = f"cannot create a log in this childlogdir: {reason(error)}"
            raise OSError(error.errno, why, daemon.childlogdir) from error


def _auto_logs_of(processes: Iterable[Process]) -> dict[tuple[str, str], str]:
    """Paths of automatic logs, by names of process and channel."""
    found = {}
    for process in processes:
        for channel in (process.stdout, process.stderr):
            if (path := channel.targets.auto_log) is not None:
                found[process.name, channel.name] = path
    return found


def _cancelled(raise_cancel: object) -> trio.lowlevel.Abort:
    """Let a task that waits for nothing be cancelled."""
    return trio.lowlevel.Abort.SUCCEEDED
