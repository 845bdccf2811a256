"""The status page, its actions, and the log page."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Awaitable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, quote

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.fake_supervisor import BOB, NOW, FakeActivity, FakeSupervisor
from tests.kit.web import Client, Reply, inet_server, request, talking
from trio_supervisor.core.config.stopping import Stopping
from trio_supervisor.core.errors import (
    AbnormalTermination,
    Failed,
    NoFile,
    NotExecutable,
    RequestError,
    SpawnFailed,
)
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.states import DaemonState, State
from trio_supervisor.web.message import Request
from trio_supervisor.web.pages import csrf
from trio_supervisor.web.pages.assets import ADDRESSES
from trio_supervisor.web.pages.status_page import status_page

CTIME = time.ctime(NOW)


@pytest.fixture
def fake() -> FakeSupervisor:
    return FakeSupervisor("cat", "grp:ga", "off")


class Page(HTMLParser):
    """What a page shows: rows of processes, links, forms with their fields, the message."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.links: dict[str, str] = {}
        self.forms: list[dict[str, str]] = []
        """Fields with their values; "" is how it is sent, "action" the words of its buttons."""
        self.rows: dict[str, dict[str, str]] = {}
        """The cells of each process, by its name and their class."""
        self._row: dict[str, str] = {}
        self._cell = ""
        self._link: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        match tag:
            case "form":
                how = f"{attributes['method']} {attributes.get('action', '')}".rstrip()
                self.forms.append({"": how, "action": ""})
            case "input" if attributes.get("type") == "hidden":
                self.forms[-1][attributes["name"]] = attributes["value"]
            case "button" if "value" in attributes:
                self.forms[-1]["action"] += f"{attributes['value']} "
            case "a":
                self._link = attributes["href"]
            case "tr" if "data-name" in attributes:
                self._row = self.rows[attributes["data-name"]] = {}
            case "td" | "th":
                self._cell = attributes.get("class", "").split(" ")[-1]
                self._row.setdefault(self._cell, "")

    def handle_data(self, data: str) -> None:
        if self._link is not None:
            self.links[data] = self._link
            self._link = None
        if self._cell:
            self._row[self._cell] = self._row.get(self._cell, "") + data
        self.text += data

    def offered(self, field: str, value: str) -> list[str]:
        """The actions that forms with this field offer."""
        return [
            a for form in self.forms if form.get(field) == value for a in form["action"].split()
        ]


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
    fake.process("off").stderr.tail.feed(b"<last> words\n")
    async with talking(fake) as client:
        page = Page((await client.get("/")).body.decode())
    assert list(page.rows) == ["off", "cat", "grp:ga"]
    assert [row["state"] for row in page.rows.values()] == ["fatal", "stopped", "running"]
    assert page.rows["cat"]["name"] == "catnot started yetNo output so farWhy, and what was before"
    assert "<bad> & worse" in page.rows["off"]["name"]
    assert "<last> words" in page.rows["off"]["name"]
    assert page.rows["grp:ga"]["name"] == "grp:ga"
    assert page.rows["grp:ga"]["uptime"] == "0:01:05"
    assert page.rows["grp:ga"]["pid"] == "4242"
    assert page.links["grp:"] == "log.html?processname=grp%3Aga"
    assert "1 of 1 running" in page.text
    assert "trio-supervisor" in page.text


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        (State.RUNNING, ["restart", "stop", "clearlog"]),
        (State.STOPPED, ["start", "clearlog"]),
        (State.EXITED, ["start", "clearlog"]),
        (State.FATAL, ["start", "clearlog"]),
        (State.STARTING, ["stop", "clearlog"]),
        (State.BACKOFF, ["stop", "clearlog"]),
        (State.STOPPING, ["clearlog"]),
        (State.UNKNOWN, ["clearlog"]),
    ],
)
async def test_what_is_offered(state: State, actions: list[str]) -> None:
    fake = FakeSupervisor("grp:ga")
    fake.process("grp:ga").state = state
    async with talking(fake) as client:
        page = Page((await client.get("/index.html")).body.decode())
    assert page.offered("processname", "grp:ga") == actions
    assert page.offered("groupname", "grp") == ["startgroup", "restartgroup", "stopgroup"]
    posting = [form for form in page.forms if form[""] == "post ./"]
    everywhere = [f["action"] for f in posting if not f.keys() & {"processname", "groupname"}]
    assert everywhere == ["refresh startall ", "restartall stopall "]
    assert {form["action"] for form in posting if "confirm" in form} == {
        "restartall stopall ",
        "restartgroup stopgroup ",
        "clearlog ",
    }
    assert len({form["csrf"] for form in posting}) == 1
    assert page.links["Stderr log"] == "log.html?processname=grp%3Aga&output=stderr"


