"""The page about what has happened, of the real daemon."""

from __future__ import annotations

import base64
import re
import urllib.request
from html import unescape
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import BASE, daemon, eventually, free_port

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = """\
[inet_http_server]
port=127.0.0.1:{port}
username=boss
password=secret
readonly_username=guest
readonly_password=guest
[program:web]
command=/bin/cat
startsecs=0
[program:bad]
command=/bin/sh -c 'echo "<b>no</b> settings" >&2; exit 3'
startretries=0
"""


def page(port: int, query: str = "", user: str = "boss:secret") -> str:
    """The page without tags, but for its rectangles."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/history.html{query}",
        headers={"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        html = answer.read().decode()
    return unescape(re.sub(r"<(?!rect)[^>]*>", " ", html))


@pytest.mark.behaviour("http.md#the-history-page")
def test_what_has_happened_and_why(tmp_path: Path) -> None:
    port = free_port()
    with daemon(tmp_path, PROGRAMS.format(port=port), base=BASE) as running:
        running.wait_for("bad", "FATAL")
        running.wait_for("web", "RUNNING")
        running.rpc.stopProcess("web")
        whole = page(port)
        assert '<rect class="failing"' in whole
        assert '<rect class="up"' in whole
        assert "the supervisor has started, pid" in whole
        assert re.search(r"stop requested\s+by uid 0", whole)
        assert "by uid" not in page(port, user="guest:guest")
        of_bad = page(port, "?processname=bad")
        assert re.search(r"Why is it\s+fatal", of_bad)
        assert "exit status 3" in of_bad
        assert "<b>no</b> settings" in of_bad  # escaped in the page, or it would be gone here
        assert "a request to start it; startretries=0 is used up" in of_bad
        assert "stop requested" not in of_bad
        requests = page(port, "?kind=request&period=1h")
        assert "stop requested" in requests
        assert "exit status 3" not in requests
        assert "Nothing has happened in this time" in page(port, "?processname=gone")
        eventually(lambda: "history.html?processname=bad" in raw(port), "links on the status page")


def raw(port: int) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/",
        headers={"Authorization": f"Basic {base64.b64encode(b'boss:secret').decode()}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text: str = answer.read().decode()
    return text
