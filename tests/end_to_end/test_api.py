"""The JSON API of the real daemon, with real programs."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tests.kit.curl import Sent, send
from tests.kit.daemon import Daemon, daemon, eventually, free_port

CONFIG = """
[inet_http_server]
port=127.0.0.1:{port}
[program:web]
command=/bin/sh -c "echo up; echo warming >&2; while read line; do echo got $line; done"
startsecs=0
[program:broken]
command=/bin/sh -c "echo cannot open database >&2; exit 3"
startretries=0
autostart={autostart}
[program:job]
command=/bin/true
startsecs=0
[eventlistener:ears]
command=/bin/cat
events=TICK_3600
startsecs=0
"""


class Api:
    def __init__(self, running: Daemon, port: int) -> None:
        self._running = running
        self._url = f"http://127.0.0.1:{port}"

    def send(self, path: str, **fields: object) -> Sent:
        """GET; POST if there are fields."""
        path = path if path.endswith("z") else f"/api/v1{path}"
        return send(self._url + path, json.dumps(fields) if fields else None)

    def read(self, path: str, status: int = 200) -> Any:
        sent = self.send(path)
        found = sent.json()
        assert sent.status == status, found
        return found

    def change(self, path: str, status: int = 200, **fields: object) -> Any:
        sent = send(f"{self._url}/api/v1{path}", json.dumps(fields))
        found = sent.json()
        assert sent.status == status, found
        return found if status == 200 else found["error"]

    def messages(self, sent: Sent) -> Any:
        """The data of the events of a stream."""
        with closing(sent.lines()) as lines:
            for line in lines:
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))


def test_a_life(tmp_path: Path) -> None:
    port = free_port()
    config = CONFIG.replace("{port}", str(port))
    with daemon(tmp_path, config.format(autostart="true")) as running:
        api = Api(running, port)

        # Ready is not what has failed for good.
        running.wait_for("broken", "FATAL")
        running.wait_for("job", "EXITED")
        running.wait_for("web", "RUNNING")
        assert api.read("/healthz") == {"status": "ok", "statename": "RUNNING"}
        found = api.read("/readyz", 503)
        assert (found["ready"], [w["full_name"] for w in found["waiting"]]) == (False, ["broken"])
        assert found["waiting"][0]["reason"].startswith("gave up starting it: ")

        # What there is.
        processes = {found["full_name"]: found for found in api.read("/processes")}
        kinds = {name: found["kind"] for name, found in processes.items()}
        assert kinds == {
            "broken": "program",
            "ears": "eventlistener",
            "job": "program",
            "web": "program",
        }
        assert processes["broken"]["last_output"] == "cannot open database\n"
        assert processes["web"]["pid"] == running.pid("web")
        assert abs(processes["web"]["now"] - time.time()) < 3600
        supervisor = api.read("/daemon")
        assert supervisor["pid"] == running.process.pid
        assert supervisor["config"] == str(tmp_path / "c.conf")
        assert supervisor["log"] == str(tmp_path / "sup.log")
        ((pool,)) = api.read("/pools")
        assert (pool["name"], pool["buffered"], len(pool["listeners"])) == ("ears", 0, 1)

        # Actions, and the events that they cause.
        stream = api.messages(api.send("/events?types=PROCESS_STATE,SUPERVISOR_STATE_CHANGE"))
        old = processes["web"]["pid"]
        fresh = api.change("/processes/web/restart")
        assert (fresh["statename"], fresh["restarts"]) == ("RUNNING", 1)
        assert fresh["pid"] != old
        events = [next(stream) for _ in range(4)]
        assert [event["event"].removeprefix("PROCESS_STATE_") for event in events] == [
            "STOPPING",
            "STOPPED",
            "STARTING",
            "RUNNING",
        ]
        assert {event["processname"] for event in events} == {"web"}
        assert [event.get("pid") for event in events] == [old, old, None, fresh["pid"]]
        serials = [event["serial"] for event in events]
        assert serials == [*range(serials[0], serials[0] + 4)]
        error = api.change("/processes/broken/start", 409)
        assert error["code"] == "SPAWN_ERROR"
        assert error["hint"].endswith("it wrote last: cannot open database")
        assert [next(stream)["event"] for _ in range(3)] == [
            "PROCESS_STATE_STARTING",
            "PROCESS_STATE_BACKOFF",
            "PROCESS_STATE_FATAL",
        ]

        # Logs.
        assert api.send("/processes/web/logs/stdout").body() == "up\nup\n"
        assert api.send("/processes/web/logs/stderr?lines=1").body() == "warming\n"
        follow = api.send("/processes/web/logs/stdout/follow?lines=1").lines()
        assert next(follow) == "up"
        assert api.change("/processes/web/stdin", data="hello\n") == {"done": True}
        assert next(follow) == "got hello"
        follow.close()

        # A changed configuration.
        text = (tmp_path / "c.conf").read_text()
        removed = text.replace("[program:job]\ncommand=/bin/true\nstartsecs=0\n", "")
        changed = removed.replace("autostart=true", "autostart=false")
        (tmp_path / "c.conf").write_text(f"{changed}[program:cat]\ncommand=/bin/cat\n")
        diff = {"added": ["cat"], "changed": ["broken"], "removed": ["job"]}
        assert api.change("/daemon/reread") == diff
        assert api.change("/daemon/update") == {**diff, "failed": []}
        started = [next(stream) for _ in range(2)]
        assert [(event["processname"], event["event"]) for event in started] == [
            ("cat", "PROCESS_STATE_STARTING"),
            ("cat", "PROCESS_STATE_RUNNING"),
        ]
        assert api.read("/readyz")["ready"] is True
        (tmp_path / "c.conf").write_text("[program:x]\n")
        assert api.change("/daemon/reread", 409)["code"] == "CANT_REREAD"

        # All at once.
        results = api.change("/all/stop")
        assert {result["full_name"]: result["error"] for result in results} == {
            "cat": None,
            "ears": None,
            "web": None,
        }
        assert {found["statename"] for found in api.read("/processes")} == {"STOPPED"}

        # The end: told to whoever listens.
        assert api.change("/daemon/shutdown") == {"done": True}
        assert [*stream][-1]["event"] == "SUPERVISOR_STATE_CHANGE_STOPPING"
        assert running.process.wait(30) == 0
        assert "Traceback" not in running.log


def test_listeners_of_events_leave_nothing_behind(tmp_path: Path) -> None:
    port = free_port()
    config = CONFIG.format(port=port, autostart="false")
    with daemon(tmp_path, config) as running:
        api = Api(running, port)
        running.wait_for("web", "RUNNING")
        before = running.descriptors
        with ExitStack() as open_streams:
            many = [api.send("/events?types=REMOTE_COMMUNICATION") for _ in range(50)]
            for sent in many:
                open_streams.callback(sent.close)
            api.change("/events", type="t", data="d\ne")
            for sent in many:
                assert next(api.messages(sent))["data"] == "d\ne"
        eventually(lambda: running.descriptors <= before, "the end of the connections")
