"""The addresses of a server, and access to them."""

from __future__ import annotations

from base64 import b64encode

import pytest
import trio

from tests.kit.fake_supervisor import BOB, FakeSupervisor
from tests.kit.web import Client, call_body, inet_server, request, talking
from trio_supervisor.core.errors import Failed
from trio_supervisor.core.process.states import DaemonState, State
from trio_supervisor.web.worker import INLINE

CALL = call_body("supervisor.getAPIVersion")
GOOD = "Authorization: Basic " + b64encode(b"bob:p:w").decode()
BAD = "Authorization: Basic " + b64encode(b"bob:no").decode()


@pytest.fixture
def fake() -> FakeSupervisor:
    return FakeSupervisor("cat")


@pytest.mark.behaviour(
    "http.md#keep-alive",
    "http.md#methods-that-an-address-does-not-have",
    "http.md#responses",
    "http.md#requests-that-are-understood",
    "http.md#addresses-of-log-streams",
    "http.md#requests-are-not-logged",
    "http.md#other-addresses",
)
@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "/RPC2", 200),
        ("POST", "/RPC2/", 200),
        ("POST", "/RPC2?x=1", 200),
        ("POST", "/%52PC2", 200),
        ("POST", "/RPC2foo", 400),
        ("POST", "/RPC", 400),
        ("POST", "//RPC2", 400),
        ("GET", "/RPC2", 405),
        pytest.param("HEAD", "/RPC2", 405, id="HEAD"),
        pytest.param("GET", "/", 200, id="root"),
        pytest.param("GET", "//", 200, id="3.2-slashes"),
        pytest.param("GET", "/index.html?x", 200, id="index"),
        ("HEAD", "/", 200),
        pytest.param("POST", "/index.html", 200, id="POST-index"),
        pytest.param("GET", "/ok.html", 200, id="ok"),
        pytest.param("POST", "/ok.html", 200, id="POST-ok"),
        ("GET", "http://x/ok.html", 200),
        pytest.param("GET", "/tail.html", 200, id="tail.html"),
        pytest.param("GET", "/stylesheets/supervisor.css", 200, id="css"),
        ("HEAD", "/stylesheets/supervisor.css", 200),
        pytest.param("POST", "/stylesheets/supervisor.css", 405, id="POST-css"),
        ("GET", "/status.html", 404),
        pytest.param("GET", "/images", 404, id="directory"),
        pytest.param("GET", "/../etc/passwd", 404, id="dots"),
        pytest.param("GET", "/%2e%2e/etc/passwd", 404, id="encoded-dots"),
        pytest.param("GET", "/zzz", 404, id="404"),
        pytest.param("HEAD", "/zzz", 404, id="404-HEAD"),
        pytest.param("GET", "/%E9", 404, id="not-utf-8"),
        pytest.param("PUT", "/zzz", 400, id="PUT"),
        pytest.param("OPTIONS", "*", 400, id="OPTIONS"),
        pytest.param("get", "/zzz", 400, id="lower-case"),
        ("GET", "/logtail", 404),
        ("GET", "/logtail/", 404),
        ("GET", "/logtail/zz", 404),
        ("POST", "/logtail/cat", 400),
        ("POST", "/mainlogtail", 400),
        pytest.param("GET", "/mainlogtail", 404, id="no-main-log"),
    ],
)
async def test_url_map(fake: FakeSupervisor, method: str, target: str, status: int) -> None:
    """Requests are no lines in the log."""
    async with talking(fake) as client:
        if method == "POST":
            reply = await client.post(target, CALL)
        else:
            reply = await client.get(target, method=method)
        assert reply.status == status
    assert fake.lines == []


