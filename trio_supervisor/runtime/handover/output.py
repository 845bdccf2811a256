"""The output and the child of one process, for a supervisor that goes on with them.

A friend of the classes that it reads and writes: they would carry code and memory for what most
daemons never do. It is used while no task of the process runs, or to look only.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from trio_supervisor.core.handover.state import HandedChild, HandedOutput, HandedSocket
from trio_supervisor.core.process.member import Member
from trio_supervisor.runtime.events.listener_reader import ListenerReader
from trio_supervisor.runtime.spawn.adopted_child import AdoptedChild
from trio_supervisor.runtime.spawn.child import RealChild

if TYPE_CHECKING:
    from trio_supervisor.runtime.output.channel import OutputChannel
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.spawn.child import Child, ChildRegistry


def output_of(channel: OutputChannel, before: int, searched: tuple[bytes, bytes]) -> HandedOutput:
    """Return what a channel holds back and remembers.

    ``before`` is the number of bytes of earlier children, ``searched`` the beginning of
    the line in which a search looks, and what was not searched yet.
    """
    capture, stripper, records = channel._capture, channel._stripper, channel._records
    captured = None if capture is None else capture._captured
    tail = channel.tail
    return HandedOutput(
        stripper=b"" if stripper is None else stripper._held,
        token=b"" if capture is None else capture._held,
        captured=None if captured is None else bytes(captured),
        character=b"" if channel._characters is None else channel._characters._held,
        line=b"" if records is None else records._records._held,
        line_since=None if records is None else records._held_since,
        searched=searched[0],
        unsearched=searched[1],
        count=tail.count,
        before=before,
        end=tail._end,
        is_cut=tail._cut,
        stretches=tuple(channel.time_index.since(-1)),
    )


def remember(channel: OutputChannel, handed: HandedOutput) -> None:
    """Give a channel what it remembers of the output of all children."""
    tail = channel.tail
    tail.count, tail._end, tail._cut = handed.count, handed.end, handed.is_cut
    if handed.stretches:
        numbers = (number for stretch in handed.stretches for number in stretch)
        channel.time_index._entries = array("d", numbers)


def hold_back(channel: OutputChannel, handed: HandedOutput) -> None:
    """Give an open channel what it has held back of the output of the present child."""
    capture, stripper, records = channel._capture, channel._stripper, channel._records
    if channel._characters is not None:
        channel._characters._held = handed.character
    if stripper is not None:
        stripper._held = handed.stripper
    if capture is not None:
        capture._held = handed.token
        capture._captured = None if handed.captured is None else bytearray(handed.captured)
    if records is not None and handed.line:
        records._records._held = handed.line
        records._held_since = handed.line_since
        records._is_holding.set()


def close_logs(process: Process) -> None:
    """Close the logs of a process; what is held back of its output is not written."""
    reader = process.stdout._reader
    if isinstance(reader, ListenerReader):  # gathers for the log what the pool has already
        reader.finish(process.stdout)
    for channel in (process.stdout, process.stderr):
        channel.targets.close()
        if channel._journal is not None:
            channel._journal.close()


def child_of(process: Process) -> HandedChild | None:
    """Return the child of a process with what belongs to it; None if it has none."""
    driver, stdio = process.driver, process._stdio
    child = driver.child
    if child is None:
        return None
    pipes = {id(channel): fd for channel, fd in stdio._pipes}
    notify, ready = None, None
    if driver._monitor is not None:
        socket, ready, _ = driver._monitor.handed_over()
        if socket is not None:
            notify = HandedSocket(socket.descriptor, socket.path)
    return HandedChild(
        pid=child.pid,
        stdin=stdio.stdin._fd,
        stdout=pipes.get(id(process.stdout)),
        stderr=pipes.get(id(process.stderr)),
        pending=bytes(stdio.stdin._queue),
        ends_stdin=stdio.stdin._closing,
        was_killed=driver._signals.killed,
        kills_before=driver._kills_before,
        notify=notify,
        ready=ready,
        holds_socket=driver._starter.socket is not None,
        pidfd=child.pidfd if isinstance(child, AdoptedChild) else None,
    )


def outputs_of(process: Process) -> tuple[HandedOutput, HandedOutput]:
    """Return what the channels of a process hold back and remember: stdout and stderr."""
    searched: dict[str, tuple[bytes, bytes]] = {}
    if process.driver._monitor is not None:
        _, _, searched = process.driver._monitor.handed_over()
    stdout, stderr = (
        output_of(channel, before, searched.get(channel.name, (b"", b"")))
        for channel, before in zip(
            (process.stdout, process.stderr), process._stdio._before, strict=True
        )
    )
    return stdout, stderr


def take_over_child(
    process: Process,
    handed: HandedChild,
    outputs: tuple[HandedOutput, HandedOutput],
    registry: ChildRegistry,
) -> None:
    """Have a process go on with a child, as soon as its driver runs."""
    driver, stdio = process.driver, process._stdio
    child = _taken_over(process, handed, registry)
    driver._signals.killed = handed.was_killed
    driver._memory_kills = driver._starter.memory_kills()
    driver._kills_before = handed.kills_before
    if driver._monitor is not None:
        monitor, socket = driver._monitor, None
        if handed.notify is not None:
            socket = monitor.socket_at(handed.notify.path, handed.notify.descriptor)
        searched = {
            channel.name: (output.searched, output.unsearched)
            for channel, output in zip((process.stdout, process.stderr), outputs, strict=True)
        }
        monitor.take_over(socket, handed.ready, searched)

    # At once: events may be sent to a listener before its logs are open.
    stdio.take_stdin(handed.stdin)
    stdio.stdin._queue += handed.pending
    stdio.stdin._closing = handed.ends_stdin

    def attached() -> None:
        stdio._before = outputs[0].before, outputs[1].before
        for channel, output in zip((process.stdout, process.stderr), outputs, strict=True):
            hold_back(channel, output)

    driver.hand_over(child, attached)


def _taken_over(process: Process, handed: HandedChild, registry: ChildRegistry) -> Child:
    """Return the child: our own, or that of an earlier daemon."""
    pid, pipes = handed.pid, (handed.stdin, handed.stdout, handed.stderr)
    adoption = process.record.adoption
    if adoption is None:
        return RealChild(pid, *pipes, registry)
    return AdoptedChild(Member(pid, adoption.started), *pipes, handed.pidfd, registry)
