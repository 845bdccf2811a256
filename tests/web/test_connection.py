"""The conversation on one connection: framing, order, limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fake_supervisor import FakeSupervisor
from tests.kit.web import call_body, inet_server, request, talking, unix_server
from trio_supervisor.core.config.access import BODY_MAXBYTES, Access
from trio_supervisor.core.process.states import State
from trio_supervisor.web.connection import BODY_TIME, HEAD_TIME, SEND_TIME
from trio_supervisor.web.parser import HEAD_LIMIT

VERSION_CALL = call_body("supervisor.getAPIVersion")
POST = request("/RPC2", body=VERSION_CALL, method="POST")
OK = request("/ok.html")
#: Seconds that any time limit would notice.
HOURS = 20 * 3600


@pytest.fixture
def fake() -> FakeSupervisor:
    return FakeSupervisor("cat")


@pytest.mark.behaviour("http.md#keep-alive")
async def test_a_call_keeps_the_connection_open(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        reply = await client.post("/RPC2", call_body("supervisor.getState"))
        assert reply.head == "HTTP/1.1 200 OK"
        assert reply.headers["content-type"] == "text/xml"
        assert b"<name>statecode</name>\n<value><int>1</int></value>" in reply.body
        assert "connection" not in reply.headers
        assert (await client.get("/ok.html")).body == b"OK"  # C


@pytest.mark.behaviour("http.md#requests-that-are-understood")
@pytest.mark.parametrize("at", range(1, len(POST)))
async def test_split_at_every_byte(fake: FakeSupervisor, at: int) -> None:
    async with talking(fake) as client:
        await client.send(POST[:at])
        await wait_all_tasks_blocked()
        assert client.nothing_came()
        await client.send(POST[at:])
        assert b"<string>3.0</string>" in (await client.reply()).body


@pytest.mark.behaviour("http.md#keep-alive")
async def test_http_1_0_closes(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await client.send(request("/ok.html", version="1.0"))
        reply = await client.reply()
        assert reply.head == "HTTP/1.0 200 OK"
        assert await client.rest() == b""


@pytest.mark.behaviour("http.md#keep-alive")
async def test_http_1_0_keep_alive(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        for _ in range(2):
            await client.send(request("/ok.html", "Connection: Keep-Alive", version="1.0"))
            reply = await client.reply()
            assert (reply.head, reply.headers["connection"]) == ("HTTP/1.0 200 OK", "Keep-Alive")


@pytest.mark.behaviour("http.md#keep-alive")
@pytest.mark.parametrize("word", ["close", "Close"])
async def test_connection_close_is_honoured(fake: FakeSupervisor, word: str) -> None:
    async with talking(fake) as client:
        reply = await client.get("/ok.html", f"Connection: {word}")
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert await client.rest() == b""


@pytest.mark.behaviour("http.md#keep-alive")
async def test_pipelined_requests_are_answered_in_order(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await client.send(POST + OK + POST)
        assert b"3.0" in (await client.reply()).body
        assert (await client.reply()).body == b"OK"
        assert b"3.0" in (await client.reply()).body


@pytest.mark.behaviour("http.md#keep-alive")
async def test_a_request_behind_a_waiting_one_waits_too(fake: FakeSupervisor) -> None:
    """Strictly in order per connection."""
    process = fake.process("cat")
    process.gate = trio.Event()
    start = request("/RPC2", body=call_body("supervisor.startProcess", "cat"), method="POST")
    async with talking(fake) as client:
        await client.send(start + OK)
        await wait_all_tasks_blocked()
        assert client.nothing_came()
        process.gate.set()
        assert b"<boolean>1</boolean>" in (await client.reply()).body
        assert (await client.reply()).body == b"OK"


@pytest.mark.behaviour(
    "http.md#other-clients-are-served-while-one-waits", "process.md#waiting-for-a-start"
)
async def test_what_a_client_started_goes_on_without_it(fake: FakeSupervisor) -> None:
    process = fake.process("cat")
    process.gate = trio.Event()
    async with talking(fake) as client:
        await client.send(
            request("/RPC2", body=call_body("supervisor.startProcess", "cat"), method="POST")
        )
        await wait_all_tasks_blocked()
        client.sock.close()
        await wait_all_tasks_blocked()
        process.gate.set()
        await wait_all_tasks_blocked()
    assert process.state is State.RUNNING
    assert fake.lines == []


@pytest.mark.behaviour("http.md#requests-that-are-understood")
async def test_half_closed_after_the_request(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await client.send(POST)
        client.sock.shutdown(trio.socket.SHUT_WR)
        assert b"3.0" in (await client.reply()).body
        assert await client.rest() == b""


@pytest.mark.behaviour("http.md#malformed-requests", "http.md#bodies")
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"GET /ok.html\r\n\r\n", 400),
        (b"POST /RPC2 HTTP/1.1\r\n\r\n", 411),
        (b"POST /RPC2 HTTP/1.1\r\nContent-Length: abc\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_LIMIT, 431),
        pytest.param(
            f"POST /RPC2 HTTP/1.1\r\nContent-Length: {BODY_MAXBYTES + 1}\r\n\r\n".encode(),
            413,
            id="413",
        ),
        pytest.param(
            f"POST /RPC2 HTTP/1.1\r\nContent-Length: {'9' * 20}\r\n\r\n".encode(), 413, id="huge"
        ),
        pytest.param(
            b"POST /RPC2 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
            413,
            id="413-instead-of-100",
        ),
    ],
)
async def test_refused_requests_close(fake: FakeSupervisor, data: bytes, status: int) -> None:
    async with talking(fake) as client:
        await client.send(data)
        reply = await client.reply()
        assert (reply.status, reply.headers["connection"]) == (status, "close")
        assert await client.rest() == b""
    assert fake.lines == []


async def test_a_length_beyond_all_reason(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await client.send(f"POST /RPC2 HTTP/1.1\r\nContent-Length: {'9' * 5000}\r\n\r\n".encode())
        assert (await client.reply()).status in (400, 413)
    assert fake.lines == []


@pytest.mark.behaviour("http.md#bodies")
async def test_an_empty_body_is_not_xml(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        assert (await client.post("/RPC2", b"")).status == 400
        assert (await client.get("/ok.html")).status == 200


@pytest.mark.behaviour("http.md#bodies")
async def test_a_chunked_body(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await client.send(
            b"POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(VERSION_CALL), VERSION_CALL)
        )
        assert b"3.0" in (await client.reply()).body


@pytest.mark.behaviour("http.md#bodies")
async def test_a_chunked_body_has_the_limit_too(fake: FakeSupervisor) -> None:
    server = replace(unix_server(), access=Access(body_maxbytes=1000))
    async with talking(fake, server) as client:
        await client.send(
            b"POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"1f4\r\n%b\r\n" % (b" " * 500) * 3
        )
        assert (await client.reply()).status == 413
        assert await client.rest() == b""


@pytest.mark.behaviour("http.md#bodies")
async def test_ten_megabytes_of_blanks_are_served(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        reply = await client.post("/RPC2", VERSION_CALL + b" " * 10_000_000)
        assert b"3.0" in reply.body


@pytest.mark.behaviour("http.md#bodies")
async def test_expect_100_continue(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        head = f"Expect: 100-continue\r\nContent-Length: {len(VERSION_CALL)}\r\n\r\n"
        await client.send(f"POST /RPC2 HTTP/1.1\r\n{head}".encode())
        assert await client.head() == ("HTTP/1.1 100 Continue", {})
        await client.send(VERSION_CALL)
        assert b"3.0" in (await client.reply()).body


@pytest.mark.behaviour("http.md#methods-that-an-address-does-not-have", "http.md#responses")
@pytest.mark.parametrize("target", ["/ok.html", "/", "/RPC2", "/zzz", "/tail.html"])
async def test_head_never_has_a_body(fake: FakeSupervisor, target: str) -> None:
    async with talking(fake) as client:
        reply = await client.get(target, method="HEAD")
        if reply.headers.get("connection") == "close":
            assert await client.rest() == b""
        else:
            assert (await client.get("/ok.html")).body == b"OK"


@pytest.mark.behaviour("http.md#idle-connections")
async def test_a_new_tcp_client_has_30_seconds(
    fake: FakeSupervisor, autojump_clock: MockClock
) -> None:
    """Silent, it is closed; with part of a head, it is told."""
    async with talking(fake, inet_server()) as client:
        begun = trio.current_time()
        assert await client.rest() == b""
        assert trio.current_time() - begun == pytest.approx(HEAD_TIME)


@pytest.mark.behaviour("http.md#idle-connections")
async def test_a_unix_client_may_be_silent_for_ever(
    fake: FakeSupervisor, autojump_clock: MockClock
) -> None:
    async with talking(fake, unix_server()) as client:
        await trio.sleep(HOURS)
        assert (await client.get("/ok.html")).status == 200


@pytest.mark.behaviour("http.md#idle-connections")
async def test_a_good_connection_may_idle_for_ever(
    fake: FakeSupervisor, autojump_clock: MockClock
) -> None:
    """Listeners call once an hour and do not reconnect."""
    async with talking(fake, inet_server()) as client:
        for _ in range(3):
            assert (await client.get("/ok.html")).status == 200
            await client.send(b"\r\n")  # a stray line begins nothing
            await trio.sleep(HOURS)


@pytest.mark.behaviour("http.md#idle-connections")
async def test_a_head_must_be_completed_in_time(
    fake: FakeSupervisor, autojump_clock: MockClock
) -> None:
    async with talking(fake) as client:
        await client.get("/ok.html")
        await trio.sleep(1000)
        begun = trio.current_time()
        for _ in range(5):
            await client.send(b"G")
            await trio.sleep(5)
        assert client.nothing_came()
        reply = await client.reply()
        assert reply.status == 408
        assert trio.current_time() - begun == pytest.approx(HEAD_TIME)
        assert await client.rest() == b""


@pytest.mark.behaviour("http.md#idle-connections")
async def test_a_body_may_be_slow_but_not_stop(
    fake: FakeSupervisor, autojump_clock: MockClock
) -> None:
    async with talking(fake) as client:
        await client.send(POST[: -len(VERSION_CALL)])
        for byte in VERSION_CALL[:-1]:
            await client.send(bytes([byte]))
            await trio.sleep(BODY_TIME - 1)
        assert client.nothing_came()
        assert (await client.reply()).status == 408
        assert await client.rest() == b""


@pytest.mark.behaviour("http.md#idle-connections")
async def test_a_client_that_does_not_read_is_given_up(
    fake: FakeSupervisor, autojump_clock: MockClock
) -> None:
    many = request("/index.html") * 2000
    async with talking(fake) as client:
        with trio.move_on_after(1):
            await client.send(many)
        await trio.sleep(SEND_TIME + 1)
        with pytest.raises(OSError, match=r"pipe|reset"):
            await client.send(b"x")


async def test_a_call_may_take_for_ever(fake: FakeSupervisor, autojump_clock: MockClock) -> None:
    process = fake.process("cat")
    process.gate = trio.Event()
    async with talking(fake, inet_server()) as client:
        await client.send(
            request("/RPC2", body=call_body("supervisor.startProcess", "cat"), method="POST")
        )
        await trio.sleep(HOURS)
        process.gate.set()
        assert b"<boolean>1</boolean>" in (await client.reply()).body
