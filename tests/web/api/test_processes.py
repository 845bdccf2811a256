"""Processes and groups by the API, as far as a supervisor without processes can show it."""

from __future__ import annotations

import signal

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kit.api import JSON, ROOT, change, read
from tests.kit.fake_supervisor import FakeSupervisor
from tests.kit.web import request, talking
from trio_supervisor.core.config.model import Diff, GroupConfig, GroupKind, ProcessConfig
from trio_supervisor.core.errors import (
    CantReread,
    Failed,
    NoFile,
    NotExecutable,
    RequestError,
    SpawnFailed,
    StillRunning,
)
from trio_supervisor.core.process.exit import Exit
from trio_supervisor.core.process.states import DaemonState, State
from trio_supervisor.web.api.schema import CONFIG, GROUP, PROCESS, RESULT


@pytest.fixture
def fake() -> FakeSupervisor:
    fake = FakeSupervisor("cat", "grp:ga", "grp:gb")
    fake.process("cat").run()
    return fake


def members(schema: object) -> list[str]:
    assert isinstance(schema, dict)
    return sorted(schema["properties"])


async def test_a_process_has_what_the_description_says(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        everything = await read(client, "/processes")
        assert [found["full_name"] for found in everything] == ["cat", "grp:ga", "grp:gb"]
        for found in everything:
            assert sorted(found) == members(PROCESS)
            assert await read(client, f"/processes/{found['full_name']}") == found


@pytest.mark.behaviour("http.md#actions-of-the-json-api")
async def test_start_and_stop(fake: FakeSupervisor) -> None:
    cat = fake.process("cat")
    async with talking(fake) as client:
        error = await change(client, "/processes/cat/start", status=409)
        assert (error["code"], error["message"]) == (
            "ALREADY_STARTED",
            "cat has been started already",
        )
        assert (await change(client, "/processes/cat/stop"))["statename"] == "STOPPED"
        error = await change(client, "/processes/cat/stop", status=409)
        assert (error["fault"], error["message"]) == (70, "cat is not running")
        assert (await change(client, "/processes/cat/start", wait=True))["statename"] == "RUNNING"
        assert (await change(client, "/processes/cat/stop", wait=False))["statename"] == "STOPPING"
    assert cat.state is State.STOPPING


@pytest.mark.parametrize("state", [State.STOPPED, State.RUNNING, State.FATAL])
async def test_restart_ends_in_running(fake: FakeSupervisor, state: State) -> None:
    cat = fake.process("cat")
    cat.state = state
    async with talking(fake) as client:
        assert (await change(client, "/processes/cat/restart"))["statename"] == "RUNNING"


@pytest.mark.behaviour("http.md#actions-of-the-json-api")
@pytest.mark.parametrize("path", ["processes/cat", "groups/cat", "all"])
async def test_a_client_that_is_gone_restarts_nothing(fake: FakeSupervisor, path: str) -> None:
    cat = fake.process("cat")
    cat.gate = trio.Event()
    cat.run()
    async with talking(fake) as client:
        await client.send(request(f"{ROOT}/{path}/restart", JSON, body=b"{}", method="POST"))
        with trio.fail_after(30):
            while cat.state is not State.STOPPING:
                await trio.lowlevel.checkpoint()
        client.sock.close()
        cat.gate.set()
        await wait_all_tasks_blocked(0.05)
        assert fake.process("cat").state is State.STOPPED
        assert "the client that asked for a restart is gone, nothing is started" in str(fake.lines)


async def test_a_restart_starts_nothing_once_the_supervisor_goes_down(
    fake: FakeSupervisor,
) -> None:
    cat = fake.process("cat")
    cat.gate = trio.Event()
    async with talking(fake) as client, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def shutdown() -> None:
            while cat.state is not State.STOPPING:
                await trio.lowlevel.checkpoint()
            fake.state = DaemonState.SHUTDOWN
            assert cat.gate is not None
            cat.gate.set()

        assert (await change(client, "/processes/cat/restart", status=503))["fault"] == 6
    assert cat.state is State.STOPPED


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (NoFile("/bin/x"), "a file that this needs is missing or closed: /bin/x"),
        (NotExecutable("/bin/x"), "the command cannot be executed: /bin/x"),
    ],
)
async def test_a_command_that_cannot_be(
    fake: FakeSupervisor, failure: RequestError, message: str
) -> None:
    process = fake.process("grp:ga")
    process.failure = failure
    async with talking(fake) as client:
        error = await change(client, "/processes/grp:ga/start", status=409)
        assert (error["code"], error["message"]) == (failure.code.name, message)


