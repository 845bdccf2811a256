"""Opening and closing server sockets."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kit.machine import need_localhost
from trio_supervisor.core.config.model import InetServer, UnixServer
from trio_supervisor.core.errors import ServerError
from trio_supervisor.web import sockets as listener_module
from trio_supervisor.web.sockets import PROBE, PROBE_TIME, bind, unbind

TAKEN = "Another program is already listening on a port"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


def unix(path: Path, chmod: int = 0o700, chown: tuple[int, int] | None = None) -> UnixServer:
    return UnixServer("unix_http_server", str(path), chmod=chmod, chown=chown)


def inet(port: int, host: str = "127.0.0.1") -> InetServer:
    return InetServer("inet_http_server", host, port)


@pytest.fixture
def other(path: Path) -> Iterator[socket.socket]:
    """Another program's listening socket at the path."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen(1)
        yield sock


@pytest.mark.behaviour("process.md#control-sockets")
@pytest.mark.parametrize("chmod", [0o700, 0o770, 0o666])
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_mode_whatever_the_umask(path: Path, chmod: int, umask: int) -> None:
    before = os.umask(umask)
    try:
        server = unix(path, chmod, (os.getuid(), -1))
        listener = bind(server)
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == chmod
    assert not listener.getblocking()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    unbind(server, listener)
    assert os.listdir(path.parent) == []


