"""Reread, update and reload with the real daemon and the real client."""

from __future__ import annotations

import os
import re
import signal
import xmlrpc.client
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.kit.ctl import install, run
from tests.kit.daemon import BASE, Daemon, daemon, eventually, free_port, write_config
from tests.kit.root import NOBODY, directory_of, needs_root

CAT = "command=/bin/cat\nstartsecs=0\n"
XYZ = f"[program:x]\n{CAT}[program:y]\n{CAT}[program:z]\n{CAT}"


def reread(running: Daemon, text: str, base: str = BASE) -> list[list[str]]:
    """Added, changed and removed groups after the file has become this."""
    write_config(running.directory, text, base=base)
    answer: Any = running.rpc.reloadConfig()
    ((added, changed, removed),) = answer
    return [added, changed, removed]


def refusal(running: Daemon) -> str:
    """Why a reread is refused."""
    with pytest.raises(xmlrpc.client.Fault) as caught:
        running.rpc.reloadConfig()
    assert caught.value.faultCode == 92
    text: str = caught.value.faultString
    return text.removeprefix("CANT_REREAD: ")


def refused_reloads(running: Daemon, times: int) -> bool:
    return running.log.count("CRIT restart refused, everything keeps running: ") == times


def pids(running: Daemon, *names: str) -> list[int]:
    return [running.pid(name) for name in names]


@pytest.mark.behaviour(
    "configuration.md#a-reread-changes-nothing-that-runs",
    "configuration.md#reload-with-a-bad-configuration",
    "process.md#restart-of-the-daemon",
    "configuration.md#environment-variables-in-values",
)
def test_a_broken_file_never_stops_what_runs(tmp_path: Path) -> None:
    """The candidates of the last good reread stay."""
    base = BASE.replace("[unix", 'environment=ZZ="1"\n[unix', 1)
    with daemon(tmp_path, XYZ, base=base) as running:
        for name in "xyz":
            running.wait_for(name, "RUNNING")
        before = pids(running, *"xyz")
        assert reread(running, f"{XYZ}[program:new]\n{CAT}", base) == [["new"], [], []]
        path = tmp_path / "c.conf"
        good = path.read_text()
        broken = {
            f"{good}autostart=maybe\n": "not a valid boolean value: 'maybe' in section "
            f"'program:new' (option: 'autostart', file: '{path}', line: ",
            f"{good}what is this\n": "File contains parsing errors: line ",
            "[program:x]\n": f".ini file does not include supervisord section (file: '{path}')",
            None: f"could not find config file {path}",
            # A variable that only the environment= of before had.
            good.replace('ZZ="1"', 'YY="1"') + "command=%(ENV_ZZ)s\n": "Format string "
            "'%(ENV_ZZ)s' for 'program:new.command' contains the unknown name 'ENV_ZZ'",
        }
        for refused, (text, why) in enumerate(broken.items(), 1):
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
            assert refusal(running).startswith(why)
            running.signal(signal.SIGHUP)
            eventually(partial(refused_reloads, running, refused), "the refusal")
        assert pids(running, *"xyz") == before
        running.rpc.addProcessGroup("new")  # of the last file that made sense
        running.wait_for("new", "RUNNING")
        path.write_text(good)
        assert running.rpc.reloadConfig() == [[[], [], []]]


@pytest.mark.behaviour(
    "configuration.md#changes-of-a-group", "configuration.md#a-reread-changes-nothing-that-runs"
)
def test_update_touches_only_what_differs(tmp_path: Path) -> None:
    """By the client, as people do it."""
    ctl = [install(tmp_path / "bin"), "-c", str(tmp_path / "c.conf")]
    grouped = f"{XYZ}[program:m]\n{CAT}[program:n]\n{CAT}[group:g]\nprograms=m,n\n"
    with daemon(tmp_path, grouped) as running:
        for name in ("x", "y", "z", "g:m", "g:n"):
            running.wait_for(name, "RUNNING")
        x, y, z, m, n = pids(running, "x", "y", "z", "g:m", "g:n")
        changed = grouped.replace(f"[program:y]\n{CAT}", f"[program:y]\n{CAT}stopwaitsecs=11\n")
        changed = changed.replace(f"[program:z]\n{CAT}", "") + f"[program:new]\n{CAT}"
        write_config(tmp_path, changed)
        for _ in range(2):  # it changes nothing, so it says the same again
            assert run([*ctl, "reread"], cwd=tmp_path).out == (
                "new: available\ny: changed\nz: disappeared\n"
            )
        updated = run([*ctl, "update"], cwd=tmp_path)
        assert sorted(updated.out.splitlines()) == [
            "new: added process group",
            "y: stopped",
            "y: updated process group",
            "z: removed process group",
            "z: stopped",
        ]
        for name in ("y", "new"):
            running.wait_for(name, "RUNNING")
        assert pids(running, "x", "g:m", "g:n") == [x, m, n]
        assert running.pid("y") != y
        assert running.fault("getProcessInfo", "z") == 10
        assert not Path(f"/proc/{z}").exists()
        assert run([*ctl, "reread"], cwd=tmp_path).out == "No config updates to processes\n"
        assert run([*ctl, "update"], cwd=tmp_path).out == ""
        # Spelling alone is no change.
        spelled = changed.replace("stopwaitsecs=11", "stopwaitsecs = 011\nstopsignal=15")
        assert reread(running, spelled) == [[], [], []]


