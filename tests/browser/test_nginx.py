"""The page behind a real nginx that passes on the Host header in one way or another."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import CAT
from tests.browser.test_status import MESSAGE, button, wait_live, wait_state
from tests.kit.daemon import daemon, eventually, free_port
from tests.kit.docs import blocks
from tests.kit.machine import path_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.browser import Browser

CONFIGURATION = """\
daemon off;
pid nginx.pid;
error_log stderr;
worker_processes 1;
events {{ }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{listen};
        {location}
    }}
}}
"""
(EXAMPLE,) = blocks("web.md", "nginx")
HEADER = "proxy_set_header Host $http_host;"
SERVER = """\
[inet_http_server]
port=127.0.0.1:{port}
{more}
[program:cat]
""" + (f"{CAT}startsecs=0\n")
PASSWORD = "username=admin\npassword=secret"


@contextmanager
def nginx(directory: Path, port: int, header: str) -> Iterator[int]:
    """The nginx of the manual before this port; the port it listens on."""
    program = path_of("nginx")
    listen = free_port()
    (directory / "nginx.conf").write_text(
        CONFIGURATION.format(
            listen=listen, location=EXAMPLE.replace("9001", str(port)).replace(HEADER, header)
        )
    )

    def answers() -> bool:
        assert process.poll() is None, "nginx has ended"
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", listen)) == 0

    process = subprocess.Popen([program, "-p", str(directory), "-c", "nginx.conf"])
    try:
        eventually(answers, "nginx")
        yield listen
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="the daemon's own address"),
        pytest.param("proxy_set_header Host $host;", id="without the port"),
        pytest.param(HEADER, id="as the browser sent it"),
        pytest.param("proxy_set_header Host $http_host/supervisor/index.html;", id="with a path"),
        pytest.param("proxy_set_header Host $host/x/index.html:$server_port;", id="path and port"),
    ],
)
def test_with_a_password_everything_works_whatever_the_host(
    browser: Browser, tmp_path: Path, header: str
) -> None:
    port = free_port()
    text = SERVER.format(port=port, more=PASSWORD)
    with daemon(tmp_path, text) as running, nginx(tmp_path, port, header) as listen:
        browser.open(f"http://admin:secret@127.0.0.1:{listen}/supervisor/")
        wait_live(browser)
        wait_state(browser, "cat", "running")
        browser.click(button("cat", "stop"))
        browser.wait_text(MESSAGE, "Process cat stopped")
        browser.scripts(False)
        browser.reload()
        browser.click(button("cat", "start"))
        browser.wait_text(MESSAGE, "Process cat started")
        assert running.pid("cat")


@pytest.mark.parametrize(
    ("header", "more", "works"),
    [
        (HEADER, "", True),
        ("proxy_set_header Host $http_host/supervisor/index.html;", "", True),
        ("proxy_set_header Host $host;", "", False),
        ("", "", False),
        ("proxy_set_header Host www.example.com;", "allowed_hosts=*", False),
    ],
)
def test_without_a_password_the_page_says_which_header_to_set(
    browser: Browser, tmp_path: Path, header: str, more: str, works: bool
) -> None:
    port = free_port()
    text = SERVER.format(port=port, more=more)
    with daemon(tmp_path, text) as running, nginx(tmp_path, port, header) as listen:
        browser.open(f"http://127.0.0.1:{listen}/supervisor/")
        wait_live(browser)
        wait_state(browser, "cat", "running")
        browser.click(button("cat", "stop"))
        said = "Process cat stopped" if works else "proxy_set_header Host $http_host;"
        browser.wait_text(MESSAGE, said)
        assert bool(running.pid("cat")) is not works


def test_a_name_that_is_not_allowed_is_named(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    header = "proxy_set_header Host www.example.com;"
    with daemon(tmp_path, SERVER.format(port=port, more="")), nginx(tmp_path, port, header) as at:
        browser.open(f"http://127.0.0.1:{at}/supervisor/")
        said = browser.text("body")
        assert "403 Forbidden" in said
        assert "'www.example.com'" in said
        assert "Add the name to allowed_hosts in [inet_http_server]" in said
