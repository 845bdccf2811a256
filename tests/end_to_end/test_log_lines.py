"""The lines of both outputs of a real program, while its logs are rotated and compressed."""

from __future__ import annotations

import http.client
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.daemon import daemon, eventually, free_port

if TYPE_CHECKING:
    from pathlib import Path

#: What it is told on stdin it writes to stdout (o) or stderr (e).
ECHO = """\
[inet_http_server]
port=127.0.0.1:{port}
[program:echo]
command=/bin/sh -c 'while read where text; do
  if [ $where = o ]; then echo $text; else echo $text >&2; fi; done'
stdout_logfile=%(here)s/out
stderr_logfile=%(here)s/err
"""
#: Writes so many lines and waits, so that its logs are rotated many times.
LINES = 3000
WRITER = f"""\
[supervisord]
extended=true
[inet_http_server]
port=127.0.0.1:{{port}}
[program:writer]
command=/bin/sh -c 'for n in $(seq {LINES}); do echo out $n; echo err $n >&2; done; exec cat'
stdout_logfile=%(here)s/out
stdout_logfile_maxbytes=2000
stdout_logfile_backups=500
stdout_logfile_compress=gz
stderr_logfile=%(here)s/err
stderr_logfile_maxbytes=3000
stderr_logfile_backups=500
"""


def lines(port: int, name: str, query: str = "") -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", f"/api/v1/processes/{name}/lines{query}")
        response = connection.getresponse()
        assert response.status == 200
        return json.loads(response.read())
    finally:
        connection.close()


@pytest.mark.behaviour("http.md#lines-of-both-outputs")
def test_lines_of_both_outputs_are_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    """Also within one second, of which the marks of one output alone tell nothing."""
    port = free_port()
    with daemon(tmp_path, ECHO.format(port=port)) as running:
        running.wait_for("echo", "RUNNING")
        expected = []
        for number, where in enumerate("oooeoeeoeoooee"):
            expected.append(f"line {number}")
            running.rpc.sendProcessStdin("echo", f"{where} line {number}\n")
            path = tmp_path / ("out" if where == "o" else "err")
            wait_for_line(path, expected[-1])
        page = lines(port, "echo")
        assert [line["line"] for line in page["lines"]] == expected
        times = [line["time"] for line in page["lines"]]
        assert times == sorted(times)


def wait_for_line(path: Path, text: str) -> None:
    eventually(lambda: f"{text}\n" in path.read_text(), text)


@pytest.mark.behaviour("http.md#places-in-logs")
def test_every_line_once_while_logs_are_rotated_and_compressed(tmp_path: Path) -> None:
    port = free_port()
    with daemon(tmp_path, WRITER.format(port=port)) as running:
        running.wait_for("writer", "RUNNING")
        read_back(port)  # while it writes
        for output, last in (("stdout", f"out {LINES}"), ("stderr", f"err {LINES}")):
            eventually(partial(has_line, port, output, last), last)
        found = read_back(port)
        for output in ("out", "err"):
            expected = [f"{output} {number}" for number in range(1, LINES + 1)]
            assert [line for line in found if line.startswith(output)] == expected


def has_line(port: int, output: str, text: str) -> bool:
    return text in (line["line"] for line in lines(port, "writer", f"?output={output}")["lines"])


def read_back(port: int) -> list[str]:
    """All lines from the newest to the oldest; what is found is without gaps."""
    found: list[str] = []
    query = "?lines=250"
    while True:
        page = lines(port, "writer", query)
        assert not page["gone"]
        found[:0] = [line["line"] for line in page["lines"] if line["whole"]]
        if page["first"]:
            break
        query = f"?lines=250&before={page['before']}"
    for output in ("out", "err"):
        numbers = [int(line.split()[1]) for line in found if line.startswith(output)]
        assert numbers == list(range(1, len(numbers) + 1))
    return found
