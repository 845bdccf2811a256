"""A real child that does nothing but what the test tells it, over a socket of its own.

Its stdin, stdout and stderr stay free for the program under test. No sleeps: every command is
answered when it is done, so a test always knows how far the child is.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

import trio

_SCRIPT = """\
import os, signal, socket, sys
control = socket.socket(socket.AF_UNIX)
control.connect(sys.argv[1])
stream = control.makefile("rw", newline="\\n")
def say(text):
    stream.write(text + "\\n")
    stream.flush()
say(f"hello {os.getpid()}")
for line in stream:
    word, _, rest = line.rstrip("\\n").partition(" ")
    if word == "exit":
        os._exit(int(rest))
    elif word == "ignore":
        signal.signal(int(rest), signal.SIG_IGN)
    elif word == "write":
        os.write(1, eval(rest))
    elif word == "error":
        os.write(2, eval(rest))
    elif word == "read":
        say(repr(os.read(0, int(rest))))
        continue
    elif word == "eval":
        say(repr(eval(rest)))
        continue
    elif word == "run":
        exec(rest)
    say("done")
"""


@dataclass
class Puppet:
    """The test's end of one puppet process."""

    pid: int
    _stream: trio.SocketStream
    _buffer: bytearray = field(default_factory=bytearray)

    async def do(self, command: str) -> str:
        """Have it carry out a command; returns its answer."""
        await self._stream.send_all(command.encode() + b"\n")
        return await self._line()

    async def exit(self, code: int) -> None:
        await self._stream.send_all(f"exit {code}\n".encode())

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    async def _line(self) -> str:
        while b"\n" not in self._buffer:
            data = await self._stream.receive_some()
            if not data:
                raise EOFError("the puppet is gone")
            self._buffer += data
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer[:] = rest
        return line.decode()


class Theatre:
    """Where puppets report: ``command`` is what to supervise, ``next`` the next to appear."""

    def __init__(self, directory: Path) -> None:
        script = directory / "puppet.py"
        script.write_text(_SCRIPT)
        self._path = directory / "theatre.sock"
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(self._path))
        sock.listen(64)
        self._listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        self._puppets: list[Puppet] = []
        self.command = f"{sys.executable} -S -E {script} {self._path}"

    async def next(self) -> Puppet:
        stream = await self._listener.accept()
        puppet = Puppet(0, stream)
        puppet.pid = int((await puppet._line()).split()[1])
        self._puppets.append(puppet)
        return puppet

    async def aclose(self) -> None:
        """End every puppet; those that are alive exit at the end of their stream."""
        for puppet in self._puppets:
            await puppet._stream.aclose()
        await self._listener.aclose()
