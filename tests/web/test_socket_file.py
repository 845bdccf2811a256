"""The file of a server's socket is made again when somebody has removed it."""

from __future__ import annotations

import os
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from tests.kit.fakes import log_lines
from trio_supervisor.core.config.model import InetServer, UnixServer
from trio_supervisor.web.socket_file import INTERVAL, keep_file
from trio_supervisor.web.sockets import bind, bind_unix, unbind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_supervisor.runtime.system.unix_socket import UnixListener


@pytest.fixture
def server(tmp_path: Path) -> UnixServer:
    return UnixServer("unix_http_server", str(tmp_path / "s.sock"))


@asynccontextmanager
async def kept(server: UnixServer, lines: list[str]) -> AsyncIterator[UnixListener]:
    listener = bind_unix(server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_file, server, listener, log_lines(lines))
        yield listener
        nursery.cancel_scope.cancel()
    unbind(server, listener)


async def told(lines: list[str]) -> None:
    while not lines:  # noqa: ASYNC110 - written by a task that knows no event of ours
        await trio.sleep(INTERVAL)


async def looks(listener: UnixListener, *, until: bool = True) -> None:
    """Wait for several looks, and then until the file is there."""
    await trio.sleep(3 * INTERVAL)
    while until and not listener.has_file():  # noqa: ASYNC110 - as in ``told``
        await trio.sleep(INTERVAL)


async def test_a_file_that_vanished(server: UnixServer, autojump_clock: object) -> None:
    lines: list[str] = []
    async with kept(server, lines) as listener:
        number, woken = listener.fileno(), trio.Event()

        async def accept() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(listener)
            await trio.lowlevel.wait_readable(listener)
            listener.accept()[0].close()
            woken.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            await looks(listener)
            assert lines == []
            os.unlink(server.file)
            await looks(listener)
            assert listener.fileno() == number
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(server.file)
                await woken.wait()
    assert lines == [f"WARN the socket {server.file} had vanished and was created again"]
    assert os.listdir(os.path.dirname(server.file)) == []


async def test_a_place_that_is_taken(server: UnixServer, autojump_clock: object) -> None:
    """It is told once, and the file is made when the place is free again."""
    lines: list[str] = []
    async with kept(server, lines) as listener:
        os.unlink(server.file)
        os.mkdir(server.file)
        await told(lines)
        await looks(listener, until=False)
        os.rmdir(server.file)
        await looks(listener)
    assert [line.split(": ")[0] for line in lines] == [
        f"ERRO the socket {server.file} has vanished",
        f"WARN the socket {server.file} had vanished and was created again",
    ]
    assert "is not a socket" in lines[0]


async def test_another_daemons_socket_is_left_alone(
    server: UnixServer, autojump_clock: object
) -> None:
    lines: list[str] = []
    async with kept(server, lines):
        os.unlink(server.file)
        other = bind_unix(server)
        await told(lines)
        assert f"held by process {os.getpid()} (" in lines[0]
    assert other.has_file()
    unbind(server, other)


async def test_a_port_has_no_file(autojump_clock: object) -> None:
    server = InetServer("inet_http_server", "127.0.0.1", 0)
    listener = bind(server)
    with trio.move_on_after(INTERVAL * 10) as scope:
        await keep_file(server, listener, log_lines([]))
    assert scope.cancelled_caught
    unbind(server, listener)
