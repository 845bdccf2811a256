"""Remote methods that read and clear logs.

Each function documents
itself to clients: its docstring is what system.methodHelp answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import Failed, NoFile, RequestError
from trio_supervisor.runtime.output import log_source
from trio_supervisor.runtime.rpc.control import result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_supervisor.core.xmlrpc import Value
    from trio_supervisor.runtime.process.process import Process
    from trio_supervisor.runtime.supervisor import Supervisor


async def read_main_log(supervisor: Supervisor, offset: int, length: int) -> Value:
    """Read the supervisor's own log.

    @param int offset  where to begin; negative: that many bytes before the end
    @param int length  how many bytes; 0: all
    @return string     what stands there
    """
    return await _read(supervisor, log_source.ACTIVITY_LOG, offset, length)


async def clear_main_log(supervisor: Supervisor) -> Value:
    """Remove the supervisor's own log and begin a new one.

    @return boolean  always true
    """
    path = log_source.find_log(supervisor, log_source.ACTIVITY_LOG).path
    if path is None or supervisor.activity is None:
        raise NoFile
    try:
        await supervisor.activity.clear()
    except FileNotFoundError as error:
        raise NoFile(path) from error
    except OSError as error:
        raise Failed(f"cannot clear {path}: {error.strerror}") from error
    return True


async def read_stdout_log(supervisor: Supervisor, name: str, offset: int, length: int) -> Value:
    """Read the stdout log of a process.

    @param string name  the process
    @param int offset   where to begin; negative: that many bytes before the end
    @param int length   how many bytes; 0: all
    @return string      what stands there
    """
    return await _read(supervisor, log_source.LogAddress(name, log_source.STDOUT), offset, length)


async def read_stderr_log(supervisor: Supervisor, name: str, offset: int, length: int) -> Value:
    """Read the stderr log of a process.

    @param string name  the process
    @param int offset   where to begin; negative: that many bytes before the end
    @param int length   how many bytes; 0: all
    @return string      what stands there
    """
    return await _read(supervisor, log_source.LogAddress(name, log_source.STDERR), offset, length)


async def tail_stdout_log(supervisor: Supervisor, name: str, offset: int, length: int) -> Value:
    """Ask for the newest part of the stdout log of a process, to follow it by polling.

    @param string name  the process
    @param int offset   the offset the last answer gave; at first 0
    @param int length   the most bytes to answer with
    @return array       the last bytes if there are any beyond the offset, the log's present size,
                        and whether more than ``length`` bytes have come since
    """
    return await _tail(supervisor, log_source.LogAddress(name, log_source.STDOUT), offset, length)


async def tail_stderr_log(supervisor: Supervisor, name: str, offset: int, length: int) -> Value:
    """Ask for the newest part of the stderr log of a process, to follow it by polling.

    @param string name  the process
    @param int offset   the offset the last answer gave; at first 0
    @param int length   the most bytes to answer with
    @return array       the last bytes if there are any beyond the offset, the log's present size,
                        and whether more than ``length`` bytes have come since
    """
    return await _tail(supervisor, log_source.LogAddress(name, log_source.STDERR), offset, length)


async def clear_process_logs(supervisor: Supervisor, name: str) -> Value:
    """Empty the logs of a process, whether or not it is running.

    @param string name  the process
    @return boolean     always true
    """
    await clear_logs(supervisor.process(name))
    return True


async def clear_all_process_logs(supervisor: Supervisor) -> Value:
    """Empty the logs of all processes.

    @return array  one struct for each process
    """
    processes = supervisor.processes()
    errors = await clear_logs_of(processes)
    return [result(process, error) for process, error in zip(processes, errors, strict=True)]


async def _read(
    supervisor: Supervisor, address: log_source.LogAddress, offset: int, length: int
) -> str:
    most = supervisor.config.daemon.log_answer_maxbytes
    return await log_source.find_log(supervisor, address).read(offset, length, most)


async def _tail(
    supervisor: Supervisor, address: log_source.LogAddress, offset: int, length: int
) -> list[Value]:
    most = supervisor.config.daemon.log_answer_maxbytes
    return list(await log_source.find_log(supervisor, address).tail(offset, length, most))


async def clear_logs(process: Process) -> None:
    """Empty both logs of a process. Raises Failed."""
    for channel in (process.stdout, process.stderr):
        try:
            await channel.clear()
        except OSError as error:
            raise Failed(f"cannot clear {channel.logfile}: {error.strerror}") from error


async def clear_logs_of(processes: Sequence[Process]) -> list[RequestError | None]:
    """Empty both logs of each process; return what went wrong with each."""
    errors: list[RequestError | None] = [None] * len(processes)

    async def clear(number: int) -> None:
        try:
            await clear_logs(processes[number])
        except RequestError as error:
            errors[number] = error

    async with trio.open_nursery() as nursery:  # a disk that hangs holds up one process
        for number in range(len(processes)):
            nursery.start_soon(clear, number)
    return errors