@pytest.mark.behaviour("process.md#control-sockets")
def test_the_socket_appears_when_it_is_ready(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every step before the last nothing is at the path, and nobody else may connect.

    Not by way of the umask, which is that of all threads of an application.
    """
    seen: list[tuple[bool, int]] = []
    real = os.chmod

    def chmod(name: str, mode: int, *, dir_fd: int) -> None:
        seen.append((path.exists(), stat.S_IMODE(os.fstat(dir_fd).st_mode)))
        real(name, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "chmod", chmod)
    monkeypatch.setattr(os, "umask", None)
    server = unix(path, 0o777)
    unbind(server, bind(server))
    assert seen == [(False, 0o700)]


@pytest.mark.behaviour("process.md#control-sockets")
def test_a_program_that_answers(
    path: Path, other: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    received = []

    def answer() -> None:
        with other.accept()[0] as connection:
            received.append(connection.recv(100))
            connection.sendall(b"H")

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(ServerError, match=TAKEN):
        bind(unix(path))
    thread.join()
    assert received == [PROBE] == [b"GET / HTTP/1.0\r\n\r\n"]
    assert path.exists()
    assert capsys.readouterr().err == ""


@pytest.mark.behaviour("process.md#control-sockets")
def test_a_stale_socket(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    server = unix(path)
    listener = bind(server)
    assert capsys.readouterr().err == f"Unlinking stale socket {path}\n"
    unbind(server, listener)


def test_a_stale_socket_where_the_terminal_of_the_starter_has_hung_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    master, slave = os.openpty()
    server = unix(path)
    with open(slave, "w") as terminal:
        os.close(master)
        monkeypatch.setattr("sys.stderr", terminal)
        unbind(server, bind(server))
        monkeypatch.undo()
        with suppress(OSError):  # what it has not taken
            terminal.close()


@pytest.mark.behaviour("process.md#control-sockets")
@pytest.mark.parametrize("backlog", ["room", "full"])
def test_a_silent_program_is_there_too(
    path: Path, other: socket.socket, backlog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After at most two seconds."""
    assert PROBE_TIME <= 2
    monkeypatch.setattr(listener_module, "PROBE_TIME", 0.1)
    clients = []
    while backlog == "full":
        client = socket.socket(socket.AF_UNIX)
        clients.append(client)
        client.setblocking(False)
        try:
            client.connect(str(path))
        except BlockingIOError:
            break
    begun = time.monotonic()
    with pytest.raises(ServerError, match=TAKEN):
        bind(unix(path))
    assert time.monotonic() - begun < 2
    assert path.exists()
    for client in clients:
        client.close()


@pytest.mark.behaviour("process.md#control-sockets")
@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_kept(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/nowhere")
    with pytest.raises(ServerError, match="is not a socket"):
        bind(unix(path))
    assert os.path.lexists(path)
    assert len(os.listdir(path.parent)) == 1


def refusal(error: int, place: object) -> str:
    return (
        "Cannot open an HTTP server: socket.error reported "
        f"errno.{errno.errorcode[error]} ({error}): {place}"
    )


@pytest.mark.behaviour("process.md#control-sockets")
def test_other_failures_of_binding(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left behind."""
    with pytest.raises(ServerError) as failed:
        bind(unix(path.parent / "missing" / "s.sock"))
    assert str(failed.value) == refusal(errno.ENOENT, path.parent / "missing" / "s.sock")
    with pytest.raises(ServerError) as failed:
        bind(inet(0, "192.0.2.1"))
    assert str(failed.value) == refusal(errno.EADDRNOTAVAIL, "192.0.2.1:0")

    def chown(path: str, uid: int, gid: int, **options: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", chown)
    with pytest.raises(ServerError) as failed:
        bind(unix(path, chown=(1, 1)))
    assert str(failed.value) == refusal(errno.EPERM, path)
    assert os.listdir(path.parent) == []


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 108)
    with pytest.raises(ServerError, match=r"errno\.ENAMETOOLONG") as failed:
        bind(unix(path))
    why = f"its path is {len(str(path))} bytes long, and clients can connect to at most 107"
    assert f"{why}; choose a shorter one: {path}" in str(failed.value)
    assert os.listdir(tmp_path) == []


def test_a_host_that_does_not_resolve_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # no name server in tests
    with pytest.raises(ServerError) as failed:
        bind(inet(9001, "no.such.host"))
    assert str(failed.value) == (
        "Cannot open an HTTP server: [Errno -2] Name or service not known: no.such.host:9001"
    )


@pytest.mark.behaviour("process.md#control-sockets")
def test_a_taken_port() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(ServerError, match=TAKEN),
    ):
        bind(inet(other.getsockname()[1]))


@pytest.mark.parametrize(
    ("host", "family", "address"),
    [
        ("127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("", socket.AF_INET, "0.0.0.0"),
        ("localhost", None, None),
        ("::1", socket.AF_INET6, "::1"),
    ],
)
def test_hosts(host: str, family: int | None, address: str | None) -> None:
    if host == "localhost":
        need_localhost()
    server = inet(0, host)
    listener = bind(server)
    assert not listener.getblocking()
    assert family in (None, listener.family)
    assert address in (None, listener.getsockname()[0])
    unbind(server, listener)


def test_a_port_is_free_again_at_once() -> None:
    """A restart opens the same port while old connections linger in the kernel."""
    listener = bind(inet(0))
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)):
        listener.setblocking(True)
        listener.accept()[0].close()  # our side closes first: its end stays in TIME_WAIT
        listener.close()
    listener = bind(inet(port))
    unbind(inet(port), listener)


@pytest.mark.behaviour("process.md#control-sockets")
def test_a_socket_that_vanished(path: Path) -> None:
    listener = bind(unix(path))
    path.unlink()
    unbind(unix(path), listener)
    assert not path.exists()


def test_whoever_holds_the_address_is_named(path: Path, other: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as port:
        for server in (unix(path), inet(port.getsockname()[1]), inet(port.getsockname()[1], "")):
            with pytest.raises(ServerError, match=f"held by process {os.getpid()} \\(.+\\)"):
                bind(server)


def test_the_socket_of_another_program_is_not_removed(path: Path) -> None:
    listener = bind(unix(path))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        unbind(unix(path), listener)
        assert path.exists()


def test_a_socket_whose_file_cannot_be_removed_is_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    listener = bind(unix(path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(PermissionError):
            unbind(unix(path), listener)
    assert listener.fileno() == -1
