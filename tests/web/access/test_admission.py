"""Access to a server: passwords, read-only users, host names, delays."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kit.fake_supervisor import BOB, FakeSupervisor
from tests.kit.web import PEER, call_body, inet_server, talking, unix_server
from trio_supervisor.core.config import passwords
from trio_supervisor.core.config.access import Access, Credentials
from trio_supervisor.core.config.passwords import hash_password
from trio_supervisor.core.process.states import State
from trio_supervisor.web.access import auth
from trio_supervisor.web.access.client_log import BURST
from trio_supervisor.web.access.throttle import MOST_HELD
from trio_supervisor.web.app import App
from trio_supervisor.web.message import Request

EVE = Credentials("eve", "look")
SLOW = Credentials("bob", hash_password("p:w", bytes(16)))


def login(text: str) -> str:
    return f"Authorization: Basic {b64encode(text.encode()).decode()}"


LOCKED = replace(inet_server(BOB), access=Access(readonly=EVE))
STOP = call_body("supervisor.stopProcess", "cat")
INFO = call_body("supervisor.getProcessInfo", "cat")


@pytest.fixture
def fake() -> FakeSupervisor:
    fake = FakeSupervisor("cat")
    fake.process("cat").run()
    return fake


@pytest.mark.behaviour("http.md#read-only-users")
async def test_a_read_only_user_may_look(fake: FakeSupervisor) -> None:
    async with talking(fake, LOCKED) as client:
        for target in (
            *("/", "/tail.html?processname=cat", "/log.html?processname=cat", "/ok.html"),
            *("/log.html?processname=cat&q=x", "/api/v1/processes"),
            *("/api/v1/processes/cat/lines", "/api/v1/processes/cat/lines/search?pattern=x"),
        ):
            assert (await client.get(target, login("eve:look"))).status == 200
        reply = await client.post("/RPC2", INFO, login("eve:look"))
        assert b"<string>RUNNING</string>" in reply.body
        reply = await client.post("/RPC2", call_body("system.listMethods"), login("eve:look"))
        assert b"supervisor.stopProcess" in reply.body


@pytest.mark.behaviour("http.md#read-only-users")
@pytest.mark.parametrize("target", ["/", "/?action=stopall", "/api/v1/processes/cat/stop"])
async def test_a_read_only_user_may_post_no_action(fake: FakeSupervisor, target: str) -> None:
    async with talking(fake, LOCKED) as client:
        reply = await client.post(target, b"action=stopall", login("eve:look"))
        assert reply.status == 403
        assert b"read-only access" in reply.body
    assert fake.process("cat").state is State.RUNNING


@pytest.mark.behaviour("http.md#read-only-users")
async def test_a_read_only_user_may_get_no_action(fake: FakeSupervisor) -> None:
    async with talking(fake, LOCKED) as client:
        assert (await client.get("/?action=stopall", login("eve:look"))).status == 403
    assert fake.process("cat").state is State.RUNNING


@pytest.mark.behaviour("http.md#read-only-users")
@pytest.mark.parametrize("name", ["stopProcess", "sendProcessStdin", "clearProcessLogs"])
async def test_calls_of_a_read_only_user_that_change_things_are_faults(
    fake: FakeSupervisor, name: str
) -> None:
    more = ("x",) if name == "sendProcessStdin" else ()
    async with talking(fake, LOCKED) as client:
        body = call_body(f"supervisor.{name}", "cat", *more)
        reply = await client.post("/RPC2", body, login("eve:look"))
        assert b"<int>30</int>" in reply.body
        assert b"FAILED: this user has read-only access" in reply.body
        member = "<member><name>methodName</name><value>supervisor.{}</value></member>"
        calls = "".join(
            f"<value><struct>{member.format(call)}</struct></value>"
            for call in ("stopAllProcesses", "getAPIVersion")
        )
        body = call_body("system.multicall", f"<array><data>{calls}</data></array>")
        reply = await client.post("/RPC2", body, login("eve:look"))
        assert b"read-only access" in reply.body
        assert b"<string>3.0</string>" in reply.body
    assert fake.process("cat").state is State.RUNNING
    async with talking(fake, LOCKED) as client:
        assert b"<boolean>1</boolean>" in (await client.post("/RPC2", STOP, login("bob:p:w"))).body


async def test_actions_by_get_can_be_switched_off(fake: FakeSupervisor) -> None:
    server = replace(unix_server(), access=Access(get_actions=False))
    async with talking(fake, server) as client:
        reply = await client.get("/?action=stopall")
        assert reply.status == 403
        assert b"get_actions" in reply.body
    async with talking(fake, server) as client:
        assert (await client.get("/")).status == 200
        assert (await client.post("/", b"action=stopall")).status == 303


@pytest.mark.behaviour("http.md#host-names")
async def test_a_foreign_name_is_refused_and_the_log_says_what_to_do(fake: FakeSupervisor) -> None:
    """DNS rebinding: the attacker's own page, with its name meaning 127.0.0.1."""
    for target in ("/", "/ok.html", "/api/v1/processes", "/stylesheets/supervisor.css"):
        async with talking(fake, inet_server()) as client:
            await client.send(f"GET {target} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode())
            assert (await client.reply()).status == 403
    assert fake.lines[0] == (
        f"INFO refused a request of {PEER} to inet_http_server: "
        "Host 'evil.example' is not among allowed_hosts"
    )


@pytest.mark.behaviour("http.md#wrong-passwords-are-delayed")
async def test_failures_are_held_back_and_logged_without_the_password(
    fake: FakeSupervisor, autojump_clock: MockClock
) -> None:
    times = []
    for _ in range(7):
        async with talking(fake, LOCKED) as client:
            before = trio.current_time()
            assert (await client.get("/", login("bob:hunter2"))).status == 401
            times.append(round(trio.current_time() - before, 3))
    assert times == [0.05] * 7  # each server has its own memory: here seven
    assert (
        fake.lines
        == [f"INFO refused a request of {PEER} to inet_http_server: wrong user name or password"]
        * 7
    )
    assert "hunter2" not in str(fake.lines)


async def admitted(app: App, peer: str, text: str, *, is_proven: bool = False) -> int:
    """The status with which a request of this user is refused, 200 if it is let in."""
    headers = {"authorization": login(text)[15:]}
    refused = await app.admit(Request("GET", "/", headers=headers, peer=peer, is_proven=is_proven))
    return 200 if refused is None else refused.status


async def guess_for_ever(app: App, peer: str) -> None:
    while True:
        assert await admitted(app, peer, "bob:guess") in (401, 429)


@pytest.mark.behaviour("http.md#wrong-passwords-are-delayed")
@pytest.mark.parametrize("credentials", [BOB, SLOW], ids=["clear", "scrypt"])
async def test_guesses_of_the_same_peer_do_not_lock_out_the_right_password(
    fake: FakeSupervisor,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    credentials: Credentials,
) -> None:
    monkeypatch.setattr(auth, "matches", lambda given, stored: given == b"p:w")  # takes no time
    app = App(inet_server(credentials), fake.real)
    assert await admitted(app, "127.0.0.1", "bob:p:w") == 200  # seen once
    async with trio.open_nursery() as nursery:
        for number in range(2 * MOST_HELD):
            nursery.start_soon(guess_for_ever, app, f"127.0.0.{number}")
        await trio.sleep(10)
        now = trio.current_time()
        assert await admitted(app, "127.0.0.1", "bob:p:w", is_proven=True) == 200
        assert trio.current_time() == now
        assert await admitted(app, "127.0.0.1", "bob:p:w") == 200
        assert trio.current_time() - now <= 2.01
        nursery.cancel_scope.cancel()


async def test_queued_guesses_tell_nothing_early(
    fake: FakeSupervisor, autojump_clock: MockClock
) -> None:
    """Or they would be guesses without limit."""
    app = App(LOCKED, fake.real)
    answers: list[tuple[int, float]] = []

    async def ask(text: str) -> None:
        status = await admitted(app, "::1", text)
        answers.append((status, round(trio.current_time() - start, 2)))

    async with trio.open_nursery() as nursery:
        for number in range(MOST_HELD):
            nursery.start_soon(guess_for_ever, app, f"127.0.0.{number}")
        await trio.sleep(30)
        start = trio.current_time()
        async with trio.open_nursery() as asking:
            asking.start_soon(ask, "bob:no")
            asking.start_soon(ask, "bob:p:w")
        nursery.cancel_scope.cancel()
    assert sorted(answers) == [(200, 2.0), (429, 2.0)]


async def test_a_connection_that_was_let_in_is_not_held_up_by_guesses(
    fake: FakeSupervisor, autojump_clock: MockClock
) -> None:
    app = App(LOCKED, fake.real)
    async with talking(fake, LOCKED, app) as client, trio.open_nursery() as nursery:
        assert (await client.get("/ok.html", login("bob:p:w"))).status == 200
        for _ in range(MOST_HELD):
            nursery.start_soon(guess_for_ever, app, PEER)
        await trio.sleep(10)
        now = trio.current_time()
        assert (await client.get("/ok.html", login("bob:p:w"))).status == 200
        assert trio.current_time() == pytest.approx(now, abs=0.01)
        # What was not proven on this connection is a guess.
        assert (await client.get("/ok.html", login("eve:guess"))).status == 429
        nursery.cancel_scope.cancel()


async def test_slow_comparisons_take_a_bounded_share_of_a_processor(
    autojump_clock: MockClock,
) -> None:
    work, used = auth.SlowWork(), 0.0

    def check(given: tuple[bytes, bytes]) -> bool:
        nonlocal used
        used += 0.5
        return True

    async def compare() -> None:
        assert await work.run(check, (b"", b""), lambda: used)

    start = trio.current_time()
    for _ in range(4):
        await compare()
    assert trio.current_time() == start  # a few logins do not wait
    async with trio.open_nursery() as nursery:
        for _ in range(16):
            nursery.start_soon(compare)
    elapsed = trio.current_time() - start
    assert used == 10
    assert used <= auth.SLOW_BURST + auth.SLOW_SHARE * elapsed + 0.5


async def test_a_login_does_not_wait_for_ever_for_its_comparison(
    fake: FakeSupervisor, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: auth.SlowWork, *comparison: object) -> bool:
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(auth.SlowWork, "run", never)
    async with talking(fake, inet_server(SLOW)) as client:
        reply = await client.get("/", login("bob:p:w"))
        assert (reply.status, reply.headers["retry-after"]) == (429, "10")


@pytest.mark.behaviour("http.md#wrong-passwords-are-delayed")
async def test_one_peer_holds_up_nobody_else(
    fake: FakeSupervisor, autojump_clock: MockClock
) -> None:
    admission = App(LOCKED, fake.real)

    async def status(peer: str, text: str) -> int:
        return await admitted(admission, peer, text)

    statuses: list[int] = []

    async def fail() -> None:
        statuses.append(await status("192.0.2.66", "bob:guess"))

    async with trio.open_nursery() as nursery:
        for _ in range(MOST_HELD):
            nursery.start_soon(fail)
        await wait_all_tasks_blocked()
        now = trio.current_time()
        assert await status("192.0.2.7", "bob:p:w") == 200
        assert await status("192.0.2.7", "eve:look") == 200
        assert trio.current_time() == now
    assert statuses == [401] * MOST_HELD
    assert trio.current_time() - now == pytest.approx(2.0, abs=0.01)
    assert await status("192.0.2.66", "bob:p:w") == 200
    assert len(fake.lines) == MOST_HELD


async def test_a_unix_socket_is_not_throttled(
    fake: FakeSupervisor, autojump_clock: MockClock
) -> None:
    """Its mode says who may try."""
    for _ in range(3):
        async with talking(fake, unix_server(BOB)) as client:
            assert (await client.get("/", login("bob:x"))).status == 401
    assert trio.current_time() == pytest.approx(0, abs=0.001)
    assert "a local client to unix_http_server" in fake.lines[0]


async def test_a_browser_first_asks_without_a_password(fake: FakeSupervisor) -> None:
    async with talking(fake, LOCKED) as client:
        assert (await client.get("/")).status == 401
    assert fake.lines == []


async def test_scrypt_is_computed_once_and_aside(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []

    def matches(password: bytes, stored: str) -> bool:
        compared.append(password)
        return passwords.matches(password, stored)

    monkeypatch.setattr(auth, "matches", matches)
    server = inet_server(SLOW)
    async with talking(fake, server) as client:
        for _ in range(3):
            assert (await client.get("/ok.html", login("bob:p:w"))).status == 200
        assert compared == [b"p:w"]
        assert (await client.get("/ok.html", login("bob:no"))).status == 401
    async with talking(fake, server) as client:
        assert (await client.get("/ok.html", login("eve:p:w"))).status == 401
    # As much work for an unknown user, and none for what says no name and no password.
    assert compared == [b"p:w", b"no", b"p:w"]


async def test_a_flood_of_bad_requests_does_not_fill_the_log(
    fake: FakeSupervisor, autojump_clock: MockClock
) -> None:
    async with talking(fake) as client:
        for number in range(BURST + 30):
            await client.post("/RPC2", f"\x1b[31m\n{number}\n{'x' * 1000}".encode())
        assert len(fake.lines) == BURST
        assert all(line.isprintable() and len(line) < 500 for line in fake.lines)
        await trio.sleep(1)
        await client.post("/RPC2", b"again")
    assert fake.lines[-1].endswith("(30 lines about clients were left out before this one)")