@pytest.mark.behaviour(
    "configuration.md#options-of-the-daemon-at-a-reread",
    "configuration.md#remarks-at-a-reread",
    "process.md#pidfile",
    "process.md#auto-logs",
)
def test_what_a_reread_means_for_the_daemon_itself(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    precious = other / "precious.pid"
    precious.write_text("not yours")
    with daemon(tmp_path, XYZ) as running:
        port = free_port()
        base = (
            BASE.replace("/sup.log", "/other/new.log")
            .replace("/sup.pid", "/other/precious.pid")
            .replace("[unix", "identifier=renamed\nminfds=1025\n[unix", 1)
        )
        server = f"[inet_http_server]\nport=127.0.0.1:{port}\n[include]\nfiles=none.conf\n"
        assert reread(running, XYZ + server, base) == [[], [], []]
        for line in (
            f'WARN No file matches via include "{tmp_path}/none.conf"',
            "INFO the new identifier is in force",
            "INFO changed, but a reload is needed: logfile, pidfile",
            "INFO changed, but a new start is needed: minfds",
        ):
            assert line in running.log
        assert reread(running, XYZ + server, base) == [[], [], []]
        assert running.log.count("No file matches") == running.log.count("is needed: minfds") == 1
        assert running.rpc.getIdentification() == "renamed"
        assert str(port) not in Path("/proc/net/tcp").read_text()
        assert f"127.0.0.1:{port}" not in running.log
        text = running.rpc.readLog(0, 0)
        assert isinstance(text, str)
        assert "a new start is needed: minfds" in text  # of the log that is written
        assert not (other / "new.log").exists()
        automatic = [
            path.name for path in tmp_path.iterdir() if "-stdout---supervisor-" in path.name
        ]
        assert running.stop() == 0
    assert len(automatic) == 3
    assert all((tmp_path / name).exists() for name in automatic)  # for a look afterwards
    assert not (tmp_path / "sup.pid").exists()
    assert precious.read_text() == "not yours"


@pytest.mark.behaviour(
    "configuration.md#a-reread-changes-nothing-that-runs",
    "process.md#restart-of-the-daemon",
    "configuration.md#reload-with-a-bad-configuration",
)
def test_a_reload_brings_in_what_a_reread_cannot(tmp_path: Path) -> None:
    """--check sees the daemon that runs."""
    with daemon(tmp_path, XYZ) as running:
        running.wait_for("x", "RUNNING")
        old = running.pid("x")
        base = BASE.replace("loglevel=debug", "loglevel=info\nminfds=1025\nnocleanup=true")
        write_config(tmp_path, f"[program:x]\n{CAT}[program:w]\n{CAT}", base=base)
        checked = run([install(tmp_path / "bin", "tsupervisord", "daemon:main"), "--check", "-c",
                       "c.conf"], cwd=tmp_path)  # fmt: skip
        assert checked.status == 0
        assert f"the daemon runs already: process {running.process.pid} (" in checked.out
        assert "is held by" not in checked.out  # what it holds is its own
        running.rpc.restart()
        eventually(lambda: running.log.count("supervisord started with pid") == 2, "the restart")
        again = Daemon(tmp_path, running.process)
        again.wait_for("w", "RUNNING")
        again.wait_for("x", "RUNNING")
        assert set(again.states()) == {"x:x", "w:w"}
        assert again.pid("x") != old
        assert (
            "WARN minfds has changed in the configuration, but not in the running daemon, which "
            "cannot change it: restart the daemon"
        ) in again.log
        assert "DEBG" not in again.log[again.log.rindex("cannot change it") :]


@pytest.mark.behaviour(
    "configuration.md#reload-with-a-bad-configuration", "process.md#restart-of-the-daemon"
)
@needs_root
def test_a_reload_keeps_the_user() -> None:
    with directory_of(NOBODY) as directory, daemon(directory, XYZ, user=NOBODY) as running:
        running.wait_for("x", "RUNNING")
        write_config(directory, XYZ, user="daemon")
        running.signal(signal.SIGHUP)
        eventually(lambda: running.log.count("supervisord started with pid") == 2, "the restart")
        assert (
            "CRIT user has changed in the configuration, but not in the running daemon"
            in running.log
        )
        again = Daemon(directory, running.process)
        again.wait_for("x", "RUNNING")
        status = Path(f"/proc/{again.pid('x')}/status").read_text()
        uids = re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)
        assert uids is not None
        assert int(uids[1]) == os.stat(directory).st_uid


DEAF = "command=/bin/sh -c \"trap '' TERM; echo deaf; while :; do sleep 1; done\"\n"


def test_changes_of_groups_wait_for_the_stop_of_another_client(tmp_path: Path) -> None:
    """It is under way: nothing is said to be stopped that lives, and nothing refused."""
    ctl = [install(tmp_path / "bin"), "-c", f"{tmp_path}/c.conf"]
    text = "".join(f"[program:{name}]\n{DEAF}stopwaitsecs=3\nkillasgroup=true\n" for name in "abc")
    with daemon(tmp_path, text) as running:
        for name in "abc":
            running.wait_for(name, "RUNNING")
            eventually(partial(running.rpc.readProcessLog, name, 0, 0), "a deaf child")
        a, b, c = pids(running, *"abc")
        changed = text.replace("[program:b]", "[program:b]\nstartsecs=0")
        write_config(tmp_path, changed.replace("[program:a]", "[program:new]"))
        for name in "abc":
            assert running.rpc.stopProcess(name, False) is True
        # Should the client come late, it says the same.
        assert run([*ctl, "update"], cwd=tmp_path) == (
            0,
            "a: stopped\na: removed process group\nb: stopped\nb: updated process group\n"
            "new: added process group\n",
            "",
        )
        assert run([*ctl, "remove", "c"], cwd=tmp_path) == (0, "c: removed process group\n", "")
        assert not any(Path(f"/proc/{pid}").exists() for pid in (a, b, c))
        running.wait_for("b", "RUNNING")
