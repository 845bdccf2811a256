"""Logs on a file system that is really frozen, as a snapshot of a machine does it."""

from __future__ import annotations

import signal
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

SPAWN_ERROR = 50
FAILED = 30

#: Writes numbered lines until there is a file, then how many they were.
WRITER = """\
import os, sys, time
number = 0
while not os.path.exists(sys.argv[1]):
    os.write(1, b"%d\\n" % number)
    number += 1
    time.sleep(0.001)
open(sys.argv[1] + ".count", "w").write(str(number))
os.read(0, 1)
"""


class Disk:
    def __init__(self, image: Path, mount: Path) -> None:
        self.mount = mount
        image.write_bytes(b"")
        run("truncate", "-s", "16M", image)
        run("mkfs.ext4", "-q", "-F", image)
        mount.mkdir()
        run("mount", "-o", "loop", image, mount)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        run("fsfreeze", "--freeze", self.mount)
        try:
            yield
        finally:
            run("fsfreeze", "--unfreeze", self.mount)

    def close(self) -> None:
        run("umount", "--lazy", self.mount)


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)


@contextmanager
def disk(directory: Path) -> Iterator[Disk]:
    try:
        made = Disk(directory / "image", directory / "disk")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    try:
        yield made
    finally:
        made.close()


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
@needs_root
def test_a_frozen_disk_holds_up_only_those_who_log_there(tmp_path: Path) -> None:
    (tmp_path / "writer.py").write_text(WRITER)
    writer = f"command={sys.executable} -S writer.py %(here)s/done\ndirectory={tmp_path}\n"
    with disk(tmp_path) as there:
        (there.mount / "old").write_text("old")
        text = (
            f"[program:there]\n{writer}stdout_logfile={there.mount}/log\nstartsecs=0\n"
            f"[program:more]\n{writer}stdout_logfile={there.mount}/more\nautostart=false\n"
            f"[program:old]\n{writer}stdout_logfile={there.mount}/old\nautostart=false\n"
            "[program:here]\ncommand=/bin/cat\nstartsecs=0\nstdout_logfile=%(here)s/here\n"
        )
        with daemon(tmp_path, text) as running:
            log = there.mount / "log"
            eventually(lambda: log.exists() and log.stat().st_size > 100, "a log")
            with there.frozen():
                size = log.stat().st_size
                for number in range(20):
                    running.rpc.sendProcessStdin("here", f"{number}\n")
                here = tmp_path / "here"
                eventually(lambda: here.read_text().endswith("\n19\n"), "the other log")
                assert running.fault("startProcess", "more") == SPAWN_ERROR
                assert "ETIMEDOUT" in str(running.info("more")["spawnerr"])
                running.rpc.stopProcess("more")
                for name in ("old", "there"):
                    assert running.fault("clearProcessLogs", name) == FAILED
                assert running.state("there") == "RUNNING"
                assert log.stat().st_size == size
            (tmp_path / "done").touch()
            noted = tmp_path / "done.count"
            count = int(eventually(lambda: noted.exists() and noted.read_text(), "the count") or 0)
            # The clearing of above was done when the disk came back; after it nothing is lost.
            eventually(lambda: log.read_text().endswith(f"\n{count - 1}\n"), "the last line")
            lines = log.read_text().split()
            assert lines == [str(n) for n in range(int(lines[0]), count)]
            assert running.stop() == 0


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
@needs_root
def test_a_daemon_ends_although_a_disk_is_frozen(tmp_path: Path) -> None:
    """In order; only its last thread stays in the kernel's hands until the disk is back."""
    (tmp_path / "writer.py").write_text(WRITER)
    with disk(tmp_path) as there:
        text = (
            f"[program:there]\ncommand={sys.executable} -S writer.py %(here)s/done\n"
            f"directory={tmp_path}\nstdout_logfile={there.mount}/log\nstartsecs=0\n"
        )
        base = BASE.replace("%(here)s/sup.log", f"{there.mount}/sup.log")
        with daemon(tmp_path, text, base=base) as running:
            running.wait_for("there", "RUNNING")
            with there.frozen():
                assert "RUNNING" in str(running.rpc.getState())
                running.signal(signal.SIGTERM)
                eventually(lambda: not (tmp_path / "sup.pid").exists(), "the orderly end")
            assert running.process.wait(PATIENCE) == 0


@pytest.mark.behaviour("output.md#disks-that-are-slow-when-the-daemon-ends")
@needs_root
def test_a_daemon_reports_what_a_frozen_disk_has_not_got(tmp_path: Path) -> None:
    (tmp_path / "writer.py").write_text(WRITER)
    with disk(tmp_path) as there:
        text = (
            f"[program:there]\ncommand={sys.executable} -S writer.py %(here)s/done\n"
            f"directory={tmp_path}\nstdout_logfile={there.mount}/log\nstartsecs=0\n"
        )
        log = there.mount / "log"
        with daemon(tmp_path, text) as running:
            eventually(lambda: log.exists() and log.stat().st_size > 100, "a log")
            with there.frozen():
                (tmp_path / "done").touch()
                noted = tmp_path / "done.count"
                count = int(eventually(lambda: noted.exists() and noted.read_text(), "the count"))
                missing = sum(len(f"{number}\n") for number in range(count)) - log.stat().st_size
                running.signal(signal.SIGTERM)
                told = "bytes are not written before the end, because its disk does not answer"
                running.wait_log(f"log {log}: {missing} {told}")
            assert running.process.wait(PATIENCE) == 0
