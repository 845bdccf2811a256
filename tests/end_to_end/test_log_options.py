"""Formats and files of logs with the real daemon."""

from __future__ import annotations

import gzip
import json
import re
import stat
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import install, run
from tests.kit.daemon import BASE, daemon, eventually

if TYPE_CHECKING:
    from pathlib import Path

LINES = 500
#: Writes numbered lines in pieces that end anywhere but at the end of a line, then a line without
#: an end.
PIECES = f"""\
import os, sys
text = b"".join(b"%s %d\\n" % (sys.argv[1].encode(), n) for n in range({LINES}))
for start in range(0, len(text), 7):
    os.write(1, text[start:start + 7])
os.write(1, b"no end")
"""
EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\nlog_format=json\n")
PREFIX = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\S+) (stdout|stderr) (.*)")


@pytest.mark.behaviour(
    "output.md#lines-in-records",
    "output.md#the-default-of-all-programs",
    "output.md#raw-logs",
    "output.md#the-format-prefix",
    "output.md#lines-without-an-end",
)
def test_formats_of_several_programs(tmp_path: Path) -> None:
    """Two programs share the daemon's stdout, and none of their lines mix."""
    (tmp_path / "pieces.py").write_text(PIECES)
    program = f"command={sys.executable} -S pieces.py %(program_name)s\ndirectory=%(here)s\n"
    program += "startsecs=0\nautorestart=false\n"
    shared = "stdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n"
    text = (
        f"[program:one]\n{program}{shared}"
        f"[program:two]\n{program}{shared}"
        f"[program:prefix]\n{program}stdout_logfile=%(here)s/prefix.log\nlog_format=prefix\n"
        "stdout_logfile_maxbytes=5000\nstdout_logfile_backups=50\n"
        f"[program:raw]\n{program}stdout_logfile=%(here)s/raw.log\nlog_format=raw\n"
    )
    with daemon(tmp_path, text, base=EXTENDED) as running:
        names = ("one", "two", "prefix", "raw")
        eventually(lambda: all(running.state(name) == "EXITED" for name in names), "all ended")
        assert running.stop() == 0
    raw = "".join(f"raw {n}\n" for n in range(LINES)) + "no end"
    assert (tmp_path / "raw.log").read_text() == raw
    found = [PREFIX.fullmatch(line) for line in rotated(tmp_path / "prefix.log").splitlines()]
    assert [match and match.groups() for match in found] == [
        *(("prefix", "stdout", f"prefix {n}") for n in range(LINES)),
        ("prefix", "stdout", "no end"),
    ]
    lines = [
        line for line in (tmp_path / "stdout").read_text().splitlines() if line.startswith("{")
    ]
    records = [json.loads(line) for line in lines]
    for name in ("one", "two"):
        own = [record for record in records if record["program"] == name]
        assert [record["line"] for record in own] == [
            *(f"{name} {n}" for n in range(LINES)),
            "no end",
        ]
        assert len({record["pid"] for record in own}) == 1


def rotated(log: Path) -> str:
    """The log with its backups, oldest first."""
    backups = sorted(log.parent.glob(f"{log.name}.*"), key=lambda p: -int(p.suffix[1:]))
    assert backups
    return "".join(path.read_text() for path in [*backups, log])


@pytest.mark.behaviour("output.md#lines-in-records", "process.md#rotation-by-size")
def test_programs_that_share_a_file_share_its_rotations(tmp_path: Path) -> None:
    (tmp_path / "pieces.py").write_text(PIECES)
    names = ("one", "two", "three")
    log = tmp_path / "shared.log"
    text = "".join(
        f"[program:{name}]\ncommand={sys.executable} -S pieces.py {name}\ndirectory=%(here)s\n"
        f"startsecs=0\nautorestart=false\nstdout_logfile={log}\nstdout_logfile_maxbytes=3000\n"
        "stdout_logfile_backups=99\n"
        for name in names
    )
    with daemon(tmp_path, text, base=EXTENDED) as running:
        eventually(lambda: set(running.states().values()) == {"EXITED"}, "all ended")
        assert running.stop() == 0
    records = [json.loads(line) for line in rotated(log).splitlines()]
    for name in names:
        own = [record["line"] for record in records if record["program"] == name]
        assert own == [*(f"{name} {n}" for n in range(LINES)), "no end"]


@pytest.mark.behaviour("output.md#missing-directories-of-logs", "output.md#permissions-of-logs")
def test_directories_and_permissions_of_logs(tmp_path: Path) -> None:
    log, other = tmp_path / "a/b/x.log", tmp_path / "other.log"
    other.touch(mode=0o600)
    text = (
        "[program:x]\ncommand=/bin/cat\nstartsecs=0\ncreate_log_dirs=true\n"
        f"stdout_logfile={log}\nstdout_logfile_mode=0666\nstdout_logfile_maxbytes=10\n"
        f"stderr_logfile={other}\nstderr_logfile_mode=0640\n"
    )
    with daemon(tmp_path, text, base=EXTENDED.replace("log_format=json\n", "")) as running:
        running.wait_for("x", "RUNNING")
        running.rpc.sendProcessStdin("x", "0123456789\n")
        eventually(lambda: log.with_name("x.log.1").exists() and log.exists(), "the rotation")
        running.wait_log("spawned: 'x'")
        files = (log, log.with_name("x.log.1"), other)
        eventually(lambda: [mode(path) for path in files] == [0o666, 0o666, 0o640], "the modes")
        assert mode(log.parent) == 0o755
    with_umask = tmp_path / "sup.log"
    assert mode(with_umask) == 0o644


def holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.behaviour("output.md#compressed-backups")
def test_compressed_backups(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    text = (
        f"[program:x]\ncommand=/bin/cat\nstartsecs=0\nstdout_logfile={log}\n"
        "stdout_logfile_maxbytes=10\nstdout_logfile_compress=gz\n"
    )
    lines = [f"line number {n}\n" for n in range(4)]
    with daemon(tmp_path, text, base=EXTENDED.replace("log_format=json\n", "")) as running:
        running.wait_for("x", "RUNNING")
        for line in lines:
            running.rpc.sendProcessStdin("x", line)
            newest = log.with_name("x.log.1")
            eventually(partial(holds, newest, line), line)
        packed = [log.with_name(f"x.log.{n}.gz") for n in (2, 3, 4)]
        eventually(lambda: all(path.exists() for path in packed), "the compression")
        eventually(lambda: not log.with_name("x.log.2").exists(), "the plain file being gone")
        client = install(tmp_path / "bin")
        shown = run([client, "-s", f"unix://{tmp_path}/s.sock", "logs", "x"])
    assert shown.out == "".join(lines)
    assert [gzip.decompress(path.read_bytes()).decode() for path in packed] == lines[2::-1]


@pytest.mark.behaviour("output.md#the-format-json")
def test_short_lines_in_a_format_that_makes_many_times_as_much_of_them(tmp_path: Path) -> None:
    """The program waits for the disk, as without a format; nothing is dropped."""
    count = 200_000
    code = f"import os, time; os.write(1, b'\\n' * {count}) == {count} and time.sleep(1000)"
    log = tmp_path / "x.log"
    text = f'[program:x]\ncommand={sys.executable} -S -c "{code}"\nstdout_logfile={log}\n'
    text += "stdout_logfile_maxbytes=0\n"
    with daemon(tmp_path, text, base=EXTENDED) as running:
        eventually(lambda: log.exists() and log.read_bytes().count(b"\n") == count, "all lines")
        assert "dropped" not in running.log