@pytest.mark.behaviour("policies.md#refresh")
@pytest.mark.parametrize(
    ("stopping", "state", "offered"),
    [
        (Stopping(), State.RUNNING, False),
        (Stopping(refresh_signal=1), State.RUNNING, True),
        (Stopping(refresh_signal=1), State.STARTING, False),
        (Stopping(refresh_command="/bin/true"), State.RUNNING, True),
    ],
)
async def test_a_program_with_the_option_can_be_refreshed(
    stopping: Stopping, state: State, offered: bool
) -> None:
    fake = FakeSupervisor("grp:ga")
    process = fake.process("grp:ga")
    process.config = replace(process.config, stopping=stopping)
    process.state = state
    async with talking(fake) as client:
        page = Page((await client.get("/index.html")).body.decode())
        assert ("refreshprocess" in page.offered("processname", "grp:ga")) is offered
        if offered:
            message = await act(client, action="refreshprocess", processname="grp:ga")
            assert (message, process.refreshes) == ("Process grp:ga refreshed", 1)


@pytest.mark.parametrize(
    ("state", "last", "marked"),
    [
        (State.FATAL, None, True),
        (State.BACKOFF, None, True),
        (State.EXITED, Exit(0), False),
        (State.EXITED, Exit(1), True),
        (State.EXITED, Exit(None, 9), True),
        (State.STOPPED, Exit(None, 15), False),
        (State.RUNNING, Exit(1), False),
    ],
)
async def test_what_somebody_should_look_at_is_marked(
    state: State, last: Exit | None, marked: bool
) -> None:
    fake = FakeSupervisor("cat")
    fake.process("cat").state = state
    fake.process("cat").history.last_exit = last
    async with talking(fake) as client:
        text = (await client.get("/")).body.decode()
    assert ('class="process trouble"' in text) is marked


async def test_those_who_may_not_act_are_offered_nothing(fake: FakeSupervisor) -> None:
    asked = Request("GET", "/", readonly=True)
    reply = await status_page(fake.real, asked)
    page = Page(reply.body.decode())
    assert list(page.rows) == ["cat", "grp:ga", "off"]
    assert {form[""] for form in page.forms if form[""] != "dialog"} == {"get ./"}
    assert csrf.token_for(asked) not in page.text


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("filter=GR", ["grp:ga"]),
        ("filter=stopp", ["cat", "off"]),
        ("filter=nothing", []),
        ("sort=state", ["off", "grp:ga", "cat"]),
        ("sort=uptime", ["grp:ga", "cat", "off"]),
        ("sort=cpu", ["cat", "grp:ga", "off"]),
        ("sort=pid", ["grp:ga", "cat", "off"]),
        ("sort=-pid", ["off", "cat", "grp:ga"]),
        ("sort=restarts", ["off", "cat", "grp:ga"]),
        ("sort=name", ["cat", "grp:ga", "off"]),
        ("sort=-name", ["off", "grp:ga", "cat"]),
        ("sort=trouble&state", ["off", "cat", "grp:ga"]),
        ("state", ["off", "cat", "grp:ga"]),
        ("sort=bogus", ["cat", "grp:ga", "off"]),
        ("sort=-", ["cat", "grp:ga", "off"]),
    ],
)
async def test_filter_and_sort_without_a_script(
    fake: FakeSupervisor, query: str, names: list[str]
) -> None:
    fake.process("grp:ga").run()
    if "state" in query:
        fake.process("off").state = State.FATAL
    fake.process("off").history.spawns = 3
    async with talking(fake) as client:
        page = Page((await client.get(f"/?{query}")).body.decode())
    assert list(page.rows) == names


async def test_a_start_that_is_tried_again_stays_with_the_trouble(fake: FakeSupervisor) -> None:
    fake.process("off").state = State.STARTING
    fake.process("off").history.failures = 1
    async with talking(fake) as client:
        page = Page((await client.get("/")).body.decode())
    assert list(page.rows) == ["off", "cat", "grp:ga"]


