"""How the last child ended, with a real daemon and real children, by every interface."""

from __future__ import annotations

import json
import xmlrpc.client
from pathlib import Path
from typing import Any

import pytest

from tests.kit.ctl import install, run
from tests.kit.curl import send
from tests.kit.daemon import Daemon, UnixTransport, daemon, free_port

CONFIG = """
[inet_http_server]
port=127.0.0.1:{port}
[program:code]
command=/bin/sh -c "echo working; echo no database >&2; exit 3"
startsecs=0
autorestart=false
[program:crash]
command=/bin/sh -c "echo $$; [ -e no ] && exec cat; touch no; read line; kill -SEGV $$"
startsecs=0
[program:core]
command=/bin/sh -c "ulimit -c unlimited && kill -ABRT $$"
startsecs=0
autorestart=false
[program:missing]
command=/no/such/program
startretries=0
[program:stopped]
command=/bin/cat
startsecs=0
"""


def details(running: Daemon, name: str) -> Any:
    server = xmlrpc.client.ServerProxy(
        "http://localhost", transport=UnixTransport(str(running.directory / "s.sock"))
    )
    return server.tsupervisor.getProcessDetails(name)


@pytest.mark.behaviour(
    "process.md#the-last-exit-is-kept-until-the-next-one",
    "process.md#starts-are-counted-by-their-kind",
    "http.md#tsupervisor-methods",
)
def test_how_children_ended(tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with daemon(tmp_path, CONFIG.replace("{port}", str(port))) as running:
        running.wait_for("code", "EXITED")
        running.wait_for("core", "EXITED")
        running.wait_for("missing", "FATAL")
        running.wait_for("crash", "RUNNING")
        running.wait_for("stopped", "RUNNING")

        code = details(running, "code")["last_exit"]
        assert (code["description"], code["exit_status"], code["signal"]) == (
            "exit status 3",
            3,
            "",
        )
        assert (code["expected"], code["core_dumped"]) == (False, False)
        assert (code["stdout"], code["stderr"]) == ("working\n", "no database\n")
        assert code["lifetime"] > 0
        assert code["cpu_seconds"] > 0
        assert int(code["time"]) == running.info("code")["stop"]

        core = details(running, "core")["last_exit"]
        assert (core["exit_status"], core["signal"]) == (-1, "SIGABRT")
        # Whether a core is written depends on the machine: the log line says so too.
        assert f"exited: core ({core['description']}; not expected)" in running.log
        assert core["core_dumped"] == ("core dumped" in core["description"])

        # Without a child there is no exit, but a failed start.
        missing = details(running, "missing")
        assert (missing["last_exit"], missing["failed_starts"]) == ({}, 1)

        # It runs again, and the crash is still known.
        assert details(running, "crash")["last_exit"] == {}
        pid = running.pid("crash")
        stream = send(f"{address}/api/v1/events?types=PROCESS_STATE_EXITED").lines()
        running.rpc.sendProcessStdin("crash", "now\n")
        message = next(line for line in stream if line.startswith("data: "))
        told = json.loads(message.removeprefix("data: "))
        stream.close()
        running.wait_for_another_child("crash", pid)
        crash = send(f"{address}/api/v1/processes/crash").json()
        assert (crash["statename"], crash["reason"]) == ("RUNNING", "")
        assert crash["last_exit"]["signal"] == "SIGSEGV"
        assert crash["last_exit"]["stdout"] == f"{pid}\n"
        assert (crash["automatic_restarts"], crash["requested_starts"]) == (1, 0)
        assert (told["processname"], told["last_exit"]) == ("crash", crash["last_exit"])

        program = install(tmp_path / "bin")
        lines = run([program, "-c", "c.conf", "status", "-v"], cwd=tmp_path).out.splitlines()
        shown = next(line for line in lines if line.startswith("crash "))
        assert f" ago: {crash['last_exit']['description']}, not expected, lived 0:0" in shown
        assert shown.endswith("; 1 automatic restart")
        page = send(f"{address}/").body()
        assert "Last exit: terminated by SIGSEGV" in page

        # A stop is expected, and a start by hand is a request.
        running.rpc.stopProcess("stopped")
        running.rpc.startProcess("stopped")
        stopped = details(running, "stopped")
        assert (stopped["statename"], stopped["requested_starts"]) == ("RUNNING", 1)
        assert (stopped["last_exit"]["signal"], stopped["last_exit"]["expected"]) == (
            "SIGTERM",
            True,
        )
        assert "last_exit" not in running.info("stopped")  # its keys are frozen
