"""The supervisor itself by the API, and its health for probes."""

from __future__ import annotations

import json

import pytest
import trio

from tests.kit.api import JSON, ROOT, change, read
from tests.kit.fake_supervisor import NOW, FakeActivity, FakeSupervisor
from tests.kit.web import request, talking
from trio_supervisor.core.errors import CantReread
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.states import DaemonState, State
from trio_supervisor.web.api.schema import DAEMON


@pytest.fixture
def fake() -> FakeSupervisor:
    return FakeSupervisor("cat", "job")


async def test_the_daemon(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        found = await read(client, "/daemon")
        properties = DAEMON["properties"]
        assert isinstance(properties, dict)
        assert [*found] == [*properties]
        assert (found["identifier"], found["statename"], found["now"]) == (
            "supervisor",
            "RUNNING",
            NOW,
        )
        assert (found["start"], found["uptime"]) == (NOW - 65, 65)
        assert (found["config"], found["log"]) == (None, None)
        fake.activity = FakeActivity("/x/sup.log")
        assert (await read(client, "/daemon"))["log"] == "/x/sup.log"


async def test_the_answer_to_shutdown_comes_first(fake: FakeSupervisor) -> None:
    """As with XML-RPC."""
    asked = trio.Event()
    fake.request_shutdown = asked.set  # type: ignore[method-assign]  # a spy
    async with talking(fake) as client:
        await client.send(request(f"{ROOT}/daemon/shutdown", JSON, body=b"{}", method="POST"))
        await asked.wait()
        assert not client.nothing_came()
        assert json.loads((await client.reply()).body) == {"done": True}


async def test_restart(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        fake.failure = CantReread("nonsense")
        assert (await change(client, "/daemon/restart", status=409))["code"] == "CANT_REREAD"
        assert (await read(client, "/daemon"))["statename"] == "RUNNING"
        fake.failure = None
        assert await change(client, "/daemon/restart") == {"done": True}
        assert json.loads((await client.get("/healthz")).body)["statename"] == "RESTARTING"


@pytest.mark.behaviour("http.md#probes-and-metrics")
@pytest.mark.parametrize(
    ("state", "exit", "ready", "reason"),
    [
        (State.RUNNING, None, True, ""),
        (State.EXITED, Exit(0), True, ""),
        (State.EXITED, Exit(1), False, "ended by itself: exit status 1 (not expected)"),
        (State.EXITED, Exit(None, 9), False, "ended by itself: terminated by SIGKILL"),
        (State.STARTING, None, False, ""),
        (State.STOPPED, None, False, "not started yet"),
        (State.STOPPING, None, False, ""),
        (State.BACKOFF, Exit(3), False, "0 failed starts, will be tried again: quick; exit status"),
        (State.FATAL, Exit(3), False, "gave up starting it: quick; exit status 3"),
        (State.UNKNOWN, None, False, "it could not be signalled"),
    ],
)
async def test_readiness(
    fake: FakeSupervisor, state: State, exit: Exit | None, ready: bool, reason: str
) -> None:
    fake.process("cat").run()
    job = fake.process("job")
    job.state, job.history.last_exit, job.spawn_error = state, exit, "quick"
    async with talking(fake) as client:
        reply = await client.get("/readyz")
        found = json.loads(reply.body)
        assert reply.status == (200 if ready else 503)
        assert (found["ready"], found["statename"]) == (ready, "RUNNING")
        assert [w["full_name"] for w in found["waiting"]] == ([] if ready else ["job"])
        for waiting in found["waiting"]:
            assert waiting["statename"] == state.name
            assert waiting["reason"].startswith(reason)


@pytest.mark.behaviour("http.md#probes-and-metrics")
async def test_only_what_starts_by_itself_is_waited_for() -> None:
    fake = FakeSupervisor("cat", "job", autostart=False)
    async with talking(fake) as client:
        assert (await client.get("/readyz")).status == 200
        fake.state = DaemonState.SHUTDOWN
        reply = await client.get("/readyz")
        assert reply.status == 503
        assert json.loads(reply.body) == {"ready": False, "statename": "SHUTDOWN", "waiting": []}
        assert (await client.get("/healthz")).status == 200
