"""Single tries of probes: real sockets, servers and commands, and names that are never resolved."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.daemon import PATIENCE, free_port
from tests.kit.fakes import Recorder, program
from trio_supervisor.core.config.probes import parse_health
from trio_supervisor.runtime.probes.attempt import Prober
from trio_supervisor.runtime.spawn.launcher import ProcessLauncher
from trio_supervisor.runtime.spawn.side_command import SideCommands

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio.testing import MockClock


@pytest.fixture
def prober() -> Iterator[Prober]:
    with closing(ProcessLauncher()) as launcher:
        recorder = Recorder()
        recorder.host.launch = launcher
        yield Prober(SideCommands(program("x"), "x", recorder.host))


async def answer(prober: Prober, text: str, within: float = PATIENCE) -> str:
    probe = parse_health(text)
    assert not probe.needs_program
    return await prober.attempt(probe, within)  # type: ignore[arg-type]  # no Notify


@contextmanager
def listening(family: int = socket.AF_INET, address: str = "127.0.0.1") -> Iterator[int]:
    with socket.socket(family) as server:
        server.bind((address, 0))
        server.listen()
        yield server.getsockname()[1]


def has_ipv6() -> bool:
    try:
        with listening(socket.AF_INET6, "::1"):
            return True
    except OSError:
        return False


@pytest.mark.behaviour("policies.md#answers-of-checks")
async def test_tcp(prober: Prober) -> None:
    with listening() as port:
        for form in (f"tcp:{port}", f"tcp:127.0.0.1:{port}", f"tcp:localhost:{port}"):
            assert await answer(prober, form) == ""
    for form in (f"tcp:{port}", f"tcp:127.0.0.1:{port}"):
        assert await answer(prober, form) == "connection refused"


@pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")
async def test_a_port_is_looked_for_on_both_loopback_addresses(prober: Prober) -> None:
    with listening(socket.AF_INET6, "::1") as port:
        assert await answer(prober, f"tcp:{port}") == ""
        assert await answer(prober, f"tcp:[::1]:{port}") == ""


@pytest.mark.behaviour("policies.md#answers-of-checks")
async def test_names_that_do_not_exist(prober: Prober) -> None:
    found = await answer(prober, "tcp:nowhere.invalid:1")
    assert found.startswith("cannot resolve the name: ")
    assert "resolve" in await answer(prober, f"tcp:{'x' * 70}.invalid:1")


@pytest.mark.behaviour("policies.md#answers-of-checks")
async def test_unix(prober: Prober, tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert await answer(prober, f"unix:{path}") == "no such file or directory"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert await answer(prober, f"unix:{path}") == "connection refused"
        server.listen(0)
        assert await answer(prober, f"unix:{path}") == ""
        assert await answer(prober, f"unix:{path}") == "its queue of connections is full"


@contextmanager
def serving(*responses: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server in a thread that answers one connection after another, and keeps the requests."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for response in responses:
                connection, _ = server.accept()
                with connection:
                    requests.append(connection.recv(65536))
                    connection.sendall(response)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], requests
        thread.join(PATIENCE)


@pytest.mark.behaviour("policies.md#answers-of-checks")
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", ""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://nowhere.invalid/\r\nContent-Length: 0\r\n\r\n",
            "",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", ""),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (b"HTTP/1.1 200\r\n\r\n" + b"x" * 200_000, ""),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404"),
        (b"HTTP/1.1 503 Down\r\n\r\n", "status 503"),
        (b"SSH-2.0-OpenSSH\r\n", "the response is not HTTP"),
        (b"HTTP/1.1 yes\r\n\r\n", "the response is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-", "the response is not HTTP"),
        (b"", "the connection was closed"),
    ],
)
async def test_http(prober: Prober, response: bytes, expected: str) -> None:
    with serving(response) as (port, requests):
        found = await answer(prober, f"http://127.0.0.1:{port}/a?b=c")
    assert found in (expected, "connection reset by peer" if len(response) > 70000 else expected)
    head = requests[0].decode()
    assert head.startswith(f"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n")
    assert "\r\nConnection: close\r\n" in head


async def test_http_without_a_server(prober: Prober) -> None:
    assert await answer(prober, f"http://127.0.0.1:{free_port()}/") == "connection refused"


@pytest.mark.behaviour("policies.md#answers-of-checks")
async def test_https_to_what_speaks_no_tls(prober: Prober) -> None:
    with serving(b"HTTP/1.1 200 OK\r\n\r\n") as (port, _):
        assert (await answer(prober, f"https://127.0.0.1:{port}/")).startswith("TLS error: ")


@pytest.mark.behaviour("policies.md#answers-of-checks")
async def test_commands(prober: Prober) -> None:
    assert await answer(prober, "exec:/bin/true") == ""
    assert await answer(prober, "exec:/bin/false") == "exit status 1"
    script = "exec:/bin/sh -c 'echo one; echo \"two\x1b\" >&2; exit 4'"
    assert await answer(prober, script) == r"exit status 4: two\x1b"
    assert await answer(prober, "exec:/nonexistent") == "can't find command '/nonexistent'"


@pytest.mark.behaviour("policies.md#answers-of-checks")
async def test_a_server_that_accepts_and_is_silent(prober: Prober, mock_clock: MockClock) -> None:
    with listening() as port:
        found: list[str] = []

        async def attempt() -> None:
            found.append(await answer(prober, f"http://127.0.0.1:{port}/", 3))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt)
            await wait_all_tasks_blocked()
            mock_clock.jump(3)
        assert found == ["no answer within 3 seconds"]


@pytest.mark.behaviour("policies.md#names-that-are-not-resolved")
async def test_a_name_server_that_hangs_takes_one_thread_and_delays_nobody(
    prober: Prober, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    called, began, released = [], threading.Event(), threading.Event()
    real = socket.getaddrinfo

    def hanging(host: str, port: int, *arguments: object, **options: object) -> object:
        if options.get("flags"):
            return real(host, port, *arguments, **options)  # type: ignore[arg-type]  # as it came
        called.append(host)
        began.set()
        released.wait(PATIENCE)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    found: list[str] = []

    async def attempt() -> None:
        found.append(await answer(prober, "tcp:db.example:1", 1))

    try:
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(attempt)
                await trio.to_thread.run_sync(began.wait, PATIENCE)
                await wait_all_tasks_blocked()
                mock_clock.jump(1)
        assert found == ["no answer within 1 second"] * 3
        assert called == ["db.example"]
        async with trio.open_nursery() as nursery:  # a stop: cancelled at once
            nursery.start_soon(attempt)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    finally:
        released.set()
