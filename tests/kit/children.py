"""What real children are made of, and what they leave, for tests of their spawning."""

from __future__ import annotations

import os
import sys

import trio

from trio_supervisor.core.config.model import ProcessConfig
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.runtime.spawn.child import Child
from trio_supervisor.runtime.spawn.command import FoundCommand
from trio_supervisor.runtime.spawn.spec import SpawnSpec, steps_of


def spec(*argv: str, **options: object) -> SpawnSpec:
    """Describe a child that runs ``argv``; ``options`` are those of a process's configuration.

    The environment is exactly the one given, or that of the tests.
    """
    config = ProcessConfig(name="x", command=argv[0], **options)  # type: ignore[arg-type]  # options of any test
    return SpawnSpec(
        label=config.name,
        command=FoundCommand(argv, argv[0]),
        environment=config.environment if "environment" in options else dict(os.environ),
        steps=steps_of(config),
        uid=config.uid,
        gid=config.identity.gid,
        redirect_stderr=config.redirect_stderr,
    )


def python(code: str, **changes: object) -> SpawnSpec:
    return spec(sys.executable, "-S", "-E", "-c", code, **changes)


async def output(child: Child) -> tuple[bytes, bytes, Exit]:
    """Everything a child writes, and its end; closes its pipes."""
    streams = []
    for fd in (child.stdout, child.stderr):
        data = b""
        if fd is not None:
            while True:
                await trio.lowlevel.wait_readable(fd)
                chunk = os.read(fd, 65536)
                if not chunk:
                    break
                data += chunk
            os.close(fd)
        streams.append(data)
    ended = await child.wait()
    child.close()
    if child.stdin is not None:
        os.close(child.stdin)
    return streams[0], streams[1], ended
