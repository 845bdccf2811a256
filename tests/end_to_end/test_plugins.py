"""Plugins from PyPI run unmodified."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import run
from tests.kit.daemon import daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.ctl import Ran
    from tests.kit.daemon import Daemon

CTL = "from trio_supervisor.cli.ctl.main import main; raise SystemExit(main())"
SERIAL = "supervisorserialrestart.controllerplugin:make_serialrestart_controllerplugin"
SECTIONS = f"""
[ctlplugin:wildcards]
supervisor.ctl_factory = supervisorwildcards.controllerplugin:make_wildcards_controllerplugin
match_group = 1
[ctlplugin:serialrestart]
supervisor.ctl_factory = {SERIAL}
[ctlplugin:cache]
supervisor.ctl_factory = supervisor_cache.controllerplugin:make_cache_controllerplugin
[rpcinterface:cache]
supervisor.rpcinterface_factory = supervisor_cache.rpcinterface:make_cache_rpcinterface
"""


def program(name: str, command: str = "/bin/sleep 1000") -> str:
    return f"[program:{name}]\ncommand={command}\nstartsecs=0\nautorestart=false\n"


def ctl(running: Daemon, *words: str) -> Ran:
    return run([sys.executable, "-c", CTL, "-c", str(running.directory / "c.conf"), *words])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    text = SECTIONS + "".join(map(program, ("w1", "w2", "other"))) + program("bad", "/no/such")
    with daemon(tmp_path_factory.mktemp("plugins"), text) as running:
        for name in ("w1", "w2", "other"):
            running.wait_for(name, "RUNNING")
        yield running


@pytest.mark.behaviour("client.md#plugins-of-the-client")
def test_wildcards_acts_from_a_thread_for_each_process(running: Daemon) -> None:
    before = {name: running.pid(name) for name in ("w1", "w2", "other")}
    ran = ctl(running, "mrestart", "w*")
    assert (ran.status, ran.err) == (0, "")
    assert sorted(ran.out.splitlines()) == [
        "w1: started",
        "w1: stopped",
        "w2: started",
        "w2: stopped",
    ]
    assert [running.pid(name) == before[name] for name in before] == [False, False, True]
    assert ctl(running, "mstop", "nothing*").out == "No process matched given expression.\n"
    assert ctl(running, "help", "mstop").out.startswith("The same as stop, but accepts wildcard")


def test_wildcards_sets_the_exit_status_of_a_line_that_fails(running: Daemon) -> None:
    ran = ctl(running, "mstart", "bad:* o*")
    assert sorted(ran.out.splitlines()) == [
        "bad: ERROR (no such file)",
        "other: ERROR (already started)",
    ]
    assert ran.status == 1


@pytest.mark.behaviour("client.md#plugins-of-the-client")
def test_serialrestart_restarts_one_after_the_other(running: Daemon) -> None:
    ran = ctl(running, "serialrestart", "w*", "nosuch")
    assert (ran.status, ran.err) == (0, "")
    said = ran.out.splitlines()
    assert said[0] == "No such process nosuch"
    assert [re.sub(r"\d", "", line) for line in said[1:]] == ["w: stopped", "w: started"] * 2
    assert ctl(running, "serialrestart").out.startswith("Error: serialrestart requires")


@pytest.mark.behaviour("http.md#methods-of-plugins")
def test_cache_keeps_values_in_the_daemon(running: Daemon) -> None:
    assert ctl(running, "cache_store", "key", "'a value'") == (0, "", "")
    assert ctl(running, "cache_fetch", "key") == (0, "'a value'\n", "")
    assert ctl(running, "cache_count") == (0, "1\n", "")
    assert ctl(running, "cache_fetch", "none") == (1, "error: <Fault 10: 'BAD_NAME'>\n", "")
