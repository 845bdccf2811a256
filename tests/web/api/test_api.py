"""The way of a request through the API: addresses, methods, what is refused and how."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from tests.kit.api import EMPTY, JSON, ROOT, change, post, read, value
from tests.kit.fake_supervisor import BOB, FakeActivity, FakeSupervisor
from tests.kit.web import inet_server, request, talking
from trio_supervisor.core.errors import NotRunning
from trio_supervisor.core.process.states import DaemonState, FaultCode, State
from trio_supervisor.web.api.error import FAULTS, problem_of
from trio_supervisor.web.api.input import BODY_LIMIT
from trio_supervisor.web.api.route import CHANGE, READ, Route, Router
from trio_supervisor.web.api.routes import HEALTH, ROUTES

GOOD = "Authorization: Basic " + b64encode(b"bob:p:w").decode()
STOP = "/processes/cat/stop"


@pytest.fixture
def fake() -> FakeSupervisor:
    fake = FakeSupervisor("cat", "grp:ga", "grp:gb", "é")
    fake.process("cat").run()
    return fake


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("/nope", "there is nothing at this address", "GET /api/v1/openapi.json lists all"),
        ("", "there is nothing at this address", "GET /api/v1/openapi.json lists all"),
        ("/processes/cat/start/x", "there is nothing at this address", None),
        ("/processes/cta", "there is no process or group cta", "did you mean cat?"),
        ("/processes/grp%3Agz", "there is no process or group grp:gz", "did you mean grp:ga?"),
        ("/processes/nothing", "there is no process or group nothing", None),
        ("/processes/", "there is no process or group ", None),
        ("/processes/grp:*", "there is no process or group grp:*", None),
        ("/groups/zzz", "there is no process or group zzz", None),
        ("/processes/cat/logs/stdin", "there is no channel 'stdin'", "there are stdout, stderr"),
    ],
)
async def test_what_does_not_exist(
    fake: FakeSupervisor, path: str, message: str, hint: str | None
) -> None:
    async with talking(fake) as client:
        error = await read(client, path, status=404)
        assert error["message"] == message
        assert error["code"] in ("NOT_FOUND", "BAD_NAME")
        assert error["fault"] == (10 if error["code"] == "BAD_NAME" else None)
        assert hint is None or error["hint"] == hint
        assert (await client.post(f"{ROOT}/nope", b"")).status == 404
        assert (await client.get("/ok.html")).status == 200  # the connection goes on
    assert fake.lines == []


@pytest.mark.parametrize("name", ["é", "%C3%A9", "%c3%a9"])
async def test_names_in_addresses(fake: FakeSupervisor, name: str) -> None:
    async with talking(fake) as client:
        assert (await read(client, f"/processes/{name}"))["full_name"] == "é"


@pytest.mark.parametrize("name", ["grp:ga", "grp%3aga", "grp%3Aga"])
async def test_names_with_colons(fake: FakeSupervisor, name: str) -> None:
    async with talking(fake) as client:
        assert (await read(client, f"/processes/{name}"))["full_name"] == "grp:ga"


@pytest.mark.behaviour("http.md#requests-and-answers-of-the-json-api")
@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/processes", "GET, HEAD"),
        ("PUT", "/processes/cat", "GET, HEAD"),
        ("DELETE", "/groups/grp", "GET, HEAD"),
        ("GET", "/processes/cat/stop", "POST"),
        ("OPTIONS", "/processes/cat/stop", "POST"),
        ("PUT", "/events", "GET, HEAD, POST"),
    ],
)
async def test_other_methods(fake: FakeSupervisor, method: str, path: str, allow: str) -> None:
    async with talking(fake) as client:
        await client.send(request(ROOT + path, JSON, body=b"{}", method=method))
        reply = await client.reply()
        assert value(reply, 405)["message"] == f"Only {allow} here"
        assert reply.headers["allow"] == allow
    assert fake.process("cat").state is State.RUNNING


@pytest.mark.parametrize("path", ["/healthz", f"{ROOT}/processes/cat", f"{ROOT}/openapi.json"])
async def test_head_is_get_without_the_body(fake: FakeSupervisor, path: str) -> None:
    async with talking(fake) as client:
        full = await client.get(path)
        bare = await client.get(path, method="HEAD")
        headers = full.headers | {"date": bare.headers["date"]}  # a second may have passed
        assert (bare.status, bare.headers, bare.body) == (200, headers, b"")


@pytest.mark.parametrize(
    ("type", "status"),
    [
        ("Content-Type: application/json", 200),
        ("Content-Type: Application/JSON; charset=utf-8", 200),
        ("Content-Type: text/plain", 415),
        ("Content-Type: application/x-www-form-urlencoded", 415),
        ("Content-Type: multipart/form-data; boundary=application/json", 415),
        ("Content-Type: text/plain; application/json", 415),
        ("X-No-Type: x", 415),
    ],
)
@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_no_form_of_a_foreign_page_has_this_type(
    fake: FakeSupervisor, type: str, status: int, body: bytes
) -> None:
    """For browsers too old to send Origin: what they send unasked is refused."""
    async with talking(fake) as client:
        found = await post(client, STOP, body, status=status, type=type)
        if status == 415:
            assert "curl" in found["hint"]
    assert fake.process("cat").state is (State.STOPPED if status == 200 else State.RUNNING)


@pytest.mark.parametrize(
    "header",
    [
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Referer: http://evil.example/",
    ],
)
async def test_requests_of_foreign_pages(fake: FakeSupervisor, header: str) -> None:
    async with talking(fake) as client:
        error = await post(client, STOP, b"{}", header, status=403)
        assert error["code"] == "FORBIDDEN"
    assert fake.process("cat").state is State.RUNNING


async def test_requests_of_our_own_page(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        own = ("Origin: http://localhost", "Sec-Fetch-Site: same-origin")
        assert (await post(client, STOP, b"{}", *own))["statename"] == "STOPPED"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", f"{ROOT}/processes", f"{ROOT}/nope"])
async def test_everything_needs_the_credentials(fake: FakeSupervisor, path: str) -> None:
    """Health too; a probe can send the header."""
    async with talking(fake, inet_server(BOB)) as client:
        reply = await client.get(path)
        assert value(reply, 401)["code"] == "UNAUTHORIZED"
        assert reply.headers["www-authenticate"] == 'Basic realm="default"'
    async with talking(fake, inet_server(BOB)) as client:
        assert (await client.get(path, GOOD)).status in (200, 404, 503)


@pytest.mark.behaviour("http.md#requests-and-answers-of-the-json-api")
@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        (b"{", "the body is not JSON", ""),
        (b"\xff\xfe", "the body is not JSON", ""),
        (b'{"wait": NaN}', "NaN is not JSON", ""),
        (b'{"wait": true, "wait": false}', "a name is repeated in an object", ""),
        (b'{"wait": true} x', "the body is not JSON", ""),
        (b"[" * 100_000, "nested too deep", ""),
        (b'{"a":' * 50_000, "nested too deep", ""),
        (b'{"wait": ' + b"9" * 10_000 + b"}", "the body is not JSON", ""),
        (b"[]", "the body is not a JSON object", "fields: wait"),
        (b"null", "the body is not a JSON object", "fields: wait"),
        (b'{"wiat": true}', "there is no field 'wiat'", "did you mean wait?"),
        (b'{"name": "x"}', "there is no field 'name'", "there are wait here"),
        (b'{"wait": 1}', "the field wait must be true or false", "answer when"),
        (b'{"wait": "true"}', "the field wait must be true or false", "answer when"),
        (b'{"wait": null}', "the field wait must be true or false", "answer when"),
    ],
)
async def test_malformed_bodies(fake: FakeSupervisor, body: bytes, message: str, hint: str) -> None:
    async with talking(fake) as client:
        error = await post(client, STOP, body, status=400)
        assert (error["code"], error["fault"]) == ("INCORRECT_PARAMETERS", 2)
        assert message in error["message"]
        assert hint in error["hint"]
        assert len(error["message"]) < 200
    assert fake.process("cat").state is State.RUNNING
    assert fake.lines == []


@pytest.mark.behaviour("http.md#requests-and-answers-of-the-json-api")
async def test_the_size_of_a_body(fake: FakeSupervisor) -> None:
    frame = len(b'{"data":""}')
    async with talking(fake) as client:
        fits = b'{"data":"%b"}' % (b"x" * (BODY_LIMIT - frame))
        assert await post(client, "/processes/cat/stdin", fits) == {"done": True}
        error = await post(client, "/processes/cat/stdin", fits + b" ", status=413)
        assert str(BODY_LIMIT) in error["message"]
    assert len(fake.process("cat").stdin) == BODY_LIMIT - frame


async def test_a_post_without_length(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        await client.send(request(ROOT + STOP, JSON, method="POST"))
        assert "curl" in value(await client.reply(), 411)["hint"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("lines=x", "the parameter lines must be an integer"),
        ("lines=", "the parameter lines must be an integer"),
        ("lines=1.5", "the parameter lines must be an integer"),
        ("lines=%D9%A3", "the parameter lines must be an integer"),  # a digit, not of ours
        ("lines=-1", "the parameter lines must be from 0 to 100000"),
        ("lines=100001", "the parameter lines must be from 0 to 100000"),
        ("lines=" + "9" * 5000, "the parameter lines must be an integer"),
        ("lines=1&lines=2", "the parameter 'lines' is given twice"),
        ("line=1", "there is no parameter 'line'"),
        ("lines=%ff", "the query cannot be read"),
        ("%00=1", "there is no parameter '\\x00'"),
    ],
)
async def test_malformed_queries(fake: FakeSupervisor, query: str, message: str) -> None:
    async with talking(fake) as client:
        error = await read(client, f"/processes/cat/logs/stdout?{query}", status=400)
        assert message in error["message"]


async def test_what_takes_no_query_has_none(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        error = await read(client, "/processes?state=RUNNING", status=400)
        assert error["hint"] == "there are none here"


async def test_while_the_supervisor_goes_down(fake: FakeSupervisor) -> None:
    """It can be looked at, and nothing be changed."""
    fake.state = DaemonState.SHUTDOWN
    async with talking(fake) as client:
        assert (await read(client, "/daemon"))["statename"] == "SHUTDOWN"
        assert len(await read(client, "/processes")) == 4
        error = await change(client, STOP, status=503)
        assert (error["code"], error["fault"]) == ("SHUTDOWN_STATE", 6)
        assert (await change(client, "/daemon/shutdown", status=503))["fault"] == 6
    assert fake.process("cat").state is State.RUNNING


@pytest.mark.behaviour("http.md#methods-of-plugins")
async def test_without_the_section_that_makes_the_supervisor_talk(fake: FakeSupervisor) -> None:
    """Nobody is to learn or do anything; probes still work."""
    mute = FakeSupervisor("cat", rpcinterfaces=())
    async with talking(mute) as client:
        error = await read(client, "/processes", status=404)
        assert error["hint"] == "the configuration has no section [rpcinterface:supervisor]"
        assert (await change(client, STOP, status=404))["code"] == "NOT_FOUND"
        assert (await client.get("/healthz")).status == 200


async def test_an_error_of_ours_is_a_500_in_json(
    fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "process", lambda name: 1 / 0)
    async with talking(fake) as client:
        error = await read(client, "/processes/cat", status=500)
        assert error["message"] == "An internal error; the activity log has the details"
    (line,) = fake.lines
    assert "ZeroDivisionError" in line


async def test_what_utf_8_cannot_say(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        error = await post(client, "/all/signal", b'{"signal": "\\ud800"}', status=400)
        assert "\ud800" in error["message"] or "ud800" in error["message"]
        fields = b'{"type": "\\ud800", "data": "\\u0000"}'
        assert await post(client, "/events", fields) == {"done": True}
    assert fake.communications == [("\ud800", "\0")]


@pytest.mark.behaviour("http.md#requests-and-answers-of-the-json-api")
def test_every_fault_has_a_status() -> None:
    assert {*FAULTS} == {*FaultCode} - {FaultCode.SUCCESS}
    for kind in FAULTS.values():
        assert kind.status in (400, 404, 409, 503)
        assert kind.sentence.format("x")
    assert str(problem_of(NotRunning("{cat}"))) == "{cat} is not running"


def test_every_route_can_be_found() -> None:
    routes = (*HEALTH, *ROUTES)
    assert len({(route.method, route.path) for route in routes}) == len(routes)
    found = Router(routes)
    for route in routes:
        path = route.path.replace("{name}", "start").replace("{channel}", "stdout")
        match = found.match(path)
        assert match is not None
        assert match.routes[route.method] is route
        assert route.method in (READ, CHANGE)
        assert route.body == () or route.method == CHANGE


async def test_an_empty_body_is_an_empty_object(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        assert (await post(client, STOP, EMPTY))["statename"] == "STOPPED"
        await post(client, "/processes/cat/start", b"\x0c", status=400)


@pytest.mark.behaviour("http.md#requests-and-answers-of-the-json-api")
@pytest.mark.parametrize(
    "route", [*HEALTH, *ROUTES], ids=lambda route: f"{route.method} {route.path}"
)
@pytest.mark.parametrize("remembered", [False, True])
async def test_no_answer_may_be_kept_by_a_cache(
    route: Route, remembered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is good or bad, and a log in a file or in memory."""
    fake = FakeSupervisor("cat")
    log = tmp_path / "log"
    log.write_text("hello\n")
    monkeypatch.setattr(fake, "activity", FakeActivity(str(log)))
    if not remembered:
        monkeypatch.setattr(fake.process("cat").stdout, "logfile", str(log))
    target = route.path.format(name="cat", channel="stdout")
    async with talking(fake) as client:
        length = ("Content-Length: 0",) if route.method == "POST" else ()
        await client.send(request(target, *length, method=route.method))
        _, headers = await client.head()
    assert headers["cache-control"] == "no-store"


@pytest.mark.behaviour("http.md#requests-and-answers-of-the-json-api")
@pytest.mark.parametrize(
    "sent",
    [
        request("/api/v1/nothing"),
        request("/api/v1/processes", "Transfer-Encoding: x", method="POST"),
        request("/api/v1/processes", method="PUT"),
        request("/api/v1/all/stop", method="POST"),
        request("/api/v1/all/stop", f"Content-Length: {BODY_LIMIT + 1}", method="POST"),
        request("/api/v1/processes/nobody"),
        request("/api/v1/processes?x=1"),
    ],
)
async def test_no_error_may_be_kept_by_a_cache(fake: FakeSupervisor, sent: bytes) -> None:
    async with talking(fake) as client:
        await client.send(sent)
        head, headers = await client.head()
    assert int(head.split()[1]) >= 400
    assert headers["cache-control"] == "no-store"
