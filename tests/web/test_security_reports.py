"""Reports against Supervisor and its peers, each with its attack.

Those about pages (XSS), privileges, files and terminals have their tests where that code is tested.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kit.fake_supervisor import BOB, FakeSupervisor
from tests.kit.web import call_body, inet_server, request, talking
from tests.runtime.rpc.test_plugins import interface
from trio_supervisor.core.config.model import ProcessConfig
from trio_supervisor.core.process.states import State
from trio_supervisor.core.xmlrpc import MAX_DEPTH

UNKNOWN = (
    b"<int>1</int></value>\n</member>\n<member>\n<name>faultString</name>\n<value><string>UNKNO"
)


@pytest.fixture
def fake() -> FakeSupervisor:
    fake = FakeSupervisor("cat")
    fake.process("cat").run()
    fake.config = replace(fake.config, rpcinterfaces=(*fake.config.rpcinterfaces, interface()))
    return fake


PAYLOADS = [
    # The public exploit of CVE-2017-11610, and its shorter relatives.
    "supervisor.supervisord.options.warnings.linecache.os.system",
    "supervisor.supervisord.options.execve",
    *(".".join(["supervisor", *["supervisord"] * depth]) for depth in range(6)),
    *("supervisor._update", "supervisor.__class__", "supervisor.__init__", "supervisor.getPID.run"),
    *("system.__class__", "system.multicall.__func__", "tsupervisor.__dict__"),
    *("x._private", "x.__init__", "x.attribute", "x.supervisor.log", "x.greet.__globals__"),
    *("supervisor", "supervisor.", ".getPID", "supervisor..getPID", "supervisor.getPID "),
    *("SUPERVISOR.getPID", "supervisor.getpid", "supervisor:getPID", "supervisor/getPID"),
]


@pytest.mark.parametrize("name", PAYLOADS)
async def test_cve_2017_11610_method_traversal(fake: FakeSupervisor, name: str) -> None:
    member = f"<member><name>methodName</name><value>{name}</value></member>"
    params = "<member><name>params</name><value><array><data/></array></value></member>"
    wrapped = f"<array><data><value><struct>{member}{params}</struct></value></data></array>"
    async with talking(fake) as client:
        reply = await client.post("/RPC2", call_body(name, "touch /tmp/owned"))
        assert reply.status == 200
        assert UNKNOWN in reply.body
        assert UNKNOWN in (await client.post("/RPC2", call_body("system.multicall", wrapped))).body
    assert fake.lines == []


ROUTES = [
    *("/", "/index.html", "/tail.html?processname=cat", "/ok.html", "/RPC2", "/RPC2/", "//"),
    *("/logtail/cat", "/logtail/cat/stderr", "/mainlogtail", "/stylesheets/supervisor.css"),
    *("/images/icon.png", "/live", "/live/lines?processname=cat", "/log.txt?processname=cat"),
    *("/api/v1/processes", "/api/v1/events", "/api/v1/openapi.json", "/api/", "/healthz"),
    *("/readyz", "/metrics", "/log/cat/", "/%2e%2e/", "http://x/", "*", "/zzz", "?", "/%E9"),
]


@pytest.mark.parametrize("target", ROUTES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
async def test_cve_2019_12105_no_address_answers_without_the_password(
    fake: FakeSupervisor, target: str, method: str
) -> None:
    """Nor does one with a wrong one; a peer had one route that forgot to ask."""
    async with talking(fake, inet_server(BOB)) as client:
        await client.send(request(target, method=method))
        reply = await client.reply(bare=method == "HEAD")
        assert reply.status == 401
        assert await client.rest() == b""


@pytest.mark.behaviour("http.md#requests-caused-by-pages-of-other-sites")
@pytest.mark.parametrize(
    "headers",
    [
        ("Origin: http://evil.example",),
        ("Origin: null",),
        ("Referer: http://evil.example/localhost",),
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"),
        ("Sec-Fetch-Site: same-site", "Origin: http://localhost"),
    ],
)
@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/RPC2", call_body("supervisor.stopAllProcesses")),
        ("/", b"action=stopall"),
        ("/index.html?action=stopall", b""),
        ("/?action=stopall", None),
        ("/api/v1/processes/cat/stop", b"{}"),
        ("/api/v1/daemon/shutdown", b""),
    ],
)
async def test_no_other_site_can_make_a_browser_change_anything(
    fake: FakeSupervisor, headers: tuple[str, ...], target: str, body: bytes | None
) -> None:
    """Also with the Content-Type that needs no preflight, and the password a browser remembers."""
    async with talking(fake) as client:
        if body is None:
            reply = await client.get(target, *headers)
        else:
            reply = await client.post(target, body, "Content-Type: text/plain", *headers)
        assert reply.status == 403
    assert fake.process("cat").state is State.RUNNING


def nested(depth: int) -> bytes:
    return b"<methodCall>" + b"<array>" * depth + b"</array>" * depth + b"</methodCall>"


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BOMBS = {
    "billion laughs": f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><x>&l9;</x>'.encode(),
    "quadratic": f'<!DOCTYPE x [<!ENTITY a "{"a" * 100_000}">]><x>{"&a;" * 1000}</x>'.encode(),
    "external": b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
    "external entity": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
    "parameter entity": b'<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1/">%a;]><x/>',
    "depth": nested(MAX_DEPTH),
    "100 000 deep": nested(100_000),
    "never closed": b"<array>" * 100_000,
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
async def test_xml_bombs(fake: FakeSupervisor, body: bytes) -> None:
    async with talking(fake) as client:
        assert (await client.post("/RPC2", body)).status == 400
        assert (await client.post("/RPC2", call_body("supervisor.getPID"))).status == 200


@pytest.mark.behaviour("http.md#bodies")
@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("-1", 400),
        ("1e3", 400),
        ("0x10", 400),
        ("+5", 400),
        ("5, 6", 400),
        ("", 400),
        ("104857600", 413),
        ("9" * 19, 413),
        ("9" * 5000, 400),
    ],
)
async def test_lengths_that_lie(fake: FakeSupervisor, length: str, status: int) -> None:
    """The body is not waited for."""
    async with talking(fake) as client:
        await client.send(f"POST /RPC2 HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode())
        assert (await client.reply()).status == status
        assert await client.rest() == b""


async def test_secrets_are_shown_nowhere(fake: FakeSupervisor) -> None:
    process = fake.process("cat")
    process.config = ProcessConfig(name="cat", command="/bin/cat", environment={"TOKEN": "hunter2"})
    group = replace(fake.candidates[0], processes=(process.config,))
    fake.candidates = (group,)
    fake.config = replace(fake.config, groups=(group,), servers=(inet_server(BOB),))
    shown = b""
    async with talking(fake) as client:
        for method in ("getAllConfigInfo", "getAllProcessInfo"):
            shown += (await client.post("/RPC2", call_body(f"supervisor.{method}"))).body
        shown += (await client.post("/RPC2", call_body("tsupervisor.getAllProcessDetails"))).body
        for target in ("/", "/tail.html?processname=cat", "/api/v1/processes", "/metrics"):
            shown += (await client.get(target)).body
    assert b"cat" in shown
    assert b"hunter2" not in shown
    assert b"p:w" not in shown
