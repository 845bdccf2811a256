"""The log page in a real browser."""

from __future__ import annotations

import gzip
import urllib.request
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import CAT, Serve
from tests.kit.browser import PHONE

if TYPE_CHECKING:
    from pathlib import Path

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
LAST = ".lines .chunk:last-child .line:last-child .text"
TEXTS = "return [...document.querySelectorAll('.lines .text')].map((one) => one.textContent);"
pytestmark = pytest.mark.behaviour("http.md#the-page-of-a-log")


def at_the_end(browser: Browser) -> bool:
    script = (
        "const box = document.querySelector('.lines');"
        "return box.scrollTop + box.clientHeight >= box.scrollHeight - 8;"
    )
    return browser.run(script) is True


def has_more_than(browser: Browser, count: int) -> bool:
    return len(browser.run(TEXTS)) > count


def begins_earlier_than(browser: Browser, first: str) -> bool:
    return str(browser.run(TEXTS)[0]) < first


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_follow_highlight_and_colours(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        log = site.daemon.directory / "app.out"
        append(log, "".join(f"line {number}\n" for number in range(250)))
        browser.open(f"{site.address}log.html?processname=app")
        browser.wait_text(LAST, "line 249")
        browser.mark()
        browser.wait(lambda: at_the_end(browser), "the end in sight")
        append(log, f"a {RED}bad <b>thing</b>{PLAIN} happened\nhalf of ")
        browser.wait_text(LAST, "half of")
        append(log, "a line\n")
        browser.wait_text(LAST, "half of a line")
        assert browser.run(TEXTS)[-2:] == ["a bad <b>thing</b> happened", "half of a line"]
        browser.wait(lambda: at_the_end(browser), "the end in sight")
        assert browser.texts(".lines .a-t1") == ["bad <b>thing</b>"]
        assert browser.style(".lines .a-t1", "fontWeight") == "700"
        assert browser.style(".lines .a-t1", "color") != browser.style(".lines", "color")

        append(site.daemon.directory / "app.err", "an error\n")
        browser.wait_text(LAST, "an error")
        assert browser.texts(".line.stderr .stream") == ["stderr"]

        browser.run("document.querySelector('.lines').scrollTop = 500;")
        browser.wait(
            lambda: browser.attribute("[data-do=follow]", "aria-pressed") == "false",
            "no more following",
        )
        top = browser.run("return document.querySelector('.lines').scrollTop;")
        append(log, "out of sight\n")
        browser.wait(lambda: browser.run(TEXTS)[-1] == "out of sight", "the new line")
        assert browser.run("return document.querySelector('.lines').scrollTop;") == top

        browser.type("/")
        browser.type("LINE 24")
        browser.wait_text(".matches", "11 shown")
        browser.run("document.activeElement.blur();")
        browser.type("n", "body")
        browser.wait_text(".matches", "1 of 11")
        assert browser.text(".hit.at .text") == "line 24"
        browser.type("n", "body")
        assert browser.text(".hit.at .text") == "line 240"
        browser.click("[data-do=follow]")
        browser.wait(lambda: at_the_end(browser), "the end in sight")
        browser.click("[data-do=wrap]")
        assert browser.style(".lines .text", "whiteSpace") == "pre-wrap"
        assert browser.is_marked()

        link = browser.run("return document.querySelector('a[download]').href;")
        with urllib.request.urlopen(link, timeout=30) as answer:
            assert answer.read().decode() == log.read_text()
        browser.click(".tabs a:last-child")
        browser.wait(lambda: browser.run(TEXTS) == ["an error"], "stderr alone")
        assert browser.complaints() == []
        browser.open(f"{site.address}log.html?processname=quiet")
        assert browser.texts("pre") == ["only in memory"]
        browser.click("header a")
        browser.click(".events > a[href^=log]")
        browser.wait(
            lambda: any("spawned: 'quiet'" in text for text in browser.run(TEXTS)),
            "the supervisor's own log",
        )


def test_back_to_the_first_byte_while_the_log_is_rotated(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        log = site.daemon.directory / "app.out"
        older = [f"old {number}" for number in range(1500)]
        with gzip.open(f"{log}.2.gz", "wb") as file:
            file.write("".join(f"{line}\n" for line in older[:1000]).encode())
        (log.parent / "app.out.1").write_text("".join(f"{line}\n" for line in older[1000:]))
        append(log, "".join(f"new {number}\n" for number in range(500)))
        browser.open(f"{site.address}log.html?processname=app&output=stdout")
        browser.wait_text(LAST, "new 499")
        log.with_name("app.out.2.gz").rename(f"{log}.3.gz")
        log.with_name("app.out.1").rename(f"{log}.2")
        log.rename(f"{log}.1")
        append(log, "after the rotation\n")
        browser.wait_text(LAST, "after the rotation")
        for _ in range(20):
            if browser.texts(".edge.first"):
                break
            seen = len(browser.run(TEXTS))
            browser.run("document.querySelector('.lines').scrollTop = 0;")
            browser.wait(partial(has_more_than, browser, seen), "earlier lines")
        assert browser.texts(".edge.first") == ["This is the first line that is kept"]
        expected = [*older, *(f"new {number}" for number in range(500)), "after the rotation"]
        assert browser.run(TEXTS) == expected
        assert browser.run("return document.querySelectorAll('.day').length;") <= 2
        assert browser.complaints() == []


def test_what_is_far_from_the_reader_is_removed_and_comes_again(
    browser: Browser, serve: Serve
) -> None:
    with serve(PROGRAMS) as site:
        log = site.daemon.directory / "app.out"
        log.write_text("".join(f"{number:09}\n" for number in range(9000)))
        browser.open(f"{site.address}log.html?processname=app&output=stdout")
        browser.wait_text(LAST, "000008999")
        while not browser.texts(".edge.first"):
            seen = browser.run(TEXTS)[0]
            browser.run("document.querySelector('.lines').scrollTop = 0;")
            browser.wait(partial(begins_earlier_than, browser, seen), "earlier lines")
        found = browser.run(TEXTS)
        assert found == [f"{number:09}" for number in range(len(found))]
        assert 5000 < len(found) <= 6000
        assert browser.texts("a.later, a.newest") == ["Later lines", "Newest"]
        append(log, "is not appended behind a gap\n")
        browser.click("a.later")
        browser.wait(lambda: browser.run(TEXTS)[-1] != found[-1], "later lines")
        assert browser.run(TEXTS)[-1] == f"{len(found) + 299:09}"
        browser.click("a.newest")
        browser.wait_text(LAST, "is not appended behind a gap")


def test_a_log_that_floods(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        log = site.daemon.directory / "app.out"
        log.write_text("before\n")
        browser.open(f"{site.address}log.html?processname=app")
        browser.wait_text(LAST, "before")
        append(log, "".join(f"{number:09}\n" for number in range(150_000)))
        browser.wait_text(LAST, "000149999")
        assert len(browser.run(TEXTS)) <= 6000
        site.daemon.rpc.clearProcessLogs("app")
        log.write_text("anew\n")
        browser.wait_text(LAST, "anew")


def test_search(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        log = site.daemon.directory / "app.out"
        with gzip.open(f"{log}.2.gz", "wb") as file:
            file.write(b"".join(b"old %d\n" % number for number in range(1000)))
        append(log, "".join(f"new {number}\n" for number in range(120)))
        browser.open(f"{site.address}log.html?processname=app")
        browser.wait_text(LAST, "new 119")
        browser.type("/")
        browser.type("w 1\n")
        browser.wait_text(".progress", "Searched everything")
        found = browser.texts(".found-lines .line.found .text")
        assert found == [f"new {n}" for n in (*range(119, 99, -1), *range(19, 9, -1), 1)]
        browser.click(".search [type=checkbox]")
        browser.run("document.querySelector('.search [type=search]').value = 'old 12[0-9]$';")
        browser.click(".search button")
        browser.wait_text(".progress", "10 lines found")
        browser.click(".found-lines li:nth-child(4) a")
        browser.wait_text(".line.found .text", "old 126")
        assert "old 125" in browser.run(TEXTS)
        assert browser.complaints() == []


def test_without_scripts_on_a_phone_in_the_dark(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        log = site.daemon.directory / "app.out"
        append(log, "".join(f"line {number} {'x' * 200}\n" for number in range(700)))
        browser.scripts(False)
        browser.size(*PHONE)
        browser.prefer("dark")
        browser.open(f"{site.address}log.html?processname=app")
        browser.wait(lambda: browser.texts("a.earlier") == ["Earlier lines"], "the link")
        browser.click("a.earlier")
        browser.wait(lambda: "line 399" in " ".join(browser.texts(".text")[-1:]), "earlier lines")
        browser.click("a.earlier")
        browser.wait(lambda: "line 0" in " ".join(browser.texts(".text")[:1]), "the first line")
        width = "return document.documentElement.scrollWidth;"
        assert browser.run(width) <= PHONE[0]
        assert browser.texts("[data-do]") == []
        browser.type("line 5\n", ".search [type=search]")
        browser.wait(lambda: "found" in " ".join(browser.texts(".progress")), "the search")
        assert browser.run(width) <= PHONE[0]
