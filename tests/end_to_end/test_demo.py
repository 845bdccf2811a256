"""``tsupervisord --demo``: what it promises in its first lines."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.kit.daemon import PATIENCE, eventually


def test_the_demo_shows_itself_and_leaves_nothing_behind(tmp_path: Path) -> None:
    log = tmp_path / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "trio_supervisor", "--demo"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
    try:
        eventually(lambda: "Ctrl-C stops everything" in log.read_text(), "the welcome")
        text = log.read_text()
        match = re.search(r"^  (\S*tsupervisorctl -c \S+) status$", text, re.MULTILINE)
        assert match is not None
        client = shlex.split(match[1])

        def status() -> str:
            return subprocess.run(
                [*client, "status"], capture_output=True, text=True, check=False
            ).stdout

        eventually(lambda: re.search(r"hopeless +FATAL", status()), "hopeless being FATAL")
        eventually(lambda: re.search(r"^web +RUNNING", status(), re.MULTILINE), "the web server")
        for name in ("worker:worker_0", "worker:worker_1"):  # they wait for the web server
            running = rf"^{name} +RUNNING"
            eventually(lambda: re.search(running, status(), re.MULTILINE), name)  # noqa: B023  # it ends in the loop
        for name in ("web", "listener"):
            assert re.search(rf"^{name} +RUNNING", status(), re.MULTILINE), status()
        eventually(lambda: re.search(r"heard: crasher +EXITED", log.read_text()), "the crash")
        eventually(lambda: re.search(r"crasher +(STARTING|RUNNING)", status()), "the restart")
        for url, expected in zip(
            re.findall(r"http://127\.0\.0\.1:\d+/", text),
            ("Served by a supervised", "crasher"),
            strict=True,
        ):
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                assert expected in answer.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    assert "nothing is left behind" in log.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["output"]
