"""The journal in a file: it survives the daemon, and no disk or file does a program any harm."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import xmlrpc.client
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.test_full_disk import small_disk
from tests.kit.ctl import install, run
from tests.kit.daemon import BASE, UnixTransport, daemon, eventually
from tests.kit.root import needs_root
from tests.kit.strace import slow

if TYPE_CHECKING:
    from tests.kit.daemon import Daemon

WEB = "[program:web]\ncommand=/bin/cat\nstartsecs=0\n"
#: Fails with a line on stderr, again and again.
CRASH = (
    "[program:crash]\ncommand=/bin/sh -c 'echo no database >&2; exit 3'\n"
    "startsecs=0\nstartretries=1000\n"
)


def config(*lines: str) -> str:
    """The usual settings with these lines in [supervisord]."""
    added = "".join(f"{line}\n" for line in lines)
    assert "[supervisord]\n" in BASE
    return BASE.replace("[supervisord]\n", f"[supervisord]\n{added}")


def history(running: Daemon, *words: str) -> list[Any]:
    ctl = install(running.directory / "bin")
    ran = run([ctl, "-c", str(running.directory / "c.conf"), "history", "--json", *words])
    assert ran.status == 0, ran
    entries: list[Any] = json.loads(ran.out)["entries"]
    return entries


@pytest.mark.behaviour("journal.md#the-journal-on-disk", "journal.md#output-in-the-journal")
def test_it_survives_a_killed_daemon(tmp_path: Path) -> None:
    base = config("extended=true", "journal=%(here)s/journal", "journal_output=false")
    with daemon(tmp_path, WEB + CRASH, base=base) as running:
        running.wait_for("web", "RUNNING")
        ctl = install(tmp_path / "bin")
        assert run([ctl, "-c", str(tmp_path / "c.conf"), "stop", "web"]).status == 0
        running.wait_log("exited: crash")

        def on_disk() -> bool:
            script = (
                "import sqlite3, sys\n"
                "database = sqlite3.connect(sys.argv[1])\n"
                "print(*database.execute('SELECT new FROM entries'))"
            )
            command = [sys.executable, "-c", script, str(tmp_path / "journal")]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            return "('STOPPED',)" in done.stdout and "('EXITED',)" in done.stdout

        eventually(on_disk, "the entries in the file")
        before = history(running)
        running.signal(signal.SIGKILL)
        running.process.wait()
        (tmp_path / "sup.pid").unlink()
        (tmp_path / "s.sock").unlink(missing_ok=True)
    with daemon(tmp_path, WEB + CRASH, base=base) as running:
        running.wait_for("web", "RUNNING")
        after = history(running, "-n", "10000")
        numbers = [entry["number"] for entry in after]
        assert numbers == sorted(set(numbers))
        stopped = [entry for entry in after if entry["to"] == "STOPPED"]
        assert stopped == [entry for entry in before if entry["to"] == "STOPPED"]
        [first, second] = [entry for entry in after if entry["what"] == "daemon"]
        assert "after_crash" not in first["evidence"]
        assert second["evidence"]["after_crash"] is True
        assert second["number"] > before[-1]["number"]
        assert "no database" not in json.dumps(after)
        assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600

        # A reload goes on with the file.
        running.signal(signal.SIGHUP)
        started = "supervisord started with pid"
        eventually(lambda: running.log.count(started) == 3, "the reload")
        running.wait_for("web", "RUNNING")
        last = history(running, "--kind", "boot", "web")[-1]
        assert last["number"] > after[-1]["number"]
    assert "journal" not in running.log


@pytest.mark.behaviour("journal.md#the-file-of-the-journal-is-safe")
def test_two_daemons_with_one_file(tmp_path: Path) -> None:
    base = config("extended=true", f"journal={tmp_path}/journal")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with daemon(tmp_path / "one", WEB, base=base) as one:
        one.wait_for("web", "RUNNING")
        with daemon(tmp_path / "two", WEB, base=base) as two:
            two.wait_for("web", "RUNNING")
            pid = one.process.pid
            told = f"is not kept on disk: it is in use by another daemon, with pid {pid}"
            assert told in two.log
            assert {entry["process"] for entry in history(two)} == {"", "web"}


@pytest.mark.behaviour("journal.md#a-damaged-journal")
def test_a_damaged_file(tmp_path: Path) -> None:
    base = config("extended=true", "journal=%(here)s/journal")
    (tmp_path / "journal").write_bytes(os.urandom(10_000))
    with daemon(tmp_path, WEB, base=base) as running:
        running.wait_for("web", "RUNNING")
        assert "journal was damaged (file is not a database) and moved to" in running.log
        assert len(list(tmp_path.glob("journal.damaged-*"))) == 1
        assert history(running, "web")[-1]["to"] == "RUNNING"


@pytest.mark.behaviour("journal.md#full-and-hanging-disks")
def test_a_file_that_another_program_has_locked(tmp_path: Path) -> None:
    base = config("extended=true", "journal=%(here)s/journal")
    with daemon(tmp_path, WEB + CRASH, base=base) as running:
        running.wait_for("web", "RUNNING")
        script = (
            "import sqlite3, sys\n"
            "database = sqlite3.connect(sys.argv[1], timeout=30)\n"
            "database.execute('BEGIN IMMEDIATE')\n"
            "print('locked', flush=True)\n"
            "input()\n"
        )
        command = [sys.executable, "-c", script, str(tmp_path / "journal")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"locked\n"
            running.wait_log("cannot be written, tried again: database is locked")
            pid = running.pid("web")
            os.kill(pid, signal.SIGKILL)
            running.wait_for_another_child("web", pid)
            assert any(entry["to"] == "EXITED" for entry in history(running, "web"))
            other.communicate(b"\n")
        running.wait_log("is written again, 0 lost")


@pytest.mark.behaviour("journal.md#full-and-hanging-disks")
@needs_root
def test_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path, "300k") as disk:
        base = config("extended=true", f"journal={disk}/journal")
        filler = disk / "filler"
        with daemon(tmp_path, WEB + CRASH, base=base) as running:
            running.wait_for("web", "RUNNING")
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            ctl = [install(tmp_path / "bin"), "-c", str(tmp_path / "c.conf")]
            assert run([*ctl, "restart", "web"]).status == 0
            running.wait_log("cannot be written, tried again:")
            assert run([*ctl, "restart", "web"]).status == 0
            assert history(running, "web")[-1]["to"] == "RUNNING"
            filler.unlink()
            running.wait_log("is written again, 0 lost")
            assert running.state("web") == "RUNNING"


@pytest.mark.behaviour("journal.md#the-journal-on-disk")
def test_without_extended_there_is_no_file(tmp_path: Path) -> None:
    with daemon(tmp_path, WEB, base=config("journal=%(here)s/journal")) as running:
        running.wait_for("web", "RUNNING")
        assert "journal has no effect without extended = true" in running.log
        assert history(running, "web")[-1]["to"] == "RUNNING"
        maps = Path(f"/proc/{running.process.pid}/maps").read_text(encoding="ascii")
        assert "sqlite" not in maps
    assert not (tmp_path / "journal").exists()


#: A daemon that gives the file of the journal more time: a busy machine is no hanging disk.
PATIENT = """
import sys
if "trio_supervisor" in sys.orig_argv:
    from trio_supervisor.runtime.journal import disk
    disk.PATIENCE = disk.CLOSE_TIMEOUT = 60
"""


@pytest.mark.behaviour("journal.md#the-journal-on-disk")
def test_requests_during_a_slow_start_are_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of the file takes a second; the client connects as soon as there is a socket."""
    (tmp_path / "sitecustomize.py").write_text(PATIENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    base = config("extended=true", "journal=%(here)s/journal")

    def start() -> None:
        server = xmlrpc.client.ServerProxy(
            "http://localhost", transport=UnixTransport(str(tmp_path / "s.sock"))
        )

        def is_started() -> bool:
            try:
                return bool(server.supervisor.startProcess("web"))
            except OSError:
                return False

        eventually(is_started, "a started program")

    client = threading.Thread(target=start)
    client.start()
    with daemon(tmp_path, WEB + "autostart=false\n", base=base, within=slow("flock", 1)):
        client.join()
    with closing(sqlite3.connect(tmp_path / "journal")) as file:
        rows = list(file.execute("SELECT number, process, what FROM entries ORDER BY number"))
    assert rows[:3] == [(1, "", "daemon"), (2, "web", "request"), (3, "web", "state")]
