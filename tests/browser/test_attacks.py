"""What a hostile program, name or web site tries in a real browser."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.browser.conftest import CAT, Serve
from tests.browser.test_status import row, wait_live, wait_state
from tests.kit.daemon import daemon, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.browser import Browser

EVIL = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>"
#: Inside of a title, of a colour that is none, and after one.
OUTPUT = rf"\\033]0;{EVIL}\\007\\033[31{EVIL}m\\033[1m{EVIL}\\n"
#: As much of it as a name of a process may have.
NAME = "<svg\u00a0onload=window.pwned=1>\"'&amp;"
PROGRAMS = f"""\
[program:{NAME}]
{CAT}startsecs=0
[program:talks]
command=/bin/sh -c 'echo "{EVIL}" | tee /dev/stderr; exit 1'
environment=EVIL="{EVIL}"
startretries=0
[program:gone]
command="/no/{EVIL.replace("/", "")}"
[program:worse]
command=/bin/sh -c 'printf "{OUTPUT}"; exec cat'
startsecs=0
"""


def unharmed(browser: Browser) -> None:
    """No script ran, and none was even tried: the policy had nothing to forbid."""
    assert browser.run("return window.pwned === undefined;")
    assert (
        browser.run(
            "return document.querySelectorAll('main img, main script, main svg[onload]').length;"
        )
        == 0
    )
    assert browser.complaints() == []


def test_markup_of_others_is_text(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        site.daemon.wait_for("talks", "FATAL")
        browser.open(site.address + "?message=" + quote(f"ERROR: {EVIL}"))
        assert browser.text(".message p") == f"ERROR: {EVIL}"
        wait_live(browser)
        shown_name = NAME.replace("\u00a0", " ")
        assert shown_name in browser.texts("tr.process .name a")
        assert EVIL.replace("/", "") in browser.text(row("gone", ".reason"))
        browser.click(row("talks", ".last summary"))
        assert browser.text(row("talks", ".last pre")) == EVIL
        site.daemon.rpc.stopProcess(NAME)
        browser.wait_text(".events li", f"{NAME} stopped")
        unharmed(browser)
        browser.open(site.address + "?filter=" + quote(f'"{EVIL}'))
        unharmed(browser)
        for name in ("worse", NAME, "talks"):
            browser.open(f"{site.address}tail.html?processname={quote(name)}")
            browser.wait_text("pre", EVIL if name != NAME else "")
            unharmed(browser)
        browser.open(f"{site.address}tail.html?processname={quote(EVIL)}")
        browser.wait_text("h1", f"No process named {EVIL}")
        assert all("404" in complaint for complaint in browser.complaints())
        unharmed(browser)
        browser.open(f"{site.address}?action=stop&processname={quote(EVIL)}")
        assert EVIL in browser.text("body")
        unharmed(browser)


ATTACK = """\
<!DOCTYPE html><title>kittens</title>
<img src="{to}?action=stopall"><img src="{to}index.html?processname=cat&amp;action=stop">
<iframe src="{to}" name="framed"></iframe>
<iframe name="sink"></iframe>
<form method="post" action="{to}" target="sink"><input name="action" value="stopall"></form>
<script>
const post = (where, body, type) => fetch('{to}' + where, {{
  method: 'POST', mode: 'no-cors', credentials: 'include', body,
  headers: type ? {{ 'Content-Type': type }} : {{}},
}});
const call = '<methodCall><methodName>supervisor.stopAllProcesses</methodName></methodCall>';
document.forms[0].submit();
Promise.allSettled([
  post('', new URLSearchParams({{ action: 'stopall' }})),
  post('', new URLSearchParams({{ action: 'stop', processname: 'cat', csrf: 'x' }})),
  post('RPC2', call, 'text/plain'),
  post('api/v1/processes/cat/stop', '{{}}', 'text/plain'),
  fetch('{to}?action=stopall', {{ mode: 'no-cors', credentials: 'include' }}),
  fetch('{to}', {{ credentials: 'include' }}).then((answer) => answer.text()),
]).then((all) => {{ window.outcome = all.map((one) => one.status); }});
</script>
"""


@contextmanager
def another_site(page: str) -> Iterator[int]:
    """The port of a server with just this page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.behaviour("http.md#requests-caused-by-pages-of-other-sites")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["same-site", "cross-site"])
