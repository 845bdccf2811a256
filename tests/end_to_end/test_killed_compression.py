"""The daemon is killed while it compresses a rotated log: the next one finds every line once."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import re
import signal
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import install, run
from tests.kit.daemon import BASE, PATIENCE, daemon, eventually, wait_until_gone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kit.daemon import Daemon

FORMATS = ("raw", "prefix", "json")
#: Lines of a run, each with a number and text that is hard to compress.
LINES = 1000
#: For each line that it reads, writes a run of lines.
WRITER = f"""\
import hashlib, os, sys
for run in map(int, sys.stdin):
    for start in range(run * {LINES}, (run + 1) * {LINES}, 500):
        numbers = range(start, start + 500)
        text = "".join(f"{{n}} {{hashlib.sha256(b'%d' % n).hexdigest()}}\\n" for n in numbers)
        os.write(1, text.encode())
"""
EXTENDED = BASE.replace(
    "[supervisord]\n", "[supervisord]\nextended=true\nlog_answer_maxbytes=200MB\n"
).replace("loglevel=debug", "loglevel=info")
#: Runs after which a log was rotated twice: only backups before the newest are compressed, and a
#: busy disk may take a whole run at once.
RUNS = 2
#: Bytes of a compressed file that are read before the kill: more than its header.
BEGINNING = 100


def numbers(text: str, log_format: str) -> Iterator[int]:
    """The numbers of the lines of a log."""
    for record in text.splitlines():
        if log_format == "json":
            line = json.loads(record)["line"]
        elif log_format == "prefix":
            match = re.fullmatch(r"\S+Z prefix stdout (.*)", record)
            assert match is not None, record
            line = match[1]
        else:
            line = record
        number, digest = line.split(" ")
        assert len(digest) == 64
        yield int(number)


class Stuck:
    """A file that the compression of a log writes, and which takes only its beginning.

    It is a pipe without room for the rest, so the compression never ends.
    """

    def __init__(self, part: Path) -> None:
        self.part = part
        self.begun = b""
        os.mkfifo(part)
        self._reader = os.open(part, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, 4096)

    def wait(self) -> None:
        """Return when the compression is in the middle of the file."""
        eventually(self._has_begun, f"the compression into {self.part}")

    def leave(self) -> None:
        """Leave what was written, as a file."""
        while data := os.read(self._reader, 4096):  # its writer is gone
            self.begun += data
        os.close(self._reader)
        self.part.unlink()
        self.part.write_bytes(self.begun)

    def _has_begun(self) -> bool:
        with suppress(BlockingIOError):  # nothing more has been written
            self.begun += os.read(self._reader, BEGINNING)
        return len(self.begun) >= BEGINNING


def kill(running: Daemon) -> None:
    children = [running.pid(name) for name in FORMATS]
    running.signal(signal.SIGKILL)
    running.process.wait(PATIENCE)
    (running.directory / "sup.pid").unlink()  # that of the next one shows that it is ready
    for child in children:  # the next daemon must not write to a log beside them
        wait_until_gone(child)


def is_written(log: Path, last: str) -> bool:
    """Whether the log, or the file that was rotated last, ends with the line of this number."""
    for path in (log, log.with_name(f"{log.name}.1")):
        try:
            with path.open("rb") as file:
                file.seek(-min(300, path.stat().st_size), os.SEEK_END)
                if end := file.read():
                    return re.search(rf"\b{last} [0-9a-f]{{64}}".encode(), end) is not None
        except FileNotFoundError:
            continue  # a rotation is going on
    return False


@pytest.mark.behaviour("output.md#compressed-backups", "output.md#lines-in-records")
def test_every_line_is_found_once_after_kills_in_the_middle_of_a_compression(
    tmp_path: Path,
) -> None:
    (tmp_path / "writer.py").write_text(WRITER)
    text = "".join(
        f"[program:{name}]\ncommand={sys.executable} -S writer.py\ndirectory=%(here)s\n"
        f"log_format={name}\nstartsecs=0\nstdout_logfile=%(here)s/{name}.log\n"
        "stdout_logfile_maxbytes=50KB\nstdout_logfile_backups=999\nstdout_logfile_compress=gz\n"
        for name in FORMATS
    )
    client = install(tmp_path / "bin")

    def shown(name: str) -> list[int]:
        """The numbers of the lines that ``logs`` shows."""
        done = run([client, "-s", f"unix://{tmp_path}/s.sock", "logs", "--lines", "100000", name])
        assert (done.err, done.status) == ("", 0)
        return list(numbers(done.out, name))

    def write(running: Daemon, run: int) -> None:
        for name in FORMATS:
            running.wait_for(name, "RUNNING")
            running.rpc.sendProcessStdin(name, f"{run}\n")
        for name in FORMATS:
            log = tmp_path / f"{name}.log"
            last = str((run + 1) * LINES - 1)
            eventually(partial(is_written, log, last), f"the last line in {log}")

    runs = 0
    for name in FORMATS:
        with daemon(tmp_path, text, base=EXTENDED) as running:
            stuck = Stuck(tmp_path / f".{name}.log.gz.part")
            for _ in range(RUNS):
                write(running, runs)
                runs += 1
            stuck.wait()
            kill(running)
        stuck.leave()
    with daemon(tmp_path, text, base=EXTENDED) as running:
        for name in FORMATS:
            assert shown(name) == list(range(runs * LINES))
        write(running, runs)
        for name in FORMATS:
            eventually(partial(all_packed, tmp_path, name), "the compression of all")
            assert shown(name) == list(range((runs + 1) * LINES))
        assert running.stop() == 0
    for name in FORMATS:
        found = "".join(map(content, generations(tmp_path, name)))
        assert list(numbers(found, name)) == list(range((runs + 1) * LINES))
    assert list(tmp_path.glob(".*.part")) == []


def generations(directory: Path, name: str) -> list[Path]:
    """The files of a log, the oldest first."""
    backups = directory.glob(f"{name}.log.*")
    oldest = sorted(backups, key=lambda path: -int(path.name.split(".")[2]))
    return [*oldest, directory / f"{name}.log"]


def all_packed(directory: Path, name: str) -> bool:
    plain = {f"{name}.log", f"{name}.log.1"}
    files = {path.name for path in directory.iterdir() if path.name.startswith(f"{name}.log")}
    return plain == {file for file in files if not file.endswith(".gz")} and not list(
        directory.glob(".*.part")
    )


def content(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
