"""``survive = adopt``: what operators are told while no daemon runs, and of adopted programs."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.test_survive_adopt import (
    ADOPT,
    CTL,
    adopting,
    ctl,
    leave_nothing,  # noqa: F401  # a fixture that is used by all tests here
    program,
)
from tests.kit.daemon import COMMAND, PATIENCE, eventually, free_port, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.daemon import Daemon


def checked(config: Path) -> str:
    """What ``--check`` says of a configuration."""
    done = subprocess.run(
        [*COMMAND, "--check", "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.stdout + done.stderr


def killed(running: Daemon) -> int:
    """Kill a daemon, which leaves its pidfile, and return its pid."""
    running.process.kill()
    running.process.wait(PATIENCE)
    return running.process.pid


@pytest.mark.behaviour("client.md#a-daemon-that-was-killed")
def test_a_client_says_what_it_waits_for(tmp_path: Path) -> None:
    """It waits at the socket that the keeper has, and is answered by the next daemon."""
    with adopting(tmp_path, program("quiet")) as first:
        first.wait_for("quiet", "RUNNING")
        dead = killed(first)
    with subprocess.Popen(
        [sys.executable, "-c", CTL, "-s", f"unix://{tmp_path}/s.sock", "status"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as waiting:
        try:
            assert waiting.stderr is not None
            told = waiting.stderr.readline()
            assert f"the daemon (pid {dead}) was killed" in told
            assert "waiting until it is started again" in told
            (tmp_path / "sup.pid").unlink()
            with adopting(tmp_path, program("quiet")) as second:
                out, err = waiting.communicate(timeout=PATIENCE)
                assert "quiet" in out
                assert "RUNNING" in out
                assert not err
                second.stop()
        finally:
            waiting.kill()


@pytest.mark.behaviour("client.md#a-daemon-that-was-killed")
def test_a_client_at_a_port_says_what_it_waits_for(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    base = ADOPT + f"[inet_http_server]\nport={url.removeprefix('http://')}\n"
    with adopting(tmp_path, program("quiet"), base) as first:
        first.wait_for("quiet", "RUNNING")
        dead = killed(first)
    waiting = subprocess.Popen(
        [sys.executable, "-c", CTL, "-s", url, "status"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr is not None
    told = waiting.stderr.readline()
    assert told.startswith(f"{url}: the daemon (pid {dead}) was killed, its programs go on")
    (tmp_path / "sup.pid").unlink()
    with adopting(tmp_path, program("quiet"), base) as second:
        out, err = waiting.communicate(timeout=PATIENCE)
        assert "RUNNING" in out
        assert not err
        second.stop()


@pytest.mark.behaviour("policies.md#adopted-programs-in-a-check")
def test_check_knows_the_keeper_and_adopted_programs(tmp_path: Path) -> None:
    """Nobody is told to end what the next daemon goes on with, or this one has adopted."""
    with adopting(tmp_path, program("quiet")) as first:
        first.wait_for("quiet", "RUNNING")
        quiet = first.pid("quiet")
        dead = killed(first)
        told = checked(tmp_path / "c.conf")
        assert f"quiet of an earlier daemon still runs: pid {quiet}" in told
        assert "the next daemon goes on with it" in told
        assert "held by" not in told
        (tmp_path / "other").mkdir()
        other = write_config(tmp_path / "other", "", base=ADOPT)
        other.write_text(other.read_text().replace("%(here)s/s.sock", f"{tmp_path}/s.sock"))
        assert f"held by the keeper of a daemon that was killed (pid {dead})" in checked(other)
        refused = subprocess.run(
            [*COMMAND, "-n", "-c", str(other)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert refused.returncode == 2
        assert "Start this daemon with the pidfile of that one" in refused.stderr
        (tmp_path / "sup.pid").unlink()
    with adopting(tmp_path, program("quiet")) as second:
        assert second.pid("quiet") == quiet
        eventually(lambda: (tmp_path / "sup.pid").exists(), "the pidfile")
        told = checked(tmp_path / "c.conf")
        assert f"the daemon runs already: process {second.process.pid}" in told
        assert "of an earlier daemon" not in told
        assert "held by" not in told
        second.stop()


@pytest.mark.behaviour("policies.md#adopted-programs-in-the-details")
def test_the_details_tell_who_has_started_an_adopted_program(tmp_path: Path) -> None:
    """Until it is started again."""
    port = free_port()
    base = ADOPT + f"[inet_http_server]\nport=127.0.0.1:{port}\n"

    def told() -> tuple[str, ...]:
        texts = []
        with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            for path in ("/", "/api/v1/processes/quiet"):
                connection.request("GET", path)
                texts.append(connection.getresponse().read().decode())
        return *texts, ctl(tmp_path, "status", "-v", "quiet")

    with adopting(tmp_path, program("quiet"), base) as first:
        first.wait_for("quiet", "RUNNING")
        assert not any("adopted:" in text for text in told())
        dead = killed(first)
    (tmp_path / "sup.pid").unlink()
    with adopting(tmp_path, program("quiet"), base) as second:
        text = f"adopted: started by the daemon of pid {dead}, which was killed"
        second.wait_for("quiet", "RUNNING")
        assert all(text in each for each in told())
        assert "adopted" not in ctl(tmp_path, "status", "quiet")
        assert second.rpc.stopProcess("quiet") is True
        assert not any("adopted:" in text for text in told())
        assert second.rpc.startProcess("quiet") is True
        assert not any("adopted:" in text for text in told())
        second.stop()


@pytest.mark.behaviour("policies.md#what-follows-an-adoption")
def test_why_tells_since_when_and_why_also_after_two_kills(tmp_path: Path) -> None:
    """The journal in memory is gone; the record of the process knows both."""
    text = program("quiet") + program("ended", "exit 3", "autorestart=false")
    with adopting(tmp_path, text) as first:
        (tmp_path / "go-ended").touch()
        first.wait_for("ended", "EXITED")
        first.wait_for("quiet", "RUNNING")
        since = ctl(tmp_path, "why", "quiet").partition("since ")[2].partition(" (")[0]
        killed(first)
    for _ in range(2):
        (tmp_path / "sup.pid").unlink()
        with adopting(tmp_path, text) as running:
            running.wait_for("quiet", "RUNNING")
            assert f"quiet is RUNNING since {since} (" in ctl(tmp_path, "why", "quiet")
            assert "still EXITED (ended by itself: exit status 3" in ctl(tmp_path, "why", "ended")
            killed(running)
    (tmp_path / "sup.pid").unlink()
    with adopting(tmp_path, text) as last:
        last.stop()
