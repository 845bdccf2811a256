"""Jobs: programs that an embedding program runs to their end."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shlex
from typing import TYPE_CHECKING, Protocol

import trio

from trio_supervisor.core.config.names import FORBIDDEN
from trio_supervisor.core.config.options import RESTARTING
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.errors import BadName, ConfigError, NoFile, NotRunning
from trio_supervisor.core.process.ending import failure_of
from trio_supervisor.core.process.exit import Exit

if TYPE_CHECKING:
    from typing import Unpack

    from trio_supervisor.core.config.keywords import ProgramOptions
    from trio_supervisor.runtime.embedding.definitions import CommandWords
    from trio_supervisor.runtime.process.process import Process

#: Bytes of each channel that are kept: the last ones.
CAPTURED_BYTES = 16 * 1024 * 1024
#: Options that have no meaning for what is run once.
_NOT_OF_JOBS = (
    *("autostart", "autorestart", "startsecs", "startretries"),
    *(option.name for option in RESTARTING),
)

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Completed(Exit):
    """Result of a job: its exit and its output."""

    stdout: bytes = b""
    """Of more than 16 MiB only the last."""
    stderr: bytes = b""


class Runner(Protocol):
    """The supervisor, as far as jobs need it."""

    def add_program(
        self, name: str, command: CommandWords, **options: Unpack[ProgramOptions]
    ) -> Process:
        """Add a program."""

    async def remove(self, name: str) -> None:
        """Stop it and forget it."""


async def run_job(
    supervisor: Runner,
    command: CommandWords,
    *,
    name: str | None,
    input: bytes,
    check: bool,
    timeout: float | None,  # noqa: ASYNC109  # it is no bound of the call: the stop takes its time
    options: ProgramOptions,
) -> Completed:
    """Run a program to its end; see ``Supervisor.run_job``."""
    for option in _NOT_OF_JOBS:
        if option in options:
            raise ConfigError(f"a job is run once and has no {option}", option=option)
    if isinstance(input, str):
        raise TypeError("the input of a job is bytes, not text: use encode()")
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"the timeout of a job is a number of seconds from 0, not {timeout}")
    name = _name_of(command) if name is None else name
    once: ProgramOptions = {
        **options,
        "autostart": False,
        "autorestart": False,
        "startsecs": 0,
        "startretries": 0,
    }
    job = supervisor.add_program(name, command, **once)
    try:
        with (
            job.output("stdout", buffer_bytes=CAPTURED_BYTES) as stdout,
            job.output("stderr", buffer_bytes=CAPTURED_BYTES) as stderr,
        ):
            with trio.move_on_after(math.inf if timeout is None else timeout) as scope:
                ended = await _run(job, input)
            if scope.cancelled_caught:
                await job.stop()
                ended = await job.wait()
            written = stdout.backlog.take_all(), stderr.backlog.take_all()
    finally:
        with trio.CancelScope(shield=True), contextlib.suppress(BadName):
            await supervisor.remove(name)  # within its stopwaitsecs, then it is killed
    if scope.cancelled_caught:
        failure = failure_of(job.config, job.full_name, job.record)
        raise failure.because(f"not done within {timeout} seconds")
    if check and not ended.expected(job.config.exitcodes):
        raise failure_of(job.config, job.full_name, job.record)
    out, err = (b"".join(chunks) for chunks in written)
    return Completed(ended.code, ended.signal, ended.core_dumped, stdout=out, stderr=err)


async def _run(job: Process, input: bytes) -> Exit:
    await job.start(wait=False)
    with contextlib.suppress(NoFile, NotRunning):  # it need not read its input
        if input:
            await job.write_stdin(input)
        job.close_stdin()
    return await job.wait()


def _name_of(command: CommandWords) -> str:
    """A name for a job that is given none: that of its program, with a number."""
    with contextlib.suppress(ValueError, IndexError, TypeError):
        words = shlex.split(command) if isinstance(command, str) else command
        first = words if isinstance(words, os.PathLike) else words[0]
        base = "".join(c for c in os.path.basename(os.fspath(first)) if c not in FORBIDDEN)
        return f"{base or 'job'}-{next(_numbers)}"
    return f"job-{next(_numbers)}"  # adding it tells what is wrong with the command
