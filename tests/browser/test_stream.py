"""What the status page gets through its stream, as the browser sees it."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

from tests.browser.conftest import CAT, Serve
from tests.browser.test_status import MESSAGE, button, row, wait_live, wait_state

if TYPE_CHECKING:
    from tests.kit.browser import Browser

MANY = f"""\
[program:p]
process_name=%(process_num)03d
numprocs=100
{CAT}startsecs=0
[program:cat]
{CAT}startsecs=0
"""


def transfer(browser: Browser, name: str) -> dict[str, Any]:
    """How many bytes the browser got of a page's part, coded and decoded."""
    found: Any = browser.run(
        "const [one] = performance.getEntriesByType(arguments[0]);"
        "return { coded: one.encodedBodySize, whole: one.decodedBodySize };",
        name,
    )
    assert isinstance(found, dict)
    return found


def test_the_page_is_compressed_and_its_table_is_not_sent_again(
    browser: Browser, serve: Serve
) -> None:
    with serve(MANY) as site:
        site.daemon.wait_for("cat", "RUNNING")
        browser.open(site.address)
        wait_live(browser)
        page = transfer(browser, "navigation")
        assert page["whole"] > 100_000
        assert 10 * page["coded"] < page["whole"]
        browser.run("document.querySelector('tr.process').dataset.old = 'yes';")
        browser.wait_text(row("cat", ".cpu"), "%")
        assert browser.attribute("tr.process", "data-old") == "yes"
        mark = browser.attribute(".bar", "data-mark")
        with urllib.request.urlopen(f"{site.address}live?since={mark}", timeout=30) as stream:
            first = stream.read1(65536)
        assert b"<tr" not in first
        assert len(first) < 20_000


def test_uptime_is_counted_in_the_browser(browser: Browser, serve: Serve) -> None:
    with serve(MANY) as site:
        site.daemon.wait_for("cat", "RUNNING")
        browser.open(site.address)
        wait_live(browser)
        browser.run(
            "const row = document.querySelector(arguments[0]);"
            "row.dataset.since = Number(row.dataset.since) - (2 * 24 + 3) * 3600;",
            row("cat"),
        )
        browser.wait_text(row("cat", ".uptime"), "2 d 3 h")
        browser.run(
            "const row = document.querySelector(arguments[0]);"
            "row.dataset.since = Number(row.dataset.since) + 48 * 3600;",
            row("cat"),
        )
        browser.wait_text(row("cat", ".uptime"), "3:00:")
        before = browser.text(row("cat", ".uptime"))
        browser.wait(lambda: browser.text(row("cat", ".uptime")) > before, "another second")
        browser.click(button("cat", "stop"))
        browser.wait_text(MESSAGE, "Process cat stopped")
        wait_state(browser, "cat", "stopped")
        assert browser.text(row("cat", ".uptime")) == "-"
        assert browser.complaints() == []


def test_uptime_stands_still_when_nobody_knows_it(browser: Browser, serve: Serve) -> None:
    with serve(MANY) as site:
        site.daemon.wait_for("cat", "RUNNING")
        browser.open(site.address)
        wait_live(browser)
        site.daemon.rpc.shutdown()
        assert site.daemon.process.wait(30) == 0
        browser.wait_text(".live", "daemon is gone, reconnecting")
        browser.run(
            "for (const row of document.querySelectorAll('tr.process')) row.dataset.since = '1';"
        )
        before = browser.texts("tr.process .uptime")
        browser.run("return new Promise((resolve) => setTimeout(resolve, 2500));")
        assert browser.texts("tr.process .uptime") == before
        assert browser.style(".summary", "opacity") == "0.5"


def test_a_page_that_was_hidden_gets_only_what_has_happened_since(
    browser: Browser, serve: Serve
) -> None:
    def hide(hidden: bool) -> None:
        browser.run(
            "Object.defineProperty(document, 'hidden',"
            " { value: arguments[0], configurable: true });"
            "document.dispatchEvent(new Event('visibilitychange'));",
            hidden,
        )

    with serve(MANY) as site:
        site.daemon.wait_for("cat", "RUNNING")
        browser.open(site.address)
        wait_live(browser)
        browser.run("document.querySelector(arguments[0]).dataset.old = 'yes';", row("p:000"))
        hide(True)
        site.daemon.rpc.stopProcess("cat")
        assert browser.attribute(row("cat"), "data-state") == "running"
        hide(False)
        wait_state(browser, "cat", "stopped")
        assert browser.attribute(row("p:000"), "data-old") == "yes"
        assert browser.texts(".events li b").count("cat") >= 2