async def test_a_group_that_is_all_in_trouble_keeps_its_head(fake: FakeSupervisor) -> None:
    fake.process("grp:ga").state = State.FATAL
    async with talking(fake) as client:
        page = Page((await client.get("/")).body.decode())
    assert list(page.rows) == ["grp:ga", "cat", "off"]
    assert page.offered("groupname", "grp") == ["startgroup", "restartgroup", "stopgroup"]


async def test_headings_sort_and_again_the_other_way_round(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        text = (await client.get("/?sort=memory&filter=a%26b")).body.decode()
        assert Page(text).links["Memory"] == "?sort=-memory&filter=a%26b"
        assert Page(text).links["Restarts"] == "?sort=restarts&filter=a%26b"
        assert '<th scope="col" data-sort="memory" aria-sort="descending">' in text
        assert text.count("aria-sort") == 1
        text = (await client.get("/?sort=-memory")).body.decode()
        assert Page(text).links["Memory"] == "?sort=memory"
        assert '<th scope="col" data-sort="memory" aria-sort="ascending">' in text
        assert "aria-sort" not in (await client.get("/")).body.decode()


async def test_a_filter_without_matches_says_so(fake: FakeSupervisor) -> None:
    said = '<p class="empty nothing" role="status">No name or state contains <q>&lt;b&gt;</q>.'
    async with talking(fake) as client:
        for order in ("", "&sort=cpu"):
            assert said in (await client.get(f"/?filter=%3Cb%3E{order}")).body.decode()
        assert 'role="status" hidden>No name' in (await client.get("/")).body.decode()


async def test_no_programs() -> None:
    async with talking(FakeSupervisor()) as client:
        assert b"No programs to manage" in (await client.get("/")).body


@pytest.mark.behaviour("http.md#messages-of-the-page")
async def test_a_message_is_escaped_and_cut(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        page = (await client.get("/?message=%3Cscript%3E" + "x" * 600)).body.decode()
        assert "<script>" not in page
        assert "&lt;script&gt;" in page
        assert "x" * 492 in page
        assert "x" * 493 not in page


@pytest.mark.behaviour("http.md#actions-of-the-page")
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_actions_by_either_method(fake: FakeSupervisor, method: str) -> None:
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


@pytest.mark.behaviour("http.md#actions-of-the-page")
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
    ids=[
        "stopped",
        "unknown",
        "group",
        "unknown-action",
        "bogus",
        "bogus-bare",
        "start-bare",
        "",
        "split",
    ],
)
async def test_what_cannot_be_done(
    fake: FakeSupervisor, fields: dict[str, str], message: str
) -> None:
    async with talking(fake) as client:
        assert await act(client, **fields) == message


@pytest.mark.behaviour("http.md#messages-of-the-page")
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
async def test_failures_of_a_start(
    fake: FakeSupervisor, action: str, failure: RequestError, text: str
) -> None:
    fake.process("off").failure = failure
    async with talking(fake) as client:
        said = await act(client, action=action, processname="off")
        assert said == f"ERROR: Process off: {text}"


@pytest.mark.behaviour("http.md#messages-of-the-page")
async def test_starting_what_runs_already(fake: FakeSupervisor) -> None:
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


OWN = ("Origin: http://localhost", "Referer: http://localhost/", "Sec-Fetch-Site: same-origin")


async def test_a_form_of_our_own_page_may_act(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        token = Page((await client.get("/")).body.decode()).forms[0]["csrf"]
        body = f"action=start&processname=cat&csrf={token}".encode()
        assert message_of(await client.post("/", body, *OWN)) == "Process cat started"
        asked = await client.post("/", body.replace(b"start", b"stop"), *OWN, "Accept: text/html")
        assert message_of(asked) == "Process cat stopped"
        reply = await client.post("/", body, *OWN, "Accept: application/json")
        assert json.loads(reply.body) == {"message": "Process cat started", "failed": False}
        reply = await client.post("/", body, *OWN, "Accept: application/json")
        outcome = {"message": "ERROR: Process cat: already started", "failed": True}
        assert json.loads(reply.body) == outcome


@pytest.mark.behaviour("http.md#requests-caused-by-pages-of-other-sites")
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"action=stopall", OWN),
        (b"action=stopall&csrf=", OWN),
        (b"action=stopall&csrf=0123456789", OWN),
        (b"action=stopall&csrf=%ff%fe", OWN),
        (b"action=stopall", ("Sec-Fetch-Site: none",)),
        (b"action=stopall", ("Referer: http://localhost/",)),
    ],
)
async def test_a_browser_without_the_token_is_asked(
    fake: FakeSupervisor, body: bytes, headers: tuple[str, ...]
) -> None:
    """A page from before a restart is no dead end, and another site cannot press the button."""
    fake.process("cat").run()
    async with talking(fake) as client:
        reply = await client.post("/", body, *headers)
        assert reply.status == 403
        assert fake.process("cat").pid
        [form] = Page(reply.body.decode()).forms
        assert form["action"] == "stopall "
        confirmed = f"action=stopall&csrf={form['csrf']}".encode()
        assert message_of(await client.post("/", confirmed, *headers)) == f"All stopped at {CTIME}"
        assert {p.state for p in fake.processes()} == {State.STOPPED}


