"""Why processes are in their states, asked of a real daemon for each kind of cause."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import sys
import xmlrpc.client
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trio_supervisor
from tests.kit.ctl import install, run
from tests.kit.daemon import PATIENCE, UnixTransport, daemon, eventually, free_port, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.ctl import Ran
    from tests.kit.daemon import Daemon

CONFIG = """
[inet_http_server]
port=127.0.0.1:{port}
username=ann
password=full
readonly_username=eve
readonly_password=look
[rpcinterface:planner]
supervisor.rpcinterface_factory = planner:make
[program:web]
command=/bin/cat
startsecs=0
[program:crash]
command=/bin/sh -c "echo 'cannot reach postgres://ann:hunter2@db/x' >&2; exit 3"
startretries=1
[program:stubborn]
command=/bin/sh -c "trap 'exec cat' TERM; echo ready; cat; cat"
stopsignal=TERM
startsecs=0
autostart=false
"""
PLUGIN = """
class Interface:
    def __init__(self, supervisord):
        self.supervisord = supervisord
    def stop(self, name):
        self.supervisord.process(name).request_stop()
        return True
def make(supervisord, **config):
    return Interface(supervisord)
"""


def chain(found: Any) -> list[str]:
    """The chain in short, and the kind of its root."""
    return [f"{entry['what']} {entry['to']}".strip() for entry in found["chain"]] + [found["root"]]


class Client:
    """The command-line client and raw HTTP requests of one daemon."""

    def __init__(self, running: Daemon, port: int) -> None:
        self._config = str(running.directory / "c.conf")
        self._ctl = install(running.directory / "bin")
        self._port = port

    def ctl(self, *words: str) -> Ran:
        return run([self._ctl, "-c", self._config, *words])

    def why(self, name: str) -> Any:
        ran = self.ctl("why", name, "--json")
        assert (ran.status, ran.err) == (0, ""), ran
        document = json.loads(ran.out)
        assert document["errors"] == []
        [found] = document["processes"]
        return found

    def get(self, path: str, user: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        word = base64.b64encode(user.encode()).decode()
        connection.request("GET", path, headers={"Authorization": f"Basic {word}"})
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def read(self, path: str, user: str) -> Any:
        status, body = self.get(path, user)
        assert status == 200, body
        return json.loads(body)


@pytest.mark.behaviour(
    "journal.md#chain-of-causes",
    "journal.md#requesters",
    "journal.md#the-commands-why-and-history",
    "journal.md#evidence-has-no-secrets",
    "journal.md#what-would-start-it",
)
def test_every_kind_of_cause(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "planner.py").write_text(PLUGIN)
    text = CONFIG.replace("{port}", str(port))
    within = ("env", f"PYTHONPATH={tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with daemon(tmp_path, text, within=within) as running:
        client = Client(running, port)
        running.wait_for("web", "RUNNING")

        # The boot.
        boot = ["state RUNNING", "state STARTING", "daemon RUNNING", "boot"]
        assert chain(client.why("web")) == boot

        # A person at the client, by uid.
        assert client.ctl("stop", "web").status == 0
        found: Any = client.why("web")
        stopped = ["state STOPPED", "state STOPPING", "request stop", "request"]
        assert chain(found) == stopped
        assert found["chain"][-1]["who"].startswith(f"uid {os.getuid()} (tsupervisorctl, pid ")
        shown = client.ctl("why", "web")
        assert shown.status == 0
        lines = shown.out.splitlines()
        assert lines[0].startswith("web is STOPPED since ")
        assert f"stop requested, by uid {os.getuid()} (tsupervisorctl, pid " in lines[3]
        assert lines[4:] == [
            "Cause: a request",
            "Next start: a request to start it, or the next start of the supervisor (autostart)",
        ]

        # A person on the page, by user and address.
        assert client.ctl("start", "web").status == 0
        status, _ = client.get("/index.html?processname=web&action=stop", "ann:full")
        assert status in (200, 302, 303)
        running.wait_for("web", "STOPPED")
        found = client.read("/api/v1/processes/web/why", "ann:full")
        assert chain(found) == stopped
        assert found["chain"][-1]["who"] == "ann from 127.0.0.1"

        # Read-only users see everything but who it was.
        found = client.read("/api/v1/processes/web/why", "eve:look")
        assert chain(found) == stopped
        entries = client.read("/api/v1/history?names=web", "eve:look")
        assert {entry["who"] for entry in [*found["chain"], *entries]} == {""}
        with xmlrpc.client.ServerProxy(f"http://eve:look@127.0.0.1:{port}/RPC2") as server:
            found = server.tsupervisor.why("web")
        assert chain(found) == stopped
        assert {entry["who"] for entry in found["chain"]} == {""}

        # A crash loop that ended FATAL.
        running.wait_for("crash", "FATAL")
        found = client.why("crash")
        assert chain(found) == ["state FATAL", "state BACKOFF", "exit"]
        evidence = found["chain"][1]["evidence"]
        assert evidence["exit"] == "exit status 3"
        assert evidence["stderr"].strip() == "cannot reach postgres://***@db/x"
        assert "startretries=1 is used up" in found["next"]

        # An exit that was not requested.
        assert client.ctl("start", "web").status == 0
        pid = running.pid("web")
        os.kill(pid, signal.SIGSEGV)
        running.wait_for_another_child("web", pid)
        running.wait_for("web", "RUNNING")
        found = client.why("web")
        assert chain(found) == ["state RUNNING", "state STARTING", "state EXITED", "exit"]
        assert found["chain"][2]["evidence"]["exit"].startswith("terminated by SIGSEGV")

        # A plugin.
        transport = UnixTransport(str(tmp_path / "s.sock"))
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as server:
            assert server.planner.stop("web")
        running.wait_for("web", "STOPPED")
        found = client.why("web")
        assert chain(found) == [*stopped[:-1], "plugin"]
        assert found["chain"][-1]["who"] == "plugin planner.stop"

        # A change of the configuration.
        write_config(tmp_path, text.replace("command=/bin/cat\n", "command=/bin/cat -u\n", 1))
        assert client.ctl("update").status == 0
        running.wait_for("web", "RUNNING")
        found = client.why("web")
        assert chain(found) == [
            *("state RUNNING", "state STARTING", "configuration added", "configuration"),
        ]
        change = found["chain"][-1]
        assert change["evidence"]["file"] == str(tmp_path / "c.conf")
        assert change["evidence"]["options"] == "command"
        assert change["who"].startswith(f"uid {os.getuid()} (tsupervisorctl, pid ")

        # Entries of one kind and of one program.
        ran = client.ctl("history", "web", "--kind", "plugin")
        assert [line.split("  ", 2)[1:] for line in ran.out.splitlines()] == [
            ["web", "stop requested, by plugin planner.stop"],
            ["web", "told to stop by a plugin, by plugin planner.stop"],
        ]
        ran = client.ctl("history", "--since", "1h", "-n", "3", "--json")
        numbers = [entry["number"] for entry in json.loads(ran.out)["entries"]]
        assert (len(numbers), numbers) == (3, sorted(numbers))
        assert client.ctl("history", "--kind", "nonsense").status != 0
        assert client.ctl("history", "--since", "nonsense").status == 2
        assert client.ctl("why").status == 2
        assert client.ctl("why", "nobody").status == 1
        whole = run([client._ctl, "-c", client._config, "history", "-n", "1000"]).out
        assert "hunter2" not in whole

        # A reload of the daemon, by a signal.
        before = running.pid("web")
        running.signal(signal.SIGHUP)
        started = "supervisord started with pid"
        eventually(lambda: running.log.count(started) == 2, "the reload")
        running.wait_for_another_child("web", before)
        running.wait_for("web", "RUNNING")
        found = client.why("web")
        assert chain(found) == [*boot[:-1], "daemon RESTARTING", "request"]
        assert found["chain"][-1]["who"] == "signal"

        # A shutdown, asked while it is under way.
        assert client.ctl("start", "stubborn").status == 0
        pid = running.pid("stubborn")
        path = "/api/v1/processes/stubborn"
        eventually(
            lambda: client.read(path, "ann:full")["last_output"],
            "a program that ignores its stop signal",
        )
        running.signal(signal.SIGTERM)
        running.wait_log("to die")
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as server:

            def stopping() -> Any:
                found: Any = server.tsupervisor.why("stubborn")
                return found if found["statename"] == "STOPPING" else None

            found = eventually(stopping, "the stop of a stubborn program")
        assert chain(found) == ["state STOPPING", "daemon SHUTDOWN", "request"]
        assert found["chain"][-1]["who"] == "signal"
        os.kill(pid, signal.SIGKILL)


@pytest.mark.behaviour("journal.md#requests-in-the-activity-log")
def test_requests_in_the_log(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "planner.py").write_text(PLUGIN)
    text = CONFIG.replace("{port}", str(port))
    extended = f"{text}[supervisord]\nextended=true\n"
    within = ("env", f"PYTHONPATH={tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with daemon(tmp_path, text, within=within) as running:
        client = Client(running, port)
        running.wait_for("web", "RUNNING")
        assert client.ctl("stop", "web").status == 0
        assert " requested by " not in running.log

        write_config(tmp_path, extended)
        assert client.ctl("reread").status == 0
        assert client.ctl("start", "web").status == 0
        line = f"INFO start of web requested by uid {os.getuid()} (tsupervisorctl, pid "
        assert line in running.log
        assert running.log.rindex("spawned: 'web'") > running.log.index(line)
        running.wait_for("web", "RUNNING")
        status, _ = client.get("/index.html?processname=web&action=stop", "ann:full")
        assert status in (200, 302, 303)
        running.wait_log("INFO stop of web requested by ann from 127.0.0.1")
        running.wait_for("web", "STOPPED")
        assert client.ctl("start", "web").status == 0
        transport = UnixTransport(str(tmp_path / "s.sock"))
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as server:
            assert server.planner.stop("web")
        running.wait_log("INFO stop of web requested by plugin planner.stop")

        assert client.ctl("remove", "web").status == 0
        running.wait_log("INFO removal of group web requested by uid ")
        running.signal(signal.SIGHUP)
        running.wait_log("INFO restart requested by signal")
        started = "supervisord started with pid"
        eventually(lambda: running.log.count(started) == 2, "the reload")
        running.wait_for("web", "RUNNING")
        running.signal(signal.SIGTERM)
        running.wait_log("INFO shutdown requested by signal")


@pytest.mark.behaviour("journal.md#chain-of-causes", "journal.md#requesters")
async def test_an_embedding_program() -> None:
    with trio.fail_after(PATIENCE):
        async with trio_supervisor.open_supervisor() as supervisor:
            command = [sys.executable, "-c", "input()"]
            process = supervisor.add_program("child", command, startsecs=0)
            await process.wait_for("RUNNING")
            why = await supervisor.why("child")
            assert [(e.what.value, e.new, e.cause.who) for e in why.chain] == [
                ("state", "RUNNING", ""),
                ("state", "STARTING", "python"),
                ("configuration", "added", "python"),
            ]
            await process.stop()
            why = await supervisor.why("child")
            assert [(e.new, e.cause.who) for e in why.chain] == [
                ("STOPPED", ""),
                ("STOPPING", "python"),
                ("stop", "python"),
            ]
            assert (why.state, why.root) == (trio_supervisor.State.STOPPED, "request")


@pytest.mark.behaviour("client.md#commands-that-supervisor-does-not-have")
def test_a_program_is_called_like_an_option(tmp_path: Path) -> None:
    program = install(tmp_path / "bin")
    with daemon(tmp_path, "[program:--json]\ncommand=/bin/cat\nautostart=false\n"):
        ran = run([program, "-c", "c.conf", "why", "--", "--json"], cwd=tmp_path)
    assert (ran.status, ran.out.startswith("--json is STOPPED")) == (0, True), ran
