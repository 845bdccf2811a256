"""``logs`` against a scripted daemon: what is asked for, and what is said when there is nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import Ran, finish, install, read_until
from tests.kit.rpc_stub import Raw, Stub, chunked, info, turns

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

Ctl = Callable[..., Ran]
LOGS = "GET /api/v1/processes/{}/logs/{}"


@pytest.fixture(autouse=True)
def processes(stub: Stub) -> None:
    stub.answers["getAllProcessInfo"] = [info("web:a"), info("web:b"), info("db")]


def answer(body: bytes, status: int = 200) -> Raw:
    return Raw(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


NO_STDERR = answer(b'{"error":{"code":"NO_FILE","message":"it goes to stdout"}}', 404)


def give(stub: Stub, name: str, channel: str, reply: Raw, query: str = "?lines=10") -> None:
    stub.answers[LOGS.format(name, channel) + query] = reply


def test_one_process(ctl: Ctl, stub: Stub) -> None:
    give(stub, "db", "stdout", answer(b"one\ntwo"))
    give(stub, "db", "stderr", answer(b"oops\n"))
    assert ctl("logs", "db") == Ran(0, "one\ntwo\noops\n", "")


@pytest.mark.behaviour("client.md#commands-that-supervisor-does-not-have")
def test_several(ctl: Ctl, stub: Stub) -> None:
    for name in ("web:a", "web:b", "db"):
        give(stub, name, "stdout", answer(f"I am {name}\n".encode()))
        give(stub, name, "stderr", NO_STDERR)
    everything = "web:a | I am web:a\nweb:b | I am web:b\ndb    | I am db\n"
    assert ctl("logs") == ctl("logs", "all") == ctl("logs", "web:*", "d?") == Ran(0, everything, "")
    assert ctl("logs", "--no-prefix", "db", "web:b") == Ran(0, "I am db\nI am web:b\n", "")
    assert ctl("logs", "db", "db", "nope").out == "nope: ERROR (no such process)\nI am db\n"


def test_what_is_asked_for(ctl: Ctl, stub: Stub) -> None:
    give(stub, "db", "stdout", answer(b"x\n"), "?lines=3")
    assert ctl("logs", "--stdout", "-n3", "db") == Ran(0, "x\n", "")
    give(stub, "db", "stderr", answer(b"y\n"), "?since=300")
    assert ctl("logs", "--stderr", "--since", "5m", "db") == Ran(0, "y\n", "")
    give(stub, "db", "stderr", answer(b"z\n"), "?since=300&lines=1")
    assert ctl("logs", "--stderr", "--since=5m", "-n", "1", "db") == Ran(0, "z\n", "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (NO_STDERR, "it goes to stdout"),
        (answer(b"<html>", 404), "the daemon does not offer it (status code 404); try tail"),
    ],
)
def test_refusals(ctl: Ctl, stub: Stub, given: Raw, message: str) -> None:
    give(stub, "db", "stderr", given)
    assert ctl("logs", "--stderr", "db") == Ran(1, f"db: ERROR ({message})\n", "")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--since", "soon"), "--since takes a past time such as 90s, 5m, 1h30m, 2d, 12:00 or "),
        (("-n", "-1"), "--lines takes a number from 0 up, not '-1'"),
        (("-x",), "logs has no option -x"),
    ],
)
def test_mistakes(ctl: Ctl, words: tuple[str, ...], text: str) -> None:
    ran = ctl("logs", *words)
    assert ran.status == 2
    assert ran.out.startswith(f"Error: {text}")


def test_following_goes_on_where_it_broke_off(
    stub: Stub, tmp_path: Path, start: Callable[[list[str]], subprocess.Popen[bytes]]
) -> None:
    """After the daemon has ended the stream in the middle of a line, and was busy for a while."""
    head = b"HTTP/1.1 200 OK\r\nX-Log-Position: 1-2-%d\r\nTransfer-Encoding: chunked\r\n\r\n"
    ended = head % 100 + b"8\r\none\ntw\xc3\xb6\r\n0\r\n\r\n"
    give(stub, "db", "stdout", Raw(ended), "/follow?lines=10")
    again = LOGS.format("db", "stdout") + "/follow?after=1-2-108"
    resumed = head % 108 + b"6\r\n\nthree\r\n"
    stub.answers[again] = turns(answer(b"", 503), Raw(resumed, hold=True))
    program = install(tmp_path / "bin")
    process = start([program, "-s", stub.url, "logs", "-f", "--stdout", "db"])
    seen = read_until(process, lambda text: "twö\n" in text)
    process.send_signal(2)
    ran = finish(process, seen)
    assert ran.out == "one\ntwö\nthree\n"
    assert ran.status == 0
    assert ran.err == (
        "tsupervisorctl: the daemon has ended the connection, connecting again\n"
        "tsupervisorctl: connected again\n"
    )


def test_following_what_has_no_place(
    stub: Stub, tmp_path: Path, start: Callable[[list[str]], subprocess.Popen[bytes]]
) -> None:
    """Of output that is only remembered what has come since is asked for."""
    give(stub, "db", "stdout", Raw(chunked(b"one\n") + b"0\r\n\r\n"), "/follow?lines=10")
    since = LOGS.format("db", "stdout") + "/follow?since=1"
    stub.answers[since] = Raw(chunked(b"two\n"), hold=True)
    program = install(tmp_path / "bin")
    process = start([program, "-s", stub.url, "logs", "-f", "--stdout", "db"])
    seen = read_until(process, lambda text: "two\n" in text)
    process.send_signal(2)
    assert finish(process, seen).out == "one\ntwo\n"