@pytest.mark.behaviour("http.md#methods-that-an-address-does-not-have")
async def test_a_wrong_method_is_told_what_is_allowed(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        assert (await client.get("/RPC2")).headers["allow"] == "POST"


@pytest.mark.behaviour("http.md#header-fields-that-protect-browsers")
async def test_pages_say_who_we_are_and_how_careful(fake: FakeSupervisor) -> None:
    """Sections 3.3, 4 and 5."""
    async with talking(fake) as client:
        for target in ("/", "/tail.html", "/zzz", "/ok.html", "/stylesheets/supervisor.css"):
            reply = await client.get(target)
            assert reply.headers["server"] == "trio-supervisor"
            assert reply.headers["date"].endswith(" GMT")
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
            assert reply.headers["referrer-policy"] == "same-origin"
        reply = await client.get("/")
        assert reply.headers["content-type"] == "text/html;charset=utf-8"
        assert reply.headers["pragma"] == reply.headers["cache-control"] == "no-cache"
        assert reply.headers["expires"] == "Thu, 01 Jan 1970 00:00:00 GMT"


async def closes(client: Client) -> bool:
    """Whether the server really closes: nothing it is sent now is answered."""
    await client.send(b"GET /ok.html HTTP/1.1\r\n" + GOOD.encode() + b"\r\n\r\n")
    return await client.rest() == b""


@pytest.mark.behaviour("http.md#basic-authentication")
@pytest.mark.parametrize(
    ("target", "header"),
    [
        ("/", ""),
        ("/", BAD),
        ("/", "Authorization: Digest x"),
        ("/", "Authorization: Basic abc"),
        ("/zzz", ""),
        pytest.param("/ok.html", "", id="ok.html"),
        pytest.param("/logtail/cat", "", id="logtail"),
    ],
)
async def test_without_credentials(fake: FakeSupervisor, target: str, header: str) -> None:
    async with talking(fake, inet_server(BOB)) as client:
        reply = await client.get(target, *([header] if header else []))
        assert reply.head == "HTTP/1.1 401 Unauthorized"
        assert reply.headers["www-authenticate"] == 'Basic realm="default"'
        assert reply.headers["connection"] == "close"
        assert await closes(client)


async def test_a_body_without_credentials_is_not_read(fake: FakeSupervisor) -> None:
    async with talking(fake, inet_server(BOB)) as client:
        await client.send(b"POST /RPC2 HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n<methodCall>")
        assert (await client.reply()).status == 401
        assert await client.rest() == b""


@pytest.mark.behaviour("http.md#basic-authentication")
@pytest.mark.parametrize("header", [GOOD, GOOD.lower().split(" ")[0] + GOOD[14:]])
async def test_good_credentials_are_let_in(fake: FakeSupervisor, header: str) -> None:
    async with talking(fake, inet_server(BOB)) as client:
        assert (await client.get("/ok.html", header)).body == b"OK"
        assert (await client.post("/RPC2", CALL, header.replace(": ", ":"))).status == 200


@pytest.mark.behaviour("http.md#requests-caused-by-pages-of-other-sites")
@pytest.mark.parametrize(
    "header", ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site", "Referer: http://e/"]
)
async def test_calls_from_foreign_pages(fake: FakeSupervisor, header: str) -> None:
    fake.process("cat").run()
    async with talking(fake) as client:
        body = call_body("supervisor.stopProcess", "cat")
        reply = await client.post("/RPC2", body, header, "Content-Type: text/plain")
        assert reply.status == 403
    assert fake.process("cat").state is State.RUNNING


async def test_an_own_page_may_call(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        own = ("Origin: http://localhost", "Sec-Fetch-Site: same-origin")
        assert (await client.post("/RPC2", CALL, *own)).status == 200


async def test_an_error_of_ours_is_a_500_and_a_line(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes on."""
    monkeypatch.setattr(fake, "process", lambda name: 1 / 0)
    async with talking(fake) as client:
        reply = await client.post("/RPC2", call_body("supervisor.getProcessInfo", "cat"))
        assert reply.head == "HTTP/1.1 500 Internal Server Error"
        assert b"ZeroDivisionError" not in reply.body
        assert (await client.get("/ok.html")).status == 200
    (line,) = fake.lines
    assert line.startswith("ERROR error in POST '/RPC2':\n")
    assert "ZeroDivisionError" in line


@pytest.mark.behaviour("http.md#form-of-an-answer")
async def test_faults_are_good_answers(fake: FakeSupervisor) -> None:
    fake.failure = Failed("ü")
    async with talking(fake) as client:
        reply = await client.post("/RPC2", call_body("supervisor.reloadConfig"))
        assert reply.status == 200
        assert "<int>30</int>" in reply.body.decode()
        assert "<string>FAILED: ü</string>" in reply.body.decode()  # complete


@pytest.mark.behaviour("http.md#calls-that-are-not-well-formed")
@pytest.mark.parametrize(
    "body", [b"hello", b"\xff", b"<!DOCTYPE a><a/>"], ids=["no-xml", "not-utf-8", "dtd"]
)
async def test_malformed_calls(fake: FakeSupervisor, body: bytes) -> None:
    async with talking(fake) as client:
        assert (await client.post("/RPC2", body)).status == 400
        assert (await client.post("/RPC2", CALL)).status == 200
    (line,) = fake.lines
    assert line.startswith("DEBUG not an XML-RPC call")
    assert len(line) < 500


async def test_large_calls_are_decoded_aside(fake: FakeSupervisor) -> None:
    name = "x" * INLINE
    async with talking(fake) as client:
        reply = await client.post("/RPC2", call_body("supervisor.getProcessInfo", name))
        assert f"BAD_NAME: {name}".encode() in reply.body
        assert (await client.post("/RPC2", b"<" * INLINE * 2)).status == 400


@pytest.mark.behaviour("http.md#shutdown_state")
async def test_pages_and_files_during_a_shutdown(fake: FakeSupervisor) -> None:
    fake.state = DaemonState.SHUTDOWN
    async with talking(fake) as client:
        assert (await client.get("/")).status == 503
        assert (await client.get("/?action=stopall")).status == 503
        assert (await client.get("/ok.html")).status == 200


async def test_the_answer_to_shutdown_comes_first(fake: FakeSupervisor) -> None:
    """It is out before anybody else runs."""
    asked = trio.Event()
    fake.request_shutdown = asked.set  # type: ignore[method-assign]  # a spy
    async with talking(fake) as client:
        await client.send(request("/RPC2", body=call_body("supervisor.shutdown"), method="POST"))
        await asked.wait()
        assert not client.nothing_came()
        assert b"<boolean>1</boolean>" in (await client.reply()).body
