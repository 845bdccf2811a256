"""The status page, its actions, and the log page (interfaces.md 4, W108 to W115)."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, quote

import pytest

from tests.kit.fake_supervisor import NOW, FakeSupervisor
from tests.kit.web import Client, Reply, talking
from trio_supervisor.core.errors import (
    AbnormalTermination,
    Failed,
    NoFile,
    NotExecutable,
    RequestError,
    SpawnFailed,
)
from trio_supervisor.core.states import State

CTIME = time.ctime(NOW)


@pytest.fixture
def fake() -> FakeSupervisor:
    return FakeSupervisor("cat", "grp:ga", "off")


class Page(HTMLParser):
    """What a page shows: rows of the table, links, forms with their fields, the message."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.links: dict[str, str] = {}
        self.forms: list[dict[str, str]] = []
        self._link: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({"": f"{attributes['method']} {attributes['action']}"})
        elif tag in ("input", "button"):
            self.forms[-1][attributes["name"]] = attributes["value"]
        elif tag == "a":
            self._link = attributes["href"]
        self.text += "|" if tag in ("td", "th") else ""

    def handle_data(self, data: str) -> None:
        if self._link is not None:
            self.links[data] = self._link
            self._link = None
        self.text += data


def message_of(reply: Reply) -> str:
    """The message that a redirect carries."""
    assert reply.head == "HTTP/1.1 303 See Other"
    where = reply.headers["location"]
    assert where.startswith("./?message=")
    assert where.isascii()
    return parse_qs(where.removeprefix("./?"))["message"][0]


async def act(client: Client, **fields: str) -> str:
    body = "&".join(f"{name}={quote(value)}" for name, value in fields.items())
    return message_of(await client.post("/", body.encode()))


async def test_the_table(fake: FakeSupervisor) -> None:
    fake.process("grp:ga").run()
    fake.process("off").state = State.FATAL
    fake.process("off").spawn_error = "<bad> & worse"
    async with talking(fake) as client:
        page = Page((await client.get("/")).body.decode())
    _, *lines = [line for line in page.text.splitlines() if line.startswith("|")]
    assert [line.split("|")[1:4] for line in lines] == [
        ["stopped", "Not started", "cat"],
        ["running", "pid 4242, uptime 0:01:05", "grp:ga"],
        ["fatal", "<bad> & worse", "off"],
    ]
    assert page.links["grp:ga"] == "tail.html?processname=grp%3Aga"
    assert "trio-supervisor" in page.text


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        (State.RUNNING, ["restart", "stop", "clearlog"]),
        (State.STOPPED, ["start", "clearlog"]),
        (State.EXITED, ["start", "clearlog"]),
        (State.FATAL, ["start", "clearlog"]),
        (State.STARTING, ["clearlog"]),
        (State.BACKOFF, ["clearlog"]),
        (State.STOPPING, ["clearlog"]),
        (State.UNKNOWN, ["clearlog"]),
    ],
)
async def test_what_is_offered(state: State, actions: list[str]) -> None:
    fake = FakeSupervisor("grp:ga")
    fake.process("grp:ga").state = state
    async with talking(fake) as client:
        page = Page((await client.get("/index.html")).body.decode())
    offered = [form for form in page.forms if "processname" in form]
    assert [form["action"] for form in offered] == actions
    assert all(form["processname"] == "grp:ga" for form in offered)
    everywhere = [form["action"] for form in page.forms if "processname" not in form]
    assert everywhere == ["refresh", "restartall", "stopall"]
    assert {form[""] for form in page.forms} == {"post ./"}
    assert page.links["Tail -f Stdout"] == "logtail/grp%3Aga"
    assert page.links["Tail -f Stderr"] == "logtail/grp%3Aga/stderr"


async def test_no_programs() -> None:
    async with talking(FakeSupervisor()) as client:
        assert b"No programs to manage" in (await client.get("/")).body


