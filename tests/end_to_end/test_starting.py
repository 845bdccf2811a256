"""Starting, and failing to, with the real daemon."""

from __future__ import annotations

import fcntl
import sys
import tempfile
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import BARE, BASE, daemon, eventually, free_port
from tests.kit.root import NOBODY, directory_of, needs_root
from tests.kit.upgrading import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

SPAWN_ERROR = 50
#: A user whose processes are all of one test: the limit counts those of all programs.
LONELY = "uucp"


@contextmanager
def alone() -> Iterator[None]:
    """Wait for another run of the tests on this machine to end what it runs as this user."""
    with (Path(tempfile.gettempdir()) / f"trio-supervisor-test-{LONELY}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.behaviour("process.md#commands-that-cannot-be-executed")
@needs_root
def test_execute_permission_for_others_only() -> None:
    with directory_of(NOBODY) as directory:
        program = directory / "program"
        program.write_text("#!/bin/sh\nexec cat\n")
        program.chmod(0o700)  # of root
        text = f"[program:x]\ncommand={program}\nstartretries=0\n"
        with daemon(directory, text, user=NOBODY) as running:
            running.wait_for("x", "FATAL")
            error = f"no permission to run command '{program}'"
            assert running.info("x")["spawnerr"] == error
            assert f"INFO spawnerr: {error}" in running.log


@pytest.mark.behaviour(
    "process.md#spawn-failures-between-fork-and-exec",
    "configuration.md#settings-of-the-host-that-the-daemon-applies",
)
@needs_root
def test_a_user_change_that_is_refused() -> None:
    with directory_of(NOBODY) as directory:
        text = (
            "[program:other]\ncommand=/bin/cat\nuser=daemon\nstartretries=0\n"
            f"stderr_logfile={directory}/err\n"
            "[program:same]\ncommand=/bin/cat\nuser=nobody\nstartsecs=0\n"
        )
        with daemon(directory, text, user=NOBODY) as running:
            running.wait_for("other", "FATAL")
            running.wait_for("same", "RUNNING")
            assert (directory / "err").read_text() == (
                "supervisor: couldn't setuid to 1: Can't drop privilege as nonroot user\n"
                "supervisor: child process was not spawned\n"
            )


ENV = 'command=/bin/sh -c "echo $SUPERVISOR_SERVER_URL; exec cat"\nstartsecs=0\n'


@pytest.mark.behaviour("process.md#supervisor-variables")
@pytest.mark.parametrize(
    ("base", "option", "shown"),
    [
        (BASE, "serverurl=http://explicit:1", "http://explicit:1"),
        (BASE, "serverurl=auto", "unix://{here}/s.sock"),
        (BASE, "", "unix://{here}/s.sock"),
        (BARE + "[inet_http_server]\nport=*:{port}\n", "", "http://localhost:{port}"),
        (BARE, "", "http://outer"),
    ],
)
def test_the_server_url_of_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, option: str, shown: str
) -> None:
    monkeypatch.setenv("SUPERVISOR_SERVER_URL", "http://outer")
    out = tmp_path / "out"
    port = str(free_port())
    text = f"[program:x]\n{ENV}stdout_logfile={out}\n{option}\n"
    with daemon(tmp_path, text, base=base.replace("{port}", port)):
        eventually(lambda: out.exists() and out.read_bytes(), "the program's environment")
        assert out.read_text() == shown.format(here=tmp_path, port=port) + "\n"


@pytest.mark.behaviour("process.md#spawn-failures-before-the-child-exists")
def test_out_of_descriptors(tmp_path: Path) -> None:
    base = BASE.replace("loglevel=debug\n", "loglevel=debug\nminfds=60\n")
    text = (
        "[program:many]\ncommand=/bin/sleep 1000\nnumprocs=40\nstartretries=2\nstartsecs=0\n"
        "process_name=%(process_num)02d\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
    )
    within = ["prlimit", "--nofile=60:60"]
    with daemon(tmp_path, text, within=within, base=base) as running:
        running.wait_for("many:39", "FATAL")
        eventually(
            lambda: set(running.states().values()) == {"RUNNING", "FATAL"}, "all having an end"
        )
        assert running.state("many:00") == "RUNNING"
        log = running.log
        assert log.count("INFO spawnerr: too many open files to spawn '39'") == 3
        assert "internal error" not in log
        assert running.stop() == 0


