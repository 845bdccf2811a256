"""Upgrades of a daemon that has no descriptor left: before, and from the first moment after."""

from __future__ import annotations

import http.client
import os
import re
import resource
import xmlrpc.client
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import BASE, daemon
from tests.kit.upgrading import (
    WRITER,
    StandIn,
    script,
    tsupervisor,
    upgrade,
    upgraded,
    wait_until_decided,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kit.daemon import Daemon

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
#: Options that need modules which few programs need.
OPTIONS = {
    "plain": "",
    "memory": "memory_max=1GB",
    "hooks": "post_stop=/bin/true",
    "tree": "kill_mode=tree",
    "json": "log_format=json",
    "health": "health=exec:/bin/true",
}
#: Leaves no descriptor to the next program as soon as it has taken over the children.
NOTHING_LEFT = """
if is_next:
    import resource, trio_supervisor.cli.upgrade.arrival as arrival
    give = arrival.Arrival.give
    def and_take_away(*arguments):
        give(*arguments)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    arrival.Arrival.give = and_take_away
"""


def programs(directory: Path) -> str:
    writer = script(directory, "w", WRITER)
    return "".join(
        f"[program:{name}]\ncommand={writer} {directory}/last_{name}\n{options}\n"
        f"stdout_logfile={directory}/{name}.log\nstdout_logfile_maxbytes=0\n"
        "startsecs=0\nstartretries=1000\n"
        for name, options in OPTIONS.items()
    )


@contextmanager
def descriptors_left(running: Daemon, count: int) -> Iterator[None]:
    """The daemon can open about so many files within the block."""
    pid = running.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir(f"/proc/{pid}/fd")))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + count, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def check_lines(directory: Path, running: Daemon) -> None:
    """Every line that a program has written since its start is in its log, once."""
    running.rpc.stopAllProcesses()
    for name in OPTIONS:
        last = int((directory / f"last_{name}").read_text())
        numbers = re.findall(r"line (\d+)", (directory / f"{name}.log").read_text())
        assert numbers == [str(number) for number in range(1, last + 1)]


@pytest.mark.behaviour("upgrade.md#an-upgrade-keeps-everything")
def test_logs_that_cannot_be_opened_after_an_upgrade_get_everything_later(tmp_path: Path) -> None:
    """Nor does any option need a module that could not be loaded then."""
    program = StandIn(tmp_path)
    with daemon(tmp_path, programs(tmp_path), base=EXTENDED, command=program.command) as running:
        for name in OPTIONS:
            running.wait_for(name, "RUNNING")
        pids = {name: running.pid(name) for name in OPTIONS}
        program.does(NOTHING_LEFT)
        tsupervisor(running).upgrade()
        for name in OPTIONS:
            running.wait_log(f"cannot open log {tmp_path}/{name}.log: Too many open files")
        hard = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
        wait_until_decided(running)
        for name in OPTIONS:
            running.wait_log(f"log {tmp_path}/{name}.log works again; no bytes were dropped")
        assert {name: running.pid(name) for name in OPTIONS} == pids
        check_lines(tmp_path, running)
        assert "internal error" not in running.log
        assert "Traceback" not in running.log


@pytest.mark.behaviour("upgrade.md#a-step-that-fails-changes-nothing")
def test_without_descriptors_an_upgrade_is_refused_or_done(tmp_path: Path) -> None:
    """Whatever number is left when it begins, nothing is lost."""
    with daemon(tmp_path, programs(tmp_path), base=EXTENDED) as running:
        for name in OPTIONS:
            running.wait_for(name, "RUNNING")
        pids = {name: running.pid(name) for name in OPTIONS}
        refused, before = [], upgraded(running)
        for left in (1, 2, 3, 4, 5, 6, 8, 10):  # one is for the connection
            with descriptors_left(running, left):
                try:
                    tsupervisor(running).upgrade()
                except (xmlrpc.client.Error, OSError, http.client.HTTPException) as error:
                    refused.append(str(error))
            wait_until_decided(running)
            assert {name: running.pid(name) for name in OPTIONS} == pids
        assert any("the upgrade is refused" in words for words in refused)
        assert upgraded(running) > before
        upgrade(running)
        check_lines(tmp_path, running)
        assert "internal error" not in running.log
        assert "Traceback" not in running.log
