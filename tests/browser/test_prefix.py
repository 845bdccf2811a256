"""The pages behind a proxy that serves them below a path, as docs/web.md shows."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import CAT, Serve
from tests.browser.test_status import MESSAGE, button, wait_live, wait_state

if TYPE_CHECKING:
    from tests.kit.browser import Browser

PREFIX = "/tools/supervisor"
#: Headers that concern one connection only (RFC 9110, 7.6.1), and what this proxy writes itself.
HOP = {"connection", "transfer-encoding", "keep-alive", "server", "date"}


@contextmanager
def stripping_proxy(port: int) -> Iterator[str]:
    """A proxy that removes PREFIX and leaves everything else as it is; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def forward(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                upstream.request(
                    self.command, self.path.removeprefix(PREFIX), body or None, dict(self.headers)
                )
                answer = upstream.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                self.end_headers()
                while data := answer.read1(65536):
                    self.wfile.write(data)
            except OSError:
                pass  # either side has left
            finally:
                upstream.close()

        do_GET = do_POST = forward

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.behaviour("http.md#other-addresses")
def test_everything_works_below_a_path(browser: Browser, serve: Serve, port: int) -> None:
    log = "stdout_logfile=%(here)s/cat.log\n"
    with serve(f"[program:cat]\n{CAT}{log}startsecs=0\n") as site, stripping_proxy(port) as address:
        (site.daemon.directory / "cat.log").write_text("meow\n")
        browser.open(address)
        wait_live(browser)
        wait_state(browser, "cat", "running")
        browser.click(button("cat", "stop"))
        browser.wait_text(MESSAGE, "Process cat stopped")
        browser.click("tr.process .name a")
        browser.wait_text(".lines .line", "meow")
        browser.wait_text(".live", "live")
        browser.click("header a")
        browser.wait(lambda: browser.texts(".processes"), "the status page")
        assert browser.address == address
        browser.scripts(False)
        browser.reload()
        browser.click(button("cat", "start"))
        browser.wait_text(MESSAGE, "Process cat started")
        assert browser.address.startswith(f"{address}?message=")
        assert browser.complaints() == []