async def test_another_users_token_is_worth_nothing(fake: FakeSupervisor) -> None:
    fake.process("cat").run()
    async with talking(fake) as client:
        token = Page((await client.get("/", "Authorization: Basic YQ==")).body.decode())
        body = f"action=stopall&csrf={token.forms[0]['csrf']}".encode()
        assert (await client.post("/", body, *OWN)).status == 403
        reply = await client.post("/", body, *OWN, "Authorization: Basic YQ==")
        assert message_of(reply) == f"All stopped at {CTIME}"


async def test_a_link_in_a_mail_is_asked_about(fake: FakeSupervisor) -> None:
    """A browser opens it by its own account (``none``); scripts say nothing and go on as ever."""
    fake.process("cat").run()
    async with talking(fake) as client:
        reply = await client.get("/?action=stop&processname=cat", "Sec-Fetch-Site: none")
        assert reply.status == 200
        assert "Stop the process cat?" in reply.body.decode()
        assert (await client.get("/?action=stopall", method="HEAD")).status == 200
    assert fake.process("cat").state is State.RUNNING


CHROMIUM = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0.0.0"


@pytest.mark.behaviour("http.md#requests-caused-by-pages-of-other-sites")
@pytest.mark.parametrize(
    "headers",
    [(CHROMIUM,), ("Accept-Language: de",), ("Accept-Language:",), (CHROMIUM, "Accept: */*")],
)
async def test_a_get_that_looks_like_a_browsers_changes_nothing(
    fake: FakeSupervisor, headers: tuple[str, ...]
) -> None:
    """An image without a referrer, from plain HTTP off loopback, tells no origin."""
    fake.process("cat").run()
    async with talking(fake) as client:
        reply = await client.get("/?action=stop&processname=cat", *headers)
        assert reply.status == 403
        assert "Stop the process cat?" in reply.body.decode()
    assert fake.process("cat").state is State.RUNNING


async def test_a_get_of_a_script_acts(fake: FakeSupervisor) -> None:
    fake.process("cat").run()
    async with talking(fake) as client:
        for agent in (
            "curl/8.0",
            "Wget/1.2",
            "Python-urllib/3.11",
            "Go-http-client/1.1",
            "check_http/v2",
        ):
            stop = "/?action=restart&processname=cat"
            reply = await client.get(stop, f"User-Agent: {agent}", "Accept: */*")
            assert message_of(reply) == "Process cat restarted"


def behind_a_proxy(client: Client, target: str, body: bytes, *headers: str) -> Awaitable[Reply]:
    """What comes through a proxy that writes another Host than the browser."""
    own = ("Origin: https://www.example.com", "Sec-Fetch-Site: same-origin", BOBS)
    return client.post(target, body, *own, *headers)


BOBS = "Authorization: Basic " + base64.b64encode(b"bob:p:w").decode()


async def test_a_proxy_may_change_the_host_where_there_is_a_password(fake: FakeSupervisor) -> None:
    fake.process("cat").run()
    async with talking(fake, inet_server(BOB)) as client:
        token = Page((await client.get("/", BOBS)).body.decode()).forms[0]["csrf"]
        stop = b"action=stop&processname=cat&csrf="
        assert (await behind_a_proxy(client, "/", stop + b"0")).status == 403
        assert fake.process("cat").pid
        said = message_of(await behind_a_proxy(client, "/", stop + token.encode()))
        assert said == "Process cat stopped"


@pytest.mark.parametrize("target", ["/RPC2", "/api/v1/processes/cat/stop", "/"])
async def test_else_the_refusal_says_which_header_the_proxy_has_to_set(
    fake: FakeSupervisor, target: str
) -> None:
    """Only the page has a token; and a foreign page gets one by DNS rebinding without password."""
    server = inet_server(None if target == "/" else BOB)
    async with talking(fake, server) as client:
        token = Page((await client.get("/", BOBS)).body.decode()).forms[0]["csrf"]
        reply = await behind_a_proxy(client, target, b"csrf=" + token.encode())
        assert reply.status == 403
        assert "proxy_set_header Host $http_host;" in reply.body.decode()


