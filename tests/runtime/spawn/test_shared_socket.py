"""The shared socket of FastCGI programs."""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path

import pytest
from trio.testing import MockClock

from tests.kit.daemon import free_port
from tests.kit.fakes import Recorder, program
from tests.kit.running import running
from trio_supervisor.core.config.model import FastCgiSocket
from trio_supervisor.core.errors import NoFile, SpawnFailed
from trio_supervisor.core.process.states import State

#: Of linux/tcp.h: as much of struct tcp_info as is needed, and where in it tcpi_sacked is.
TCP_INFO_SIZE = 104
TCPI_SACKED = 28


def unix(tmp_path: Path, **options: object) -> FastCgiSocket:
    return FastCgiSocket(f"unix://{tmp_path}/f.sock", **options)  # type: ignore[arg-type]  # data


@pytest.mark.behaviour(
    "process.md#one-socket-for-all-processes-of-a-fastcgi-program",
    "process.md#fastcgi-sockets-that-cannot-be-created",
    "process.md#files-of-fastcgi-sockets",
)
async def test_one_socket_for_all_while_one_lives(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    recorder = Recorder()
    path = tmp_path / "f.sock"
    shared = unix(tmp_path)
    group = recorder.group(program("a", socket=shared), program("b", socket=shared))
    check = [f"INFO Creating socket {shared.url}", f"INFO Closing socket {shared.url}"]
    assert recorder.lines == check
    async with running(group, recorder.host):
        a, b = group.processes.values()
        await a.start()
        await b.start()
        first, second = recorder.launcher.children
        assert first.spec.stdin == second.spec.stdin is not None
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        inode = path.stat().st_ino
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        await a.stop()
        await a.start()
        assert path.stat().st_ino == inode
        await a.stop()
        await b.stop()
        assert recorder.lines.count(check[1]) == 2
        assert path.exists()
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
            client.connect(str(path))


@pytest.mark.behaviour("process.md#one-socket-for-all-processes-of-a-fastcgi-program")
async def test_two_programs_of_a_group_have_a_socket_each(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    recorder = Recorder()
    sockets = [FastCgiSocket(f"unix://{tmp_path}/{name}.sock") for name in "ab"]
    group = recorder.group(program("a", socket=sockets[0]), program("b", socket=sockets[1]))
    async with running(group, recorder.host):
        for process in group.processes.values():
            await process.start()
        first, second = recorder.launcher.children
        assert first.spec.stdin != second.spec.stdin


@pytest.mark.behaviour("process.md#fastcgi-sockets-that-cannot-be-created")
async def test_a_taken_port_is_a_spawn_error(autojump_clock: MockClock) -> None:
    """Retries, and recovery when the port is free again."""
    recorder = Recorder()
    port = free_port()
    shared = FastCgiSocket(f"tcp://127.0.0.1:{port}")
    group = recorder.group(program("x", socket=shared))
    async with running(group, recorder.host):
        x = group.processes["x"]
        with socket.create_server(("127.0.0.1", port)):
            with pytest.raises(SpawnFailed):
                await x.start_once()
            assert x.spawn_error.startswith("cannot create FastCGI socket: ")
        await x.wait_for(State.RUNNING)


@pytest.mark.behaviour(
    "process.md#files-of-fastcgi-sockets", "process.md#fastcgi-sockets-that-cannot-be-created"
)
def test_a_regular_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "f.sock"
    path.write_text("precious")
    recorder = Recorder()
    recorder.group(program("x", socket=unix(tmp_path)))
    (line,) = recorder.lines[1:]
    assert line.startswith(f"WARN x: could not create FastCGI socket unix://{path}: ")
    assert path.read_text() == "precious"


@pytest.mark.behaviour("process.md#files-of-fastcgi-sockets")
def test_a_stale_socket_is_replaced_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "f.sock"
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()
        recorder = Recorder()
        recorder.group(program("x", socket=unix(tmp_path)))
        assert "another program listens there" in recorder.lines[1]
    stale = path.stat().st_ino
    Recorder().group(program("x", socket=unix(tmp_path, mode=0o666)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert path.stat().st_ino != stale or os.path.exists(path)


@pytest.mark.behaviour("process.md#fastcgi-sockets-that-cannot-be-created")
async def test_a_failing_program_releases_the_socket(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """A pair of lines for the check and one for each attempt."""
    recorder = Recorder()
    recorder.launcher.prepare = lambda child: child.die(1)
    group = recorder.group(program("x", socket=unix(tmp_path), startretries=1))
    async with running(group, recorder.host):
        x = group.processes["x"]
        x.begin()
        await x.wait_for(State.FATAL)
        with pytest.raises(NoFile):
            x._stdio.stdin.send(b"text", "x")
    assert sum("Creating socket" in line for line in recorder.lines) == 3
    assert sum("Closing socket" in line for line in recorder.lines) == 3


def longest_queue(listener: int) -> int:
    """How many connections may wait; the kernel gives it in the place of another number."""
    with socket.socket(fileno=os.dup(listener)) as sock:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
    return int(struct.unpack_from("=I", info, TCPI_SACKED)[0])


@pytest.mark.behaviour("process.md#files-of-fastcgi-sockets")
@pytest.mark.parametrize("backlog", [None, 7])
async def test_backlog_of_the_socket(autojump_clock: MockClock, backlog: int | None) -> None:
    recorder = Recorder()
    url = f"tcp://127.0.0.1:{free_port()}"
    config = program("x", startsecs=0, socket=FastCgiSocket(url, backlog=backlog))
    group = recorder.group(config)
    async with running(group, recorder.host):
        await group.processes["x"].start()
        listener = recorder.launcher.last.spec.stdin
        assert listener is not None
        most = int(Path("/proc/sys/net/core/somaxconn").read_text())  # noqa: ASYNC240  # a pseudo-file, read at once
        assert longest_queue(listener) == (most if backlog is None else backlog)
