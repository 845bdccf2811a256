"""A program that the kernel kills for lack of memory says so everywhere, except in the log."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import xmlrpc.client
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import install, run
from tests.kit.curl import send
from tests.kit.daemon import UnixTransport, daemon, eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The kernel ends it, and not the daemon, because it asks for that.
HOG = """
with open("/proc/self/oom_score_adj", "w") as file:
    file.write("1000")
b"x" * 2**30
"""
CONFIG = f"""
[inet_http_server]
port=127.0.0.1:{{port}}
[program:hog]
command={sys.executable} hog.py
directory=%(here)s
startsecs=0
autostart=false
autorestart=false
[program:other]
command=/bin/cat
startsecs=0
autostart=false
autorestart=false
"""
#: Room for the daemon, none for ``hog``.
LIMIT = 256 * 1024 * 1024
TOLD = "terminated by SIGKILL; killed for lack of memory"


@contextlib.contextmanager
def limited_memory() -> Iterator[Path]:
    """A new memory cgroup with a limit; skips the test where it cannot be made."""
    root = Path("/sys/fs/cgroup")
    v1 = root / "memory"
    made = (v1 if v1.is_dir() else root) / f"trio-supervisor-test-{os.getpid()}"
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        try:
            if v1.is_dir():
                (made / "memory.limit_in_bytes").write_text(f"{LIMIT}")
                counts = "oom_kill " in (made / "memory.oom_control").read_text()
            else:
                (made / "memory.max").write_text(f"{LIMIT}")
                counts = "oom_kill " in (made / "memory.events").read_text()
            with contextlib.suppress(OSError):  # there is no swap
                swap = "memory.memsw.limit_in_bytes" if v1.is_dir() else "memory.swap.max"
                (made / swap).write_text(f"{LIMIT}" if v1.is_dir() else "0")
        except OSError as error:
            pytest.skip(f"no limit of memory can be set here: {error}")
        if not counts:
            pytest.skip("this kernel does not count such kills for each cgroup")
        yield made
    finally:

        def remove() -> bool:
            with contextlib.suppress(OSError):
                made.rmdir()
            return not made.exists()

        eventually(remove, "the cgroup is empty")


@pytest.mark.behaviour("process.md#killed-for-lack-of-memory")
def test_killed_for_lack_of_memory(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "hog.py").write_text(HOG)
    with (
        limited_memory() as cgroup,
        daemon(tmp_path, CONFIG.replace("{port}", str(port))) as running,
    ):
        try:
            (cgroup / "cgroup.procs").write_text(str(running.process.pid))
        except OSError as error:
            pytest.skip(f"the daemon cannot be moved to another cgroup: {error}")
        for name in ("hog", "other"):
            running.rpc.startProcess(name)
        running.wait_for("hog", "EXITED")
        os.kill(running.pid("other"), signal.SIGKILL)  # a person, not the kernel
        running.wait_for("other", "EXITED")

        server = xmlrpc.client.ServerProxy(
            "http://localhost", transport=UnixTransport(str(tmp_path / "s.sock"))
        )
        for name, described in (("hog", TOLD), ("other", "terminated by SIGKILL")):
            details = server.tsupervisor.getProcessDetails(name)
            assert isinstance(details, dict)
            assert details["last_exit"]["description"] == described
            assert details["reason"] == f"ended by itself: {described} (not expected)"
            assert f"exited: {name} (terminated by SIGKILL; not expected)" in running.log
        assert "lack of memory" not in running.log

        program = install(tmp_path / "bin")
        for command in (("status", "-v", "hog"), ("why", "hog"), ("history", "hog")):
            assert TOLD in run([program, "-c", "c.conf", *command], cwd=tmp_path).out, command
        for page in ("", "history.html?processname=hog"):
            assert TOLD in send(f"http://127.0.0.1:{port}/{page}").body(), page