def test_another_site_can_do_nothing(browser: Browser, serve: Serve, host: str) -> None:
    with serve(f"[program:cat]\n{CAT}startsecs=0\n") as site:
        site.daemon.wait_for("cat", "RUNNING")
        pid = site.daemon.pid("cat")
        with another_site(ATTACK.format(to=site.address)) as port:
            browser.open(f"http://{host}:{port}/")
            browser.wait(lambda: browser.run("return window.outcome;"), "the attack being over")
            outcome = browser.run("return window.outcome;")
            assert outcome[-1] == "rejected"  # what the page holds, its token, cannot be read
            said = browser.complaints()
            assert any("frame-ancestors 'none'" in line for line in said)  # no clickjacking
        site.daemon.wait_log("caused by a page of another site")
        assert site.daemon.pid("cat") == pid
        assert "stopped: cat" not in site.daemon.log
        browser.open(site.address)
        wait_live(browser)
        wait_state(browser, "cat", "running")


#: Each of these gives away nothing that tells the request from a script's, but for what every
#: browser says of itself.
SILENT_ATTACK = """\
<!DOCTYPE html><meta name="referrer" content="no-referrer"><title>kittens</title>
<link rel="stylesheet" href="{to}?action=stopall&amp;n=1">
<link rel="prefetch" href="{to}?action=stopall&amp;n=2">
<link rel="icon" href="{to}?action=stopall&amp;n=3">
<style>body {{ background: url('{to}?action=stopall&n=4'); }}</style>
<img src="{to}?action=stop&amp;processname=cat">
<video src="{to}?action=stopall&amp;n=5"></video>
<iframe src="{to}?action=stopall&amp;n=6"></iframe>
<object data="{to}?action=stopall&amp;n=7"></object>
<form method="get" action="{to}" target="sink"><input name="action" value="stopall"></form>
<iframe name="sink"></iframe>
<script>
const plain = {{ 'Accept': '*/*', 'Accept-Language': '' }};
const get = (more) => fetch('{to}?action=stopall',
  {{ mode: 'no-cors', credentials: 'include', ...more }});
document.forms[0].submit();
navigator.sendBeacon('{to}?action=stopall');
Promise.allSettled([get({{}}), get({{ headers: plain }}), get({{ keepalive: true }}),
  get({{ method: 'POST' }}), new Promise((done) => {{ window.onload = done; }})])
  .then(() => {{ window.outcome = 'tried'; }});
</script>
"""


def test_a_site_that_hides_itself_can_do_nothing_without_tls(
    browser: Browser, tmp_path: Path
) -> None:
    """Browsers send Sec-Fetch-Site neither to a plain HTTP address off loopback."""
    port = free_port()
    text = f"""\
[inet_http_server]
port=127.0.0.1:{port}
allowed_hosts=supervisor.test
[program:cat]
{CAT}startsecs=0
"""
    to = f"http://supervisor.test:{port}/"
    with daemon(tmp_path, text) as running:
        running.wait_for("cat", "RUNNING")
        pid = running.pid("cat")
        with another_site(SILENT_ATTACK.format(to=to)) as its_port:
            browser.open(f"http://kittens.test:{its_port}/")
            browser.wait(lambda: browser.run("return window.outcome;"), "the attack being over")
        assert running.pid("cat") == pid
        assert "stopped: cat" not in running.log
        # A person who writes the address is asked, and may answer.
        browser.open(f"{to}?action=stop&processname=cat")
        assert browser.text("h1") == "Stop the process cat?"
        assert running.pid("cat") == pid
        browser.click("form.question button")
        browser.wait_text(".message", "Process cat stopped")


@pytest.mark.behaviour("http.md#read-only-users")
def test_who_may_only_look_is_offered_nothing(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    text = f"""\
[inet_http_server]
port=127.0.0.1:{port}
username=admin
password=secret
readonly_username=guest
readonly_password=look
[program:cat]
{CAT}startsecs=0
"""
    with daemon(tmp_path, text) as running:
        browser.open(f"http://guest:look@127.0.0.1:{port}/")
        wait_live(browser)
        wait_state(browser, "cat", "running")
        assert browser.texts("main form[method=post] button, .everything button") == []
        running.rpc.stopProcess("cat")
        wait_state(browser, "cat", "stopped")
        assert browser.texts("main form[method=post] button") == []
        credentials = base64.b64encode(b"admin:secret").decode()
        assert credentials not in browser.run("return document.documentElement.outerHTML;")
