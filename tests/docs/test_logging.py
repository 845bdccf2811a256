"""The requests that the page about logging shows are answered as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.kit.curl import curl
from tests.kit.daemon import daemon, eventually, free_port
from tests.kit.docs import blocks

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """\
[inet_http_server]
port=127.0.0.1:{port}
[program:web]
command=/bin/sh -c 'echo status=200; echo status=503 >&2; exec cat'
stdout_logfile=%(here)s/out
stderr_logfile=%(here)s/err
"""


def test_the_lines_of_a_log_by_curl(tmp_path: Path) -> None:
    commands = "\n".join(blocks("logging.md", "sh")).splitlines()
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
