"""The client's connections: URLs, keeping alive, credentials, timeouts."""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.kit.rpc_stub import Raw, Stub, chunked, serving
from trio_supervisor.cli.client import client as client_module
from trio_supervisor.cli.client.client import (
    BadAnswer,
    BadUrl,
    Client,
    Disconnected,
    HttpError,
    ResponseStream,
    ServerAddress,
)

if TYPE_CHECKING:
    from pathlib import Path

BODY = b"<methodResponse><params><param><value>a</value></param></params></methodResponse>"


@pytest.mark.parametrize(
    ("url", "host", "port", "header"),
    [
        ("http://localhost", "localhost", 80, "localhost:80"),
        ("http://h:9001", "h", 9001, "h:9001"),
        ("http://h:9001/", "h", 9001, "h:9001"),
        ("HTTP://h:9001/any/path?x#y", "h", 9001, "h:9001"),
        ("http://[::1]", "::1", 80, "[::1]:80"),
        ("http://[::1]:9001/x", "::1", 9001, "[::1]:9001"),
        ("http://:9001", "localhost", 9001, "localhost:9001"),
    ],
)
def test_http_urls(url: str, host: str, port: int, header: str) -> None:
    target = ServerAddress(url)
    assert (target.path, target.host, target.port, target.host_header) == ("", host, port, header)


def test_unix_urls() -> None:
    target = ServerAddress("unix:///run/a b/s.sock")
    assert (target.path, target.host_header) == ("/run/a b/s.sock", "localhost")
    assert ServerAddress("unix://relative.sock").path == "relative.sock"


@pytest.mark.behaviour("client.md#addresses-of-the-daemon")
@pytest.mark.parametrize("url", ["httpx://h", "ftp://h", "localhost:9001", "http:x", "http://"])
def test_urls_nobody_speaks(url: str) -> None:
    with pytest.raises(BadUrl, match=f"Unknown protocol for serverurl {url}"):
        ServerAddress(url)


@pytest.mark.parametrize("port", ["abc", "\u0663", "9" * 5000, "99999"])
def test_port_must_be_the_number_of_one(port: str) -> None:
    with pytest.raises(BadUrl):
        ServerAddress(f"http://h:{port}")


@pytest.mark.parametrize("timeout", [None, 30])
def test_connection_is_kept_between_calls(tmp_path: Path, timeout: float | None) -> None:
    with (
        serving(Stub(), f"{tmp_path}/s.sock") as stub,
        closing(Client(stub.url, timeout=timeout)) as client,
    ):
        for _ in range(3):
            assert client.call("supervisor.getVersion") == "3.0"
    assert (stub.connections, stub.host) == (1, "localhost")


