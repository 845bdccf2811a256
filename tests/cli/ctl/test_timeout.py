"""``--timeout``: a frozen or vanished daemon hangs no client that was given it."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import Ran, finish, install, read_until
from tests.kit.daemon import eventually
from tests.kit.rpc_stub import Raw, Stub, chunked, fault

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Ctl = Callable[..., Ran]

HEADER = "==> Press Ctrl-C to exit <==\n"
ACTIONS = ("pid", "status", "start x", "reread", "update", "shutdown", "tail x", "fg x", "add x")


@pytest.mark.behaviour("client.md#timeouts")
@pytest.mark.parametrize("line", ACTIONS)
def test_an_answer_that_does_not_come(ctl: Ctl, stub: Stub, line: str) -> None:
    stub.everything = Raw(b"", hold=True)
    text = f"error: no answer from {stub.url} within 0.05 s\n"
    assert ctl("--timeout", "0.05", line) == (124, text, "")


def test_an_answer_in_time(ctl: Ctl, stub: Stub) -> None:
    stub.answers |= {"getPID": 7, "stopProcess": fault("NOT_RUNNING")}
    assert ctl("--timeout=30", "pid") == (0, "7\n", "")
    assert ctl("--timeout=30", "stop a b").status == 0


@pytest.fixture
def dribbling() -> Iterator[str]:
    """A server that keeps the client waiting with a byte now and then; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(0.01)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                try:
                    while connection.recv(65536):
                        pass
                except TimeoutError:
                    pass
                try:
                    while True:
                        connection.sendall(b" ")
                        try:
                            connection.recv(1)
                            break  # the client has closed
                        except TimeoutError:
                            pass
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.behaviour("client.md#timeouts")
def test_an_answer_that_never_ends(command: Ctl, dribbling: str) -> None:
    """The limit is for the whole answer."""
    ran = command("-s", dribbling, "--timeout", "0.1", "pid")
    assert ran == (124, f"error: no answer from {dribbling} within 0.1 s\n", "")


def test_following_a_silent_log_goes_on(
    stub: Stub, tmp_path: Path, start: Callable[[list[str]], subprocess.Popen[bytes]]
) -> None:
    """A log may be silent for days; that its daemon still answers is looked after."""
    stub.answers["GET /mainlogtail"] = Raw(chunked(b"text\n"), hold=True)
    program = install(tmp_path / "bin")
    process = start([program, "-s", stub.url, "--timeout", "0.05", "maintail", "-f"])
    seen = read_until(process, lambda text: text.endswith("text\n"))
    eventually(lambda: stub.calls.count(("getVersion",)) > 2, "looks at the daemon")
    stub.everything = Raw(b"", hold=True)  # now it freezes
    ran = finish(process, seen)
    text = f"error: no answer from {stub.url} within 0.05 s\n"
    assert ran == (124, f"{HEADER}text\n{text}", "")