@pytest.mark.behaviour("http.md#actions-of-the-json-api")
async def test_a_failed_start_says_why(fake: FakeSupervisor) -> None:
    process = fake.process("grp:ga")
    process.failure = SpawnFailed("grp:ga")
    process.state, process.spawn_error = State.FATAL, "Exited too quickly"
    process.history.last_exit = Exit(3)
    process.stderr.tail.feed(b"warming up\ncannot open database\n\n")
    async with talking(fake) as client:
        error = await change(client, "/processes/grp:ga/start", status=409)
        assert error["message"] == "grp:ga could not be started"
        assert error["hint"] == (
            "gave up starting it: Exited too quickly; exit status 3; "
            "it wrote last: cannot open database"
        )
        results = await change(client, "/groups/grp/start")
        assert [result["error"] for result in results] == [error, None]


async def test_signals(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        for word in ("HUP", "SIGUSR1", "15", "hup", "RTMIN+3", "SigRtMax-1", "0"):
            await change(client, "/processes/cat/signal", signal=word)
        for word in ("NOPE", "", "RTMIN+31", "32", "65", "-1", "HUP\n", "SIG15"):
            error = await change(client, "/processes/cat/signal", status=400, signal=word)
            assert error["hint"] == "a name such as HUP, SIGHUP or RTMIN+3, or a number in quotes"
        error = await change(client, "/processes/cat/signal", status=400)
        assert error["message"] == "the field signal is missing"
        error = await change(client, "/processes/grp:ga/signal", status=409, signal="HUP")
        assert error["code"] == "NOT_RUNNING"
    expected = [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, 37, 63, 0]
    assert fake.process("cat").signals == expected


@pytest.mark.behaviour("policies.md#refresh")
async def test_refreshes(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        shown = await change(client, "/processes/cat/refresh")
        assert (shown["name"], fake.process("cat").refreshes) == ("cat", 1)
        error = await change(client, "/processes/grp:ga/refresh", status=409)
        assert error["code"] == "NOT_RUNNING"
        fake.process("cat").failure = Failed("no handler for SIGHUP")
        error = await change(client, "/processes/cat/refresh", status=409)
        assert (error["code"], error["message"]) == ("FAILED", "no handler for SIGHUP")
        [result] = await change(client, "/all/refresh")
        assert (result["name"], result["error"]["code"]) == ("cat", "FAILED")
        assert await change(client, "/groups/grp/refresh") == []


async def test_stdin(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        assert await change(client, "/processes/cat/stdin", data="é\n") == {"done": True}
        error = await change(client, "/processes/grp:ga/stdin", status=409, data="x")
        assert error["code"] == "NOT_RUNNING"
        fake.process("cat").kind = GroupKind.POOL
        error = await change(client, "/processes/cat/stdin", status=409, data="x")
        assert error["message"] == "the stdin of an event listener belongs to the event protocol"
    assert fake.process("cat").stdin == "é\n".encode()


@pytest.mark.behaviour("http.md#actions-of-the-json-api")
async def test_several_at_once(fake: FakeSupervisor) -> None:
    def by_name(results: list[dict[str, object]]) -> dict[object, object]:
        for result in results:
            assert sorted(result) == members(RESULT)
            assert result["error"] is None
        return {result["full_name"]: result["statename"] for result in results}

    async with talking(fake) as client:
        started = await change(client, "/groups/grp/start")
        assert by_name(started) == {"grp:ga": "RUNNING", "grp:gb": "RUNNING"}
        assert await change(client, "/all/start") == []
        signalled = await change(client, "/all/signal", signal="USR1")
        assert by_name(signalled).keys() == {"cat", "grp:ga", "grp:gb"}
        stopped = await change(client, "/groups/grp/stop", wait=False)
        assert by_name(stopped) == {"grp:ga": "STOPPING", "grp:gb": "STOPPING"}
        for process in fake.group("grp").processes.values():
            process.state = State.RUNNING
        assert by_name(await change(client, "/all/stop")).keys() == {"cat", "grp:ga", "grp:gb"}
        restarted = await change(client, "/all/restart")
        assert by_name(restarted) == dict.fromkeys(("cat", "grp:ga", "grp:gb"), "RUNNING")
        assert await change(client, "/groups/zz/start", status=404)


async def test_groups(fake: FakeSupervisor) -> None:
    async with talking(fake) as client:
        cat, grp = await read(client, "/groups")
        assert sorted(cat) == members(GROUP)
        assert cat["states"] == {"RUNNING": 1}
        assert (
            grp
            == await read(client, "/groups/grp")
            == {
                "name": "grp",
                "kind": "program",
                "priority": 999,
                "active": True,
                "processes": ["grp:ga", "grp:gb"],
                "states": {"STOPPED": 2},
            }
        )
        assert (await change(client, "/groups/cat/remove", status=409))["code"] == "STILL_RUNNING"
        assert await change(client, "/groups/grp/remove") == {"done": True}
        gone = await read(client, "/groups/grp")
        assert (gone["active"], gone["processes"], gone["states"]) == (False, [], {})
        assert (await change(client, "/groups/grp/add"))["active"] is True
        assert (await change(client, "/groups/grp/add", status=409))["code"] == "ALREADY_ADDED"


async def test_the_configuration(fake: FakeSupervisor) -> None:
    fake.remove_group("grp")
    async with talking(fake) as client:
        found = await read(client, "/config")
    assert [(c["group"], c["name"], c["inuse"]) for c in found] == [
        ("cat", "cat", True),
        ("grp", "ga", False),
        ("grp", "gb", False),
    ]
    for process in found:
        assert sorted(process) == members(CONFIG)


async def test_reread(fake: FakeSupervisor) -> None:
    fake.found = Diff(added=("a",), changed=("b", "c"))
    async with talking(fake) as client:
        diff = await change(client, "/daemon/reread")
        assert diff == {"added": ["a"], "changed": ["b", "c"], "removed": []}
        fake.failure = CantReread("bad value in section 'program:x'")
        error = await change(client, "/daemon/reread", status=409)
        assert error["code"] == "CANT_REREAD"
        assert error["message"].endswith("bad value in section 'program:x'")


async def test_update(fake: FakeSupervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.remove_group("grp")
    changed = ProcessConfig(name="cat", command="another")
    others = [group for group in fake.candidates if group.name != "cat"]
    fake.candidates = (GroupConfig(name="cat", processes=(changed,)), *others)
    fake.found = Diff(added=("grp", "lost"), changed=("cat",))
    async with talking(fake) as client:
        done = await change(client, "/daemon/update")
        assert (done["added"], done["changed"], done["removed"]) == (["grp"], ["cat"], [])
        ((failed),) = done["failed"]
        assert (failed["group"], failed["error"]["code"]) == ("lost", "BAD_NAME")
        assert fake.process("cat").state is State.STOPPED  # a new one, which a real one would start

        async def refuse(name: str) -> None:
            await trio.lowlevel.checkpoint()
            raise StillRunning(name)

        monkeypatch.setattr(fake, "remove", refuse)
        fake.found = Diff(removed=("cat", "grp"))
        done = await change(client, "/daemon/update")
        assert done["removed"] == []
        assert [failed["error"]["fault"] for failed in done["failed"]] == [91, 91]
