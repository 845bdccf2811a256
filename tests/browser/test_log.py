"""The log page in a real browser."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

from tests.browser.conftest import CAT, Serve

if TYPE_CHECKING:
    from tests.kit.browser import Browser

PROGRAMS = f"""\
[program:app]
{CAT}stdout_logfile=%(here)s/app.out
stderr_logfile=%(here)s/app.err
[program:quiet]
command=/bin/sh -c 'echo "only in memory"; exec cat'
stdout_logfile=NONE
"""
RED = "\x1b[1;31m"
PLAIN = "\x1b[0m"
LAST = "pre .line:last-child"


def at_the_end(browser: Browser) -> bool:
    script = (
        "const pre = document.querySelector('pre');"
        "return pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 8;"
    )
    return browser.run(script) is True


def test_follow_pause_search_and_colours(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        log = site.daemon.directory / "app.out"

        def write(text: str) -> None:
            with log.open("a") as file:
                file.write(text)

        write("".join(f"line {number}\n" for number in range(500)))
        browser.open(f"{site.address}tail.html?processname=app")
        browser.wait_text(LAST, "line 499")
        browser.mark()
        assert at_the_end(browser)
        write(f"a {RED}bad <b>thing</b>{PLAIN} happened\nhalf of ")
        browser.wait_text(LAST, "half of")
        write("a line\n")
        browser.wait_text(LAST, "half of a line")
        assert at_the_end(browser)
        assert browser.texts("pre .a-t1") == ["bad <b>thing</b>"]
        assert browser.style("pre .a-t1", "fontWeight") == "700"
        assert browser.style("pre .a-t1", "color") != browser.style("pre", "color")

        browser.click("[data-do=pause]")
        write("while paused\n")
        browser.wait_text("[data-do=pause]", "Resume (1 new)")
        assert browser.text(LAST) == "half of a line"
        browser.click("[data-do=pause]")
        browser.wait_text(LAST, "while paused")

        browser.type("/")
        browser.type("LINE 49")
        browser.wait_text(".matches", "11")
        assert browser.attribute("[data-do=follow]", "aria-pressed") == "false"
        browser.type("\n")
        browser.wait_text(".matches", "1 of 11")
        assert browser.text("pre .at") == "line 49"
        browser.type("\n")
        assert browser.text("pre .at") == "line 490"
        assert browser.attribute("[data-do=follow]", "aria-pressed") == "false"
        browser.click("[data-do=only]")
        assert browser.texts("pre .line") == ["line 49", *(f"line {n}" for n in range(490, 500))]
        browser.click("[data-do=only]")
        write("line 49 again\n")
        browser.wait_text(".matches", "2 of 12")
        browser.run("document.querySelector('pre').scrollTop = 0;")
        write("out of sight\n")
        browser.wait_text(LAST, "out of sight")
        assert not at_the_end(browser)
        browser.click("[data-do=follow]")
        browser.wait(lambda: at_the_end(browser), "the end in sight")
        browser.click("[data-do=wrap]")
        assert browser.style("pre", "whiteSpace") == "pre-wrap"

        link = browser.run("return document.querySelector('a[download]').href;")
        with urllib.request.urlopen(link, timeout=30) as answer:
            assert answer.read().decode() == log.read_text()
        (site.daemon.directory / "app.err").write_text("an error\n")
        browser.click(".tabs a:last-child")
        browser.wait_text(LAST, "an error")
        assert browser.complaints() == []
        browser.open(f"{site.address}tail.html?processname=quiet")
        assert browser.texts("pre") == ["No file for quiet", "only in memory"]
        browser.click("header a")
        browser.click(".events > a[href^=tail]")
        browser.wait(lambda: "spawned: 'quiet'" in browser.text("pre"), "the supervisor's own log")


def test_a_log_that_is_rotated_and_one_that_floods(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        log = site.daemon.directory / "app.out"
        log.write_text("before\n")
        browser.open(f"{site.address}tail.html?processname=app")
        browser.wait_text(LAST, "before")
        log.rename(log.with_name("app.out.1"))
        log.write_text("after\n")
        browser.wait_text(LAST, "after")
        with log.open("a") as file:
            file.write("".join(f"{number:09}\n" for number in range(150_000)))
        browser.wait_text(LAST, "000149999")
        assert browser.run("return document.querySelectorAll('pre .line').length;") <= 5000
        site.daemon.rpc.clearProcessLogs("app")
        log.write_text("anew\n")
        browser.wait_text(LAST, "anew")