async def test_w108_a_message_is_escaped_and_cut(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        page = (await client.get("/?message=%3Cscript%3E" + "x" * 600)).body.decode()
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert "x" * 492 in page
        assert "x" * 493 not in page


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_w109_w110_actions_by_either_method(fake: FakeSupervisor, method: str) -> None:
    async with talking(fake) as client:
        if method == "GET":
            reply = await client.get("/index.html?action=start&processname=grp%3Aga")
        else:
            reply = await client.post("/", b"action=start&processname=grp%3Aga")
        assert message_of(reply) == "Process grp:ga started"
    assert fake.process("grp:ga").state is State.RUNNING


async def test_actions_on_everything(fake: FakeSupervisor) -> None:
    fake.process("cat").run()
    async with talking(fake) as client:
        assert await act(client, action="refresh") == f"Page refreshed at {CTIME}"
        assert await act(client, action="stopall") == f"All stopped at {CTIME}"
        assert fake.process("cat").state is State.STOPPED
        assert await act(client, action="restartall") == f"All restarted at {CTIME}"
    assert {p.state for g in fake.groups.values() for p in g.processes.values()} == {State.RUNNING}


async def test_actions_on_one(fake: FakeSupervisor, tmp_path: Path) -> None:
    process = fake.process("cat")
    async with talking(fake) as client:
        assert await act(client, action="start", processname="cat") == "Process cat started"
        assert await act(client, action="restart", processname="cat") == "Process cat restarted"
        assert process.state is State.RUNNING
        assert await act(client, action="stop", processname="cat") == "Process cat stopped"
        assert await act(client, action="restart", processname="cat") == "Process cat restarted"
        assert process.state is State.RUNNING
        assert await act(client, action="clearlog", processname="cat") == "Log for cat cleared"
        process.stdout.broken = True
        message = await act(client, action="clearlog", processname="cat")
        assert message == "unexpected rpc fault [30] FAILED: cannot clear None: Permission denied"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"action": "stop", "processname": "cat"},
            "unexpected rpc fault [70] NOT_RUNNING: cat",
        ),
        ({"action": "stop", "processname": "zz"}, "No such process named zz"),
        ({"action": "start", "processname": "grp:*"}, "No such process named grp:*"),
        ({"action": "bogus", "processname": "zz"}, "No such process named zz"),
        ({"action": "bogus", "processname": "cat"}, "Unknown action"),
        ({"action": "bogus"}, "Unknown action"),
        ({"action": "start"}, "Unknown action"),
        ({"action": ""}, "Unknown action"),
        ({"action": "start", "processname": "é\r\nX: y"}, "No such process named é\r\nX: y"),
    ],
    ids=["W111", "W111-zz", "W111-group", "4.1", "W114", "W114-bare", "W114-start", "", "split"],
)
async def test_what_cannot_be_done(
    fake: FakeSupervisor, fields: dict[str, str], message: str
) -> None:
    async with talking(fake) as client:
        assert await act(client, **fields) == message


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (NoFile("can't find command '/n'"), "no such file"),
        (NotExecutable("x"), "file not executable"),
        (SpawnFailed("off"), "spawn error"),
        (AbnormalTermination("off"), "abnormal termination"),
        (Failed("reason"), "unexpected rpc fault [30] FAILED: reason"),
    ],
    ids=["20", "21", "50", "40", "30"],
)
@pytest.mark.parametrize("action", ["start", "restart"])
async def test_w112_w113_failures_of_a_start(
    fake: FakeSupervisor, action: str, failure: RequestError, text: str
) -> None:
    fake.process("off").failure = failure
    async with talking(fake) as client:
        said = await act(client, action=action, processname="off")
        assert said == f"ERROR: Process off: {text}"


async def test_w112_already_started(fake: FakeSupervisor) -> None:
    fake.process("cat").run()
    async with talking(fake) as client:
        said = await act(client, action="start", processname="cat")
        assert said == "ERROR: Process cat: already started"


@pytest.mark.parametrize(
    "header",
    ["Referer: http://evil.example/", "Origin: null", "Sec-Fetch-Site: same-site"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_foreign_pages_may_look_but_not_act(
    fake: FakeSupervisor, header: str, method: str
) -> None:
    """Section 5."""
    fake.process("cat").run()
    async with talking(fake) as client:
        if method == "GET":
            reply = await client.get("/?action=stopall", header)
        else:
            reply = await client.post("/", b"action=stopall", header)
        assert reply.status == 403
    async with talking(fake) as client:
        assert (await client.get("/", header)).status == 200
    assert fake.process("cat").state is State.RUNNING


async def test_a_form_of_our_own_page_may_act(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        own = (
            "Origin: http://localhost",
            "Referer: http://localhost/",
            "Sec-Fetch-Site: same-origin",
        )
        reply = await client.post("/", b"action=start&processname=cat", *own)
        assert message_of(reply) == "Process cat started"


async def shown(client: Client, target: str) -> str:
    return (await client.get(target)).body.decode()


async def test_w115_log_page(fake: FakeSupervisor, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    with open(log, "wb") as file:  # noqa: ASYNC230  # a small local file
        file.write(b"0" * 4000 + b"<\xff\x1b\r\t>" + b"1" * 1018)
    fake.process("cat").stdout.logfile = log
    async with talking(fake) as client:
        assert "No process name found" in await shown(client, "/tail.html")
        assert "No process name found" in await shown(client, "/tail.html?processname=")
        text = await shown(client, "/tail.html?processname=zz")
        assert "ERROR: unexpected rpc fault [10] BAD_NAME: zz" in text
        assert "No file for off" in await shown(client, "/tail.html?processname=off")
        text = await shown(client, "/tail.html?processname=cat&limit=5")
        assert "<title>Supervisor tail of process cat</title>" in text
        assert "<pre>&lt;\ufffd\ufffd\ufffd\t&gt;" + "1" * 1018 + "</pre>" in text
        assert 'href="tail.html?processname=cat&amp;limit=1024"' in text
        text = await shown(client, "/tail.html?processname=cat&limit=5000")
        assert "<pre>" + "0" * 3976 + "&lt;" in text
        assert 'href="tail.html?processname=cat&amp;limit=5000"' in text
        for limit in ("x", "-5", "9" * 5000):
            assert "limit=1024" in await shown(client, f"/tail.html?processname=cat&limit={limit}")


async def test_names_are_escaped_everywhere(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        text = await shown(client, "/tail.html?processname=%3Cb%3E%22")
        assert "<b>" not in text
