"""What real children are made of, and what they leave, for tests of their spawning."""

from __future__ import annotations

import os
import sys

import trio

from trio_supervisor.core.process.exit import Exit
from trio_supervisor.runtime.spawn.child import Child
from trio_supervisor.runtime.spawn.command import Command
from trio_supervisor.runtime.spawn.launcher import SpawnSpec


def spec(*argv: str, **changes: object) -> SpawnSpec:
    values: dict[str, object] = {
        "label": "x",
        "command": Command(argv, argv[0]),
        "environment": dict(os.environ),
        "directory": None,
        "umask": None,
        "uid": None,
        "redirect_stderr": False,
        **changes,
    }
    return SpawnSpec(**values)  # type: ignore[arg-type]  # options are test data


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
