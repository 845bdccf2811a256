"""Real programs that depend on each other, started, stopped and asked about by the real client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.ctl import Ran, install, run
from tests.kit.curl import send
from tests.kit.daemon import daemon, eventually, free_port, write_config
from trio_supervisor.cli.daemon import main

if TYPE_CHECKING:
    from pathlib import Path

#: ``db`` ends when its file is there; the job succeeds once that is so too.
CONFIG = """\
[program:web]
command=/bin/cat
depends_on=db, migrate
on_dependency_stop=restart
startsecs=0
priority=1

[program:migrate]
command=/bin/sh -c "test -e %(here)s/schema"
oneshot=true
depends_on=db
startretries=0

[program:db]
command=/bin/cat
startsecs=0

[program:other]
command=/bin/cat
depends_on=cache?
startsecs=0
autostart=false
"""
COUNT = 300


def extended(directory: Path, programs: str) -> str:
    """A configuration with options beyond Supervisor; the kit writes its ``[supervisord]``."""
    return f"[supervisord]\nextended=true\n{programs}".replace("%(here)s", str(directory))


@pytest.mark.behaviour(
    "policies.md#a-dependency-that-cannot-come-up",
    "policies.md#one-shot-programs",
    "policies.md#on_dependency_stop",
    "policies.md#the-order-of-stopping",
    "policies.md#dependencies-that-are-started-too",
    "client.md#graph-of-dependencies",
    "client.md#start-without-dependencies",
)
def test_a_web_program_with_a_database_and_a_migration(tmp_path: Path) -> None:
    with daemon(tmp_path, extended(tmp_path, CONFIG)) as running:
        command = [install(tmp_path / "bin"), "-c", str(tmp_path / "c.conf")]

        def ctl(*words: str) -> Ran:
            return run([*command, *words])

        def waits(what: str) -> None:
            text = f"waiting for {what}"
            eventually(lambda: running.info("web")["description"] == text, text)

        # The job fails, so the program waits in vain.
        running.wait_for("migrate", "FATAL")
        waits("migrate, which is FATAL")
        assert (running.state("web"), running.pid("web")) == ("STARTING", 0)
        ran = ctl("start", "web")  # which tries the job again
        assert (ran.status, ran.out) == (0, "web: ERROR (already started)\n")
        waits("migrate, which is FATAL")
        assert "Next start: waiting for migrate, which is FATAL\n" in ctl("why", "web").out
        ran = ctl("graph")
        assert ran.out.splitlines() == [
            "db       RUNNING   needed by web, migrate",
            "migrate  FATAL     needs db, needed by web",
            "web      STARTING  needs db, migrate (restart with them), "
            "waiting for migrate, which is FATAL",
            "other    STOPPED   needs cache?",
        ]
        document: Any = json.loads(ctl("graph", "--json").out)
        shown = {row["full_name"]: row for row in document["processes"]}
        cache = {"written": "cache?", "condition": "running", "soft": True, "met": False}
        assert shown["other"]["depends_on"] == [{**cache, "processes": [], "unmet": []}]
        assert ctl("graph", "nobody").status != 0

        # A request for the program starts what it needs.
        (tmp_path / "schema").touch()
        assert ctl("stop", "web").status == 0
        assert ctl("start", "web").out == "web: started\n"
        assert running.state("migrate") == "EXITED"
        assert "because of a dependency (needed by web)" in ctl("history", "migrate").out

        # The dependency stops after its dependent, which waits for it again.
        assert ctl("stop", "db").status == 0
        waits("db, which is STOPPED")
        stops = [line for line in running.log.splitlines() if "stopped: " in line]
        assert ["web" in line for line in stops[-2:]] == [True, False]
        assert ctl("start", "db").status == 0
        running.wait_for("web", "RUNNING")

        # And without dependencies.
        assert ctl("stop", "web", "db").status == 0
        ran = ctl("start", "--no-deps", "web", "nobody")
        assert ran.out == "nobody: ERROR (no such process)\nweb: started\n"
        assert running.state("db") == "STOPPED"
        assert ctl("restart", "all").status == 0
        running.wait_for("web", "RUNNING")
    lines = running.log.splitlines()
    ends = [line for line in lines if "stopped: " in line and "other" not in line]
    assert ["web" in ends[-2], "db" in ends[-1]] == [True, True]


@pytest.mark.behaviour("policies.md#shown-dependencies")
def test_the_api_shows_the_graph_and_starts_without_dependencies(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{(port := free_port())}/api/v1"
    server = f"[inet_http_server]\nport=127.0.0.1:{port}\n"
    with daemon(tmp_path, server + extended(tmp_path, CONFIG)) as running:
        running.wait_for("migrate", "FATAL")
        running.wait_for("db", "RUNNING")
        eventually(
            lambda: send(f"{address}/processes/web").json()["reason"],
            "what it waits for",
        )
        shown = send(f"{address}/processes/web").json()
        assert shown["depends_on"] == ["db", "migrate"]
        graph: Any = send(f"{address}/graph").json()
        nodes = {node.pop("full_name"): node for node in graph["nodes"]}
        assert [*nodes] == ["db", "migrate", "web", "other"]
        assert nodes["web"] == {
            "name": "web",
            "group": "web",
            "statename": "STARTING",
            "waiting": "waiting for migrate, which is FATAL",
            "on_dependency_stop": "restart",
        }
        assert [tuple(edge.values()) for edge in graph["edges"]] == [
            ("migrate", "db", "running", False, True),
            ("web", "db", "running", False, True),
            ("web", "migrate", "done", False, False),
            ("other", "cache", "running", True, False),
        ]
        started = send(f"{address}/processes/web/start", '{"no_deps": true}')
        assert (started.status, started.json()["statename"]) == (200, "RUNNING")
        assert running.state("migrate") == "FATAL"


@pytest.mark.behaviour("policies.md#the-order-of-starting", "policies.md#the-order-of-stopping")
def test_three_hundred_in_a_chain(tmp_path: Path) -> None:
    programs = "".join(
        f"[program:p{n:03}]\ncommand=/bin/cat\nstartsecs=0\nstdout_logfile=NONE\n"
        "stderr_logfile=NONE\n" + (f"depends_on=p{n + 1:03}\n" if n < COUNT - 1 else "")
        for n in range(COUNT)
    )
    with daemon(tmp_path, extended(tmp_path, programs)) as running:
        running.wait_for("p000", "RUNNING")
        started = [line for line in running.log.splitlines() if "entered RUNNING" in line]
    assert [line.split("success: ")[1][:4] for line in started] == [
        f"p{n:03}" for n in reversed(range(COUNT))
    ]
    lines = running.log.splitlines()
    stopped = [line.split("stopped: ")[1] for line in lines if "stopped: " in line]
    assert [line[:4] for line in stopped] == [f"p{n:03}" for n in range(COUNT)]


@pytest.mark.behaviour("configuration.md#the-order-of-starting-by-check")
def test_check_shows_the_order_of_starting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_config(tmp_path, extended(tmp_path, CONFIG)))

    def check(*flags: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["--check", *flags, "-c", path])
        assert ended.value.code == 0
        return capsys.readouterr().out

    lines = check("--verbose").splitlines()
    assert lines[lines.index("order of starting:") : -1] == [
        "order of starting:",
        "    1  db",
        "    2  migrate  after db",
        "    3  web  after db, migrate",
        "    4  other  after cache?",
    ]
    document: Any = json.loads(check("--verbose", "--format", "json"))
    assert [start["name"] for start in document["order"]] == ["db", "migrate", "web", "other"]
    assert "order of starting" not in check()