async def test_what_stops_many_asks_first(fake: FakeSupervisor) -> None:
    fake.process("cat").run()
    async with talking(fake) as client:
        reply = await client.post("/", b"action=stopgroup&groupname=%3Ci%3E&confirm=ask", *OWN)
        assert "Stop &lt;i&gt;?" in reply.body.decode()
        [form] = Page(reply.body.decode()).forms
        assert form["groupname"] == "<i>"
        assert "confirm" not in form


@pytest.mark.parametrize(
    ("fields", "question"),
    [
        ("action=stopall", "Stop all 3 processes (1 running) of the daemon supervisor?"),
        ("action=restartall", "Restart all 3 processes (1 running) of the daemon supervisor?"),
        ("action=stopgroup&groupname=grp", "Stop the only process (0 running) of the group grp?"),
        ("action=stopgroup&groupname=zz", "Stop zz?"),
        ("action=stop&processname=cat", "Stop the process cat?"),
        (
            "action=clearlog&processname=cat",
            "Clear 2 logs of cat (stdout and stderr)? What has been written is lost.",
        ),
        (
            "action=clearlog&processname=off",
            "Clear 1 log of off (stdout)? What has been written is lost.",
        ),
        ("action=clearlog&processname=grp:ga", "Clear the logs of grp:ga? It has no log file."),
    ],
)
async def test_questions_say_what_and_how_many(
    fake: FakeSupervisor, fields: str, question: str
) -> None:
    fake.process("cat").run()
    for output in (
        fake.process("cat").stdout,
        fake.process("cat").stderr,
        fake.process("off").stdout,
    ):
        output.logfile = "/log"
    async with talking(fake) as client:
        token = Page((await client.get("/")).body.decode()).forms[0]["csrf"]
        body = f"{fields}&confirm=ask&csrf={token}".encode()
        reply = await client.post("/", body, *OWN, "Accept: application/json")
        assert json.loads(reply.body)["question"] == question
        reply = await client.post("/", body, *OWN)
        assert question in Page(reply.body.decode()).text
    assert fake.process("cat").state is State.RUNNING


async def test_actions_on_a_group(fake: FakeSupervisor) -> None:
    process = fake.process("grp:ga")
    async with talking(fake) as client:
        assert await act(client, action="startgroup", groupname="grp") == "Group grp started"
        assert process.state is State.RUNNING
        assert await act(client, action="restartgroup", groupname="grp") == "Group grp restarted"
        assert await act(client, action="stopgroup", groupname="grp") == "Group grp stopped"
        assert not process.pid
        assert not fake.process("cat").started
        process.failure = SpawnFailed("grp:ga")
        said = await act(client, action="startgroup", groupname="grp")
        assert said == "ERROR: grp:ga: spawn error"
        said = await act(client, action="startall")
        assert said == f"ERROR: grp:ga: spawn error at {CTIME}"
        process.failure = None
        assert await act(client, action="startall") == f"All started at {CTIME}"
        said = await act(client, action="stopgroup", groupname="zz")
        assert said == "No such group named zz"


async def test_a_daemon_that_goes_down_says_so(fake: FakeSupervisor) -> None:
    fake.state = DaemonState.SHUTDOWN
    async with talking(fake) as client:
        for target in ("/", "/index.html", "/?action=stopall"):
            reply = await client.get(target)
            assert reply.status == 503
            assert reply.headers["retry-after"] == "5"
            assert "The supervisor is shutting down." in reply.body.decode()


@pytest.mark.parametrize("address", ADDRESSES)
async def test_files_of_the_page(fake: FakeSupervisor, address: str) -> None:
    """With Last-Modified, and 304 for a client that has it."""
    async with talking(fake) as client:
        reply = await client.get(address)
        assert reply.status == 200
        assert reply.body
        assert reply.headers["x-content-type-options"] == "nosniff"
        date = reply.headers["last-modified"]
        await client.send(request(address, f"If-Modified-Since: {date}"))
        again = await client.reply(bare=True)
        assert again.status == 304
        assert again.headers["content-length"] == reply.headers["content-length"]
        long_ago = "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT"
        assert (await client.get(address, long_ago)).status == 200
        assert (await client.get(address, "If-Modified-Since: yesterday")).status == 200


