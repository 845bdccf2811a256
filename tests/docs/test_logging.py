"""The examples of docs/logging.md: requests, commands, lines and rotated files are as shown."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kit.ctl import environment
from tests.kit.curl import curl
from tests.kit.daemon import BASE, PATIENCE, daemon, eventually, free_port
from tests.kit.docs import blocks, sessions, shows
from tests.kit.machine import PLACES
from tests.kit.reader import Reader

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "logging.md"
EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
PROGRAM = """\
[inet_http_server]
port=127.0.0.1:{port}
[program:web]
command=/bin/sh -c 'echo status=200; echo status=503 >&2; exec cat'
stdout_logfile=%(here)s/out
stderr_logfile=%(here)s/err
"""


def example(text: str) -> str:
    """The configuration with this text."""
    (found,) = [block for block in blocks(PAGE, "ini") if text in block]
    return found


def test_the_lines_of_a_log_by_curl(tmp_path: Path) -> None:
    commands = "\n".join(blocks(PAGE, "sh")).splitlines()
    lines, search = (command for command in commands if command.startswith("curl"))
    port = free_port()
    with daemon(tmp_path, PROGRAM.format(port=port)) as running:
        running.wait_for("web", "RUNNING")
        eventually(lambda: len(curl(lines, port).json()["lines"]) == 2, "both lines")
        found = curl(lines, port).json()
        assert {line["line"]: line["output"] for line in found["lines"]} == {
            "status=200": "stdout",
            "status=503": "stderr",
        }
        assert all(line["time"] >= line["earliest"] > 0 for line in found["lines"])
        assert found["first"]
        assert found["last"]
        earlier = lines.replace("?", f"?before={found['before']}&")
        assert curl(earlier, port).json()["lines"] == []
        (match,) = curl(search, port).json()["matches"]
        assert match["line"]["line"] == "status=503"
        around = lines.replace("?", f"?around={match['line']['place']}&")
        assert len(curl(around, port).json()["lines"]) == 2


def test_the_lines(tmp_path: Path) -> None:
    (prefixed,) = [text for text in blocks(PAGE, "text") if " worker stdout " in text]
    (objects,) = [text for text in blocks(PAGE, "text") if text.startswith('{"time"')]
    worker = example("log_format = prefix").replace("/srv/app/worker", "/bin/echo job 17 done")
    web = example("log_format = json").partition("\n\n")[2]
    lines = [json.loads(line)["line"] for line in objects.splitlines()]
    command = f'/bin/sh -c "{"; ".join(f"echo {line}" for line in lines)}; sleep 1000"'
    web = web.replace("/srv/app/web", command).replace("/dev/stdout", f"{tmp_path}/web.log")
    end = "stdout_logfile = %(here)s/worker.log\nstartsecs = 0\nautorestart = false\n"
    config = f"{worker}{end}{web}log_format = json\n"
    with daemon(tmp_path, config, base=EXTENDED):
        for name, text in (("worker", prefixed), ("web", objects)):
            eventually(partial(has, tmp_path / f"{name}.log", text), text)


def has(log: Path, text: str) -> bool:
    return log.exists() and shows(text, log.read_text())


def test_the_commands(tmp_path: Path) -> None:
    config = "[program:web]\ncommand=/bin/sh -c 'echo status=500; sleep 1000'\n"
    config += "[program:worker]\ncommand=/bin/sh -c 'echo at work; sleep 1000'\n"
    journal = [command for command, _ in sessions(PAGE) if command.startswith("journalctl")]
    with daemon(tmp_path, config) as running:
        (tmp_path / "supervisord.conf").symlink_to("c.conf")
        for name in ("web", "worker"):
            eventually(partial(running.rpc.readProcessStdoutLog, name, 0, 0), "its output")
        running.wait_for("web", "RUNNING")
        reader = Reader(tmp_path)
        for command, _ in sessions(PAGE):
            if command in journal:
                continue  # tests/end_to_end reads the entries of a real systemd-journald
            follows = " -f " in command
            with subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                cwd=tmp_path,
                env=environment(PATH=reader.path),
                stdout=subprocess.PIPE,
                text=True,
            ) as process:
                assert process.stdout is not None
                try:
                    assert "status=500" in (
                        process.stdout.readline() + process.stdout.readline()
                        if follows
                        else process.stdout.read()
                    ), command
                    if not follows:
                        assert process.wait(PATIENCE) == 0
                finally:
                    process.terminate()


def test_logrotate(tmp_path: Path) -> None:
    logrotate = shutil.which("logrotate", path=PLACES)
    if logrotate is None:
        pytest.skip("there is no logrotate (Debian: apt-get install logrotate)")
    (rotation,) = [text for text in blocks(PAGE, "text") if "postrotate" in text]
    rotation = rotation.replace("/var/log/app", str(tmp_path))
    (tmp_path / "rotation").write_text(rotation)
    (tmp_path / "rotation").chmod(0o644)
    web = example("/var/log/app/web.log\nstdout_logfile_maxbytes = 0")
    command = "/bin/sh -c 'while :; do echo line; sleep 0.05; done'"
    web = web.replace("/srv/app/web", command).replace("/var/log/app", str(tmp_path))
    with daemon(tmp_path, web) as running:
        (tmp_path / "supervisord.conf").symlink_to("c.conf")
        running.wait_for("web", "RUNNING")
        reader = Reader(tmp_path)
        done = reader.run(f"{logrotate} --force --state {tmp_path}/state {tmp_path}/rotation")
        assert (done.status, done.err) == (0, "")
        assert (tmp_path / "web.log.1").exists()
        eventually(lambda: "line" in (tmp_path / "web.log").read_text(), "lines in the new file")