@pytest.mark.behaviour("process.md#spawn-failures-before-the-child-exists")
@needs_root
def test_out_of_process_slots() -> None:
    """The limit counts the threads of the daemon too; those that wait are not kept for ever."""
    with alone(), directory_of(LONELY) as directory:
        base = BASE.replace("loglevel=debug\n", "loglevel=debug\nminprocs=6\n")
        text = (
            "[program:many]\ncommand=/bin/sleep 1000\nnumprocs=40\nstartretries=1\nstartsecs=0\n"
            "process_name=%(process_num)d\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
        )
        within = ["prlimit", "--nproc=30:30"]  # far more than the daemon has threads
        with daemon(directory, text, within=within, base=base, user=LONELY) as running:
            eventually(
                lambda: set(running.states().values()) == {"RUNNING", "FATAL"}, "all having an end"
            )
            assert running.state("many:0") == "RUNNING"
            log = running.log
            assert "INFO spawnerr: Too many processes in process table to spawn '39'" in log
            assert "internal error" not in log
            assert running.stop() == 0


@pytest.mark.behaviour("process.md#spawn-failures-before-the-child-exists")
def test_a_log_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "taken").mkdir()
    names = {
        "gone": (tmp_path / "sub" / "x.log", "ENOENT"),
        "taken": (tmp_path / "taken", "EISDIR"),
    }
    text = "".join(
        f"[program:{name}]\ncommand=/bin/cat\nautostart=false\nstartretries=0\nstdout_logfile={log}\n"
        for name, (log, _) in names.items()
    )
    with daemon(tmp_path, text) as running:
        (tmp_path / "sub").rmdir()
        running.wait_for("gone", "STOPPED")  # it answers: all that it opens for itself is open
        before = running.descriptors
        for name, (_, errno_name) in names.items():
            for _ in range(15):
                assert running.fault("startProcess", name) == SPAWN_ERROR
            running.wait_for(name, "FATAL")
            assert running.info(name)["spawnerr"] == (
                f"unknown error making dispatchers for '{name}': {errno_name}"
            )
        eventually(lambda: running.descriptors <= before, "no descriptor left")


@pytest.mark.behaviour("process.md#crash-loops-are-paced")
def test_a_crash_loop_next_to_a_chatty_program(tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text(
        "import time\nwhile True:\n    print(1, flush=True)\n    time.sleep(0.002)\n"
    )
    text = (
        f"[program:chatty]\ncommand={sys.executable} -S {tmp_path}/chatty.py\nstartsecs=0\n"
        "[program:x]\ncommand=/bin/true\nstartsecs=0\nautorestart=true\n"
    )
    with daemon(tmp_path, text) as running:
        spawns = eventually(
            lambda: len(running.times("spawned: 'x'")) >= 4 and running.times("spawned: 'x'"),
            "four spawns",
        )
        assert isinstance(spawns, list)
        gaps = [later - earlier for earlier, later in pairwise(spawns)]
        assert all(gap > 0.98 for gap in gaps)  # the log cuts off fractions of a millisecond


#: Has an open descriptor that programs would inherit, and executes the daemon.
LEAK = """\
import os, sys
os.dup2(0, 77)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.behaviour("process.md#descriptors-of-a-child")
def test_a_child_has_no_descriptor_of_the_daemon_or_of_its_starter(tmp_path: Path) -> None:
    """Nor after an upgrade, whose next program has inherited those of children and clients."""
    out = tmp_path / "out"
    text = (
        "[program:x]\ncommand=/bin/sh -c 'ls /proc/self/fd; exec cat'\nstartsecs=0\n"
        f"stdout_logfile={out}\n[program:y]\ncommand=/bin/cat\nstartsecs=0\n"
    )
    its_own = "0\n1\n2\n3\n"  # the last one is the listing's
    with daemon(tmp_path, text, within=[sys.executable, "-c", LEAK]) as running:
        running.wait_for("y", "RUNNING")
        eventually(lambda: out.exists() and len(out.read_text()) >= len(its_own), "the listing")
        assert out.read_text() == its_own
        upgrade(running)
        running.rpc.stopProcess("x")
        running.rpc.startProcess("x")
        eventually(lambda: len(out.read_text()) >= 2 * len(its_own), "the next listing")
        assert out.read_text() == 2 * its_own