async def shown(client: Client, target: str) -> str:
    return (await client.get(target)).body.decode()


@pytest.mark.behaviour("http.md#the-log-page")
async def test_the_log_page(fake: FakeSupervisor, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    with open(log, "wb") as file:  # noqa: ASYNC230  # a small local file
        file.write(b"0" * 4000 + b"<\xff\x1b\r\t>" + b"1" * 1018)
    fake.process("cat").stdout.logfile = log
    async with talking(fake) as client:
        assert "No process name found" in await shown(client, "/tail.html")
        assert "No process name found" in await shown(client, "/tail.html?processname=")
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


@pytest.mark.behaviour("http.md#the-log-page")
async def test_the_log_of_an_unknown_process_is_a_page_that_says_so(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        reply = await client.get("/tail.html?processname=caat")
        assert reply.status == 404
        page = Page(reply.body.decode())
        assert "No process named caat" in page.text
        assert page.links["cat"] == "log.html?processname=cat"
        assert page.links["All processes"] == "./"
        assert "Did you mean" not in await shown(client, "/tail.html?processname=unlike")


async def test_names_are_escaped_everywhere(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        text = await shown(client, "/tail.html?processname=%3Cb%3E%22")
        assert "<b>" not in text


async def test_log_page_in_colours_and_of_stderr(fake: FakeSupervisor, tmp_path: Path) -> None:
    for channel in (fake.process("cat").stdout, fake.process("cat").stderr):
        channel.logfile = str(tmp_path / channel.name)
        with open(channel.logfile, "w") as file:  # noqa: ASYNC230  # a small local file
            file.write(f"\x1b[31m<{channel.name}>\n")
    async with talking(fake) as client:
        text = await shown(client, "/tail.html?processname=cat&channel=stderr")
        assert '<pre><span class="a-t1">&lt;stderr&gt;</span>\n</pre>' in text
        page = Page(text)
        assert page.links["Refresh"] == "tail.html?processname=cat&limit=1024&channel=stderr"
        assert page.links["More"] == "tail.html?processname=cat&limit=16384&channel=stderr"
        assert page.links["Stdout"] == "tail.html?processname=cat&limit=1024&channel=stdout"
        assert page.links["Download"] == "log.txt?processname=cat&limit=1024&channel=stderr"
        follow = "log.html?output=stderr&processname=cat"
        assert page.links["Follow, search, earlier lines"] == follow
        assert "&lt;stdout&gt;" in await shown(client, "/tail.html?processname=cat&channel=bogus")


async def test_the_supervisors_own_log(fake: FakeSupervisor, tmp_path: Path) -> None:
    async with talking(fake) as client:
        assert "No file for main" in await shown(client, "/tail.html?channel=main")
        fake.activity = FakeActivity(str(tmp_path / "own"))
        with open(tmp_path / "own", "w") as file:  # noqa: ASYNC230  # a small local file
            file.write("<spawned>\n")
        text = await shown(client, "/tail.html?channel=main")
        assert "<pre>&lt;spawned&gt;\n</pre>" in text
        page = Page(text)
        assert page.links["Follow, search, earlier lines"] == "log.html?channel=main"
        assert page.links["Download"] == "log.txt?limit=1024&channel=main"
        text = await shown(client, "/tail.html?channel=main&processname=zz")
        assert "No process named zz" in text


async def test_output_that_goes_to_no_file_is_shown_from_memory(fake: FakeSupervisor) -> None:
    fake.process("off").stdout.tail.feed(b"<last> words\n")
    async with talking(fake) as client:
        text = await shown(client, "/tail.html?processname=off")
        assert "<pre>No file for off</pre>" in text
        assert "<pre>&lt;last&gt; words\n</pre>" in text


@pytest.mark.parametrize("action", ["restart&processname=cat", "restartgroup&groupname=cat"])
async def test_a_browser_that_is_gone_restarts_nothing(fake: FakeSupervisor, action: str) -> None:
    cat = fake.process("cat")
    cat.run()
    cat.gate = trio.Event()
    async with talking(fake) as client:
        await client.send(request(f"/index.html?action={action}"))
        with trio.fail_after(30):
            while cat.state is not State.STOPPING:
                await trio.lowlevel.checkpoint()
        client.sock.close()
        cat.gate.set()
        await wait_all_tasks_blocked(0.05)
        assert fake.process("cat").state is State.STOPPED
        assert "the browser that asked for a restart is gone, nothing is started" in str(fake.lines)
