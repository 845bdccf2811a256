"""Logs on a file system that is really full."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import BASE, PATIENCE, daemon, eventually
from tests.kit.root import needs_root

if TYPE_CHECKING:
    from collections.abc import Iterator

LINES = 3000
#: Writes numbered lines of 90 bytes, more than the disk holds, then one for each line it is sent.
WRITER = f"""\
import os, sys
for number in range({LINES}):
    os.write(1, b"%089d\\n" % number)
open("written", "w").close()
for line in sys.stdin:
    os.write(1, line.encode())
"""


@contextmanager
def small_disk(directory: Path, size: str = "64k") -> Iterator[Path]:
    """A file system of 64 KiB, or another size."""
    mount = directory / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", mount], check=True, timeout=PATIENCE)


def written(disk: Path) -> bytes:
    """The log, with what was rotated before it; nothing while it is being rotated."""
    try:
        return b"".join(path.read_bytes() for path in sorted(disk.iterdir(), reverse=True))
    except FileNotFoundError:
        return b""


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
@needs_root
@pytest.mark.parametrize("rotation", ["maxbytes=0", "maxbytes=40KB\nstdout_logfile_backups=5"])
def test_a_child_log_on_a_full_disk(tmp_path: Path, rotation: str) -> None:
    (tmp_path / "writer.py").write_text(WRITER)
    with small_disk(tmp_path) as disk:
        log = disk / "x.log"
        text = (
            f"[program:x]\ncommand={sys.executable} -u -S writer.py\ndirectory={tmp_path}\n"
            f"startsecs=0\nstdout_logfile={log}\nstdout_logfile_{rotation}\n"
            "[program:other]\ncommand=/bin/cat\nstartsecs=0\nstdout_logfile=%(here)s/other\n"
        )
        base = BASE.replace("loglevel=debug", "loglevel=info")
        with daemon(tmp_path, text, base=base) as running:
            eventually((tmp_path / "written").exists, "all lines written")
            full = f"ERRO cannot write log {log}: No space left on device"
            running.wait_log(full)
            assert running.state("x") == "RUNNING"
            running.rpc.sendProcessStdin("other", "here\n")
            other = tmp_path / "other"
            eventually(lambda: other.read_text() == "here\n", "the other log")
            kept = sum(path.stat().st_size for path in disk.iterdir())
            for path in disk.iterdir():
                path.write_bytes(b"")
            running.rpc.sendProcessStdin("x", "back\n")
            eventually(lambda: written(disk).endswith(b"back\n"), "the log's return")
            # Some lines may have been on their way when there was room again, even many.
            rest = written(disk).removesuffix(b"back\n")
            eventually(lambda: "works again" in running.log, "the report")
            found = re.findall(
                rf"INFO log {log} works again; (\d+) bytes were dropped", running.log
            )
            assert sum(map(int, found)) == LINES * 90 - kept - len(rest)
            assert running.log.count(full) == len(found) == 1
            assert (tmp_path / "stderr").read_text() == ""
            assert running.stop() == 0


@pytest.mark.behaviour(
    "process.md#slow-full-and-broken-disks", "process.md#the-activity-log-never-blocks-the-daemon"
)
@needs_root
def test_the_activity_log_on_a_full_disk(tmp_path: Path) -> None:
    """Its copy on stdout has everything, and what happens goes on."""
    with small_disk(tmp_path) as disk:
        log = disk / "sup.log"
        base = BASE.replace("%(here)s/sup.log", str(log))
        text = "[program:x]\ncommand=/bin/cat\nstartsecs=0\n"
        with daemon(tmp_path, text, base=base) as running:
            out = tmp_path / "stdout"
            running.wait_for("x", "RUNNING")
            full = f"ERRO cannot write log {log}: No space left on device"
            while full not in out.read_text():  # loglevel=debug repeats what it writes
                running.rpc.sendProcessStdin("x", "x" * 1000 + "\n")
            pid = running.pid("x")
            running.rpc.stopProcess("x")
            running.rpc.startProcess("x")
            assert running.pid("x") != pid
            log.write_bytes(b"")
            running.rpc.stopProcess("x")
            eventually(lambda: "works again" in log.read_text(), "the report")
            assert running.stop() == 0
        assert out.read_text().count(full) == 1
        assert (tmp_path / "stderr").read_text() == ""
        assert "received SIGTERM" in log.read_text()