def test_connection_closed_by_the_daemon_is_replaced(tmp_path: Path) -> None:
    """The answers promise to keep the connection, which is closed all the same."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
    closed = threading.Semaphore(0)

    def serve(server: socket.socket) -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
            closed.release()

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/s.sock")
        server.listen()
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        with closing(Client(f"unix://{tmp_path}/s.sock")) as client:
            for _ in range(2):
                assert client.call("supervisor.getVersion") == "a"
                assert closed.acquire(timeout=30)
        thread.join()


def test_nothing_is_sent_twice() -> None:
    stub = Stub()
    stub.answers["startProcess"] = Raw(b"")
    with serving(stub), closing(Client(stub.url)) as client:
        client.call("supervisor.getVersion")
        with pytest.raises(Disconnected):
            client.call("supervisor.startProcess", "x")
    assert stub.calls == [("getVersion",), ("startProcess", "x")]


@pytest.mark.parametrize(
    "answer",
    [chunked(BODY[:9], BODY[9:]) + b"0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n" + BODY],
    ids=["chunked", "until the end"],
)
def test_answers_without_length(answer: bytes) -> None:
    stub = Stub()
    stub.answers["m"] = Raw(answer)
    with serving(stub), closing(Client(stub.url)) as client:
        assert client.call("supervisor.m") == "a"


@pytest.mark.parametrize("status", [b"200", b"500"])
def test_an_endless_answer_is_refused(status: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LONGEST_ANSWER", 1000)
    stub = Stub()
    stub.answers["m"] = Raw(b"HTTP/1.1 %s X\r\n\r\n" % status + b"x" * 1001, hold=True)
    with serving(stub), closing(Client(stub.url)) as client:
        with pytest.raises(BadAnswer, match="the answer has more than 1000 bytes"):
            client.call("supervisor.m")
        assert client.call("supervisor.getVersion") == "3.0"


@pytest.mark.behaviour("client.md#credentials-of-the-client")
@pytest.mark.parametrize(
    ("username", "password", "in_url", "sent"),
    [
        (None, None, "", None),
        ("u", None, "", None),
        (None, "p", "", None),
        ("", "", "", ":"),
        ("ü", "p:q", "", "ü:p:q"),
        ("u" * 50, "p" * 50, "", f"{'u' * 50}:{'p' * 50}"),
        (None, None, "me:p%40ss@", "me:p@ss"),
        ("u", "p", "me:pass@", "u:p"),
    ],
    ids=["none", "half", "half", "empty", "utf-8", "long", "url", "given beats url"],
)
def test_credentials(
    username: str | None, password: str | None, in_url: str, sent: str | None
) -> None:
    stub = Stub()
    stub.answers["GET /mainlogtail"] = Raw(chunked(b"x") + b"0\r\n\r\n")
    with serving(stub):
        url = stub.url.replace("http://", f"http://{in_url}")
        with closing(Client(url, username, password)) as client:
            client.call("supervisor.getVersion")
            with closing(client.stream("/mainlogtail")) as stream:
                while not stream.ended:
                    stream.read()
    token = None if sent is None else "Basic " + base64.b64encode(sent.encode()).decode()
    assert stub.authorization == [token, token]  # following has the same rules


def test_http_error() -> None:
    stub = Stub()
    stub.password = "a:b"
    with serving(stub), closing(Client(stub.url)) as client, pytest.raises(HttpError) as caught:
        client.call("supervisor.getVersion")
    assert caught.value.status == 401
    assert str(caught.value) == "<ProtocolError for 127.0.0.1/RPC2: 401 Unauthorized>"
    assert ServerAddress("unix:///s").name == "127.0.0.1"


@pytest.mark.behaviour("client.md#a-daemon-that-was-killed")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_look_around_while_nothing_answers(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before the handshake of TLS: the keeper of a killed daemon accepts, and says nothing."""
    monkeypatch.setattr(client_module, "LOOK", 0.01)
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise InterruptedError

    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        closing(Client(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}")) as client,
    ):
        client.while_waiting = look
        with pytest.raises(InterruptedError):
            client.call("supervisor.getState")
    assert len(looks) == 3


@pytest.mark.behaviour("client.md#timeouts", "client.md#unexpected-errors")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
def test_a_frozen_server_times_out(tmp_path: Path, family: socket.AddressFamily) -> None:
    """A frozen daemon: accepts and never answers."""
    inet = family == socket.AF_INET
    address: str | tuple[str, int] = ("127.0.0.1", 0) if inet else str(tmp_path / "s")
    with socket.socket(family) as frozen:
        frozen.bind(address)
        frozen.listen()
        url = f"http://127.0.0.1:{frozen.getsockname()[1]}" if inet else f"unix://{address}"
        with closing(Client(url, timeout=0.01)) as client, pytest.raises(TimeoutError):
            client.call("supervisor.getVersion")


@pytest.mark.behaviour("client.md#credentials-of-the-client")
def test_calls_and_streams_over_ipv6() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        port = probe.getsockname()[1]
        probe.listen()
        with closing(Client(f"http://[::1]:{port}").stream("/mainlogtail")):
            accepted, _ = probe.accept()
            with accepted:
                assert accepted.recv(4096).startswith(b"GET /mainlogtail HTTP/1.1\r\nHost: [::1]:")


def test_a_stream_that_does_not_block() -> None:
    ours, theirs = socket.socketpair()
    with closing(ResponseStream(ours)) as stream, theirs:
        stream.stop_blocking()
        assert (stream.read(), stream.status, stream.ended) == (b"", 0, False)
        theirs.sendall(chunked(b"one", b"two"))
        assert (stream.read(), stream.status, stream.ended) == (b"onetwo", 200, False)
        assert (stream.read(), stream.ended) == (b"", False)
        theirs.close()
        assert (stream.read(), stream.ended) == (b"", True)
