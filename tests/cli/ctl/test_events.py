"""``events`` against a scripted daemon: what is shown, and what is said when it cannot be."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.ctl import Ran
from tests.kit.rpc_stub import Raw, Stub, chunked
from trio_supervisor.cli.ctl.events import described
from trio_supervisor.web import sse

Ctl = Callable[..., Ran]

#: 2026-11-26 12:00:00.25 UTC
TIME = 1795694400.25
STATE = {"processname": "web_0", "groupname": "web", "from_state": "STARTING", "pid": 7}
LAST_CHUNK = b"0\r\n\r\n"


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {"event": name, "serial": 1, "time": TIME, **fields}


def messages(*events: dict[str, Any]) -> Raw:
    """A stream of these that ends in order."""
    texts = [sse.message(json.dumps(event), event=event["event"]) for event in events]
    return Raw(chunked(sse.KEEP_ALIVE, *texts) + LAST_CHUNK)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            event("PROCESS_STATE_RUNNING", **STATE),
            "PROCESS_STATE_RUNNING    web:web_0            STARTING -> RUNNING pid=7",
        ),
        (
            event("PROCESS_STATE_BACKOFF", **STATE, tries=2),
            "PROCESS_STATE_BACKOFF    web:web_0            STARTING -> BACKOFF pid=7 tries=2",
        ),
        (event("TICK_5", when=5), "TICK_5                                        when=5"),
        (
            event("PROCESS_GROUP_ADDED", groupname="web"),
            "PROCESS_GROUP_ADDED      web",
        ),
        (
            event("PROCESS_LOG_STDOUT", processname="a", groupname="a", channel="stdout",
                  data="é\n\x1b[2J"),
            'PROCESS_LOG_STDOUT       a                    "é\\n\\u001b[2J"',
        ),
        (
            event("REMOTE_COMMUNICATION", type="t\x1b", data=""),
            'REMOTE_COMMUNICATION                          type=t^[ ""',
        ),
        (event("SUPERVISOR_STATE_CHANGE_RUNNING"), "SUPERVISOR_STATE_CHANGE_RUNNING"),
    ],
)  # fmt: skip
def test_lines(fields: dict[str, Any], line: str) -> None:
    assert described(fields) == f"2026-11-26 12:00:00,250 {line}"


@pytest.mark.behaviour("client.md#commands-that-supervisor-does-not-have")
def test_text_and_json(ctl: Ctl, stub: Stub) -> None:
    sent = [event("TICK_5", when=5), event("PROCESS_STATE_RUNNING", **STATE)]
    stub.answers["GET /api/v1/events"] = messages(*sent)
    ran = ctl("events")
    assert ran.status == 0
    assert [line.split()[2] for line in ran.out.splitlines()] == ["TICK_5", "PROCESS_STATE_RUNNING"]
    ran = ctl("events", "--json")
    assert [json.loads(line) for line in ran.out.splitlines()] == sent
    assert ran.err == ""


def test_types_are_passed_on(ctl: Ctl, stub: Stub) -> None:
    stub.answers["GET /api/v1/events?types=PROCESS_STATE%2CTICK_5"] = messages()
    assert ctl("events", "--types", "PROCESS_STATE,TICK_5") == Ran(0, "", "")


def test_losses_are_told_beside(ctl: Ctl, stub: Stub) -> None:
    lost = sse.message('{"dropped":3}', event="dropped")
    stub.answers["GET /api/v1/events"] = Raw(chunked(lost) + LAST_CHUNK)
    assert ctl("events") == Ran(0, "", "tsupervisorctl: too slow, 3 events were dropped\n")


def answer(status: int, body: bytes) -> Raw:
    return Raw(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


@pytest.mark.parametrize(
    ("given", "status", "out"),
    [
        (
            answer(400, b'{"error":{"message":"no type X","hint":"there are Y"}}'),
            1,
            "Error: no type X; there are Y\n",
        ),
        (
            answer(404, b"<html>"),
            1,
            "Error: the daemon does not send events: it has no event stream\n",
        ),
        (answer(500, b""), 1, "Error: the daemon does not send events: status code 500\n"),
        (answer(401, b""), 1, "Server requires authentication\n"),
    ],
)
def test_refusals(ctl: Ctl, stub: Stub, given: Raw, status: int, out: str) -> None:
    stub.answers["GET /api/v1/events"] = given
    assert ctl("events") == Ran(status, out, "")


def test_wrong_words(ctl: Ctl) -> None:
    ran = ctl("events", "web")
    assert ran.status == 2
    assert ran.out.startswith("Error: events takes no names; --types chooses what is shown\n")
