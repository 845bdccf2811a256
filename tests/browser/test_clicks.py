"""Where a click goes: what happens on the page never puts another program under the pointer."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import CAT, Serve
from tests.browser.test_status import (
    MESSAGE,
    PROGRAMS,
    button,
    row,
    shown,
    wait_enabled,
    wait_live,
    wait_state,
)
from tests.kit.browser import DESKTOP, PHONE

if TYPE_CHECKING:
    from tests.kit.browser import Browser

#: More than fit a window, of which one fails later.
MANY = f"""\
[program:p]
process_name=%(process_num)02d
numprocs=20
{CAT}startsecs=0
[program:zlast]
{CAT}startsecs=0
autorestart=false
"""
#: Milliseconds in which a row takes no click, less what a timer may be early.
REST = 900


def places(browser: Browser, selector: str) -> dict[str, list[int]]:
    """Top, in the page, and height of every match, by its name."""
    found = browser.run(
        "const seen = [...document.querySelectorAll(arguments[0])]"
        ".filter((one) => one.checkVisibility());"
        "return Object.fromEntries(seen.map((one) => {"
        "  const { top, height } = one.getBoundingClientRect();"
        "  const place = [top + scrollY, height].map(Math.round);"
        "  return [one.dataset.name || one.className, place];"
        "}));",
        selector,
    )
    assert isinstance(found, dict)
    return found


def box(browser: Browser, selector: str) -> dict[str, float]:
    """The edges of the first match within the window."""
    found: Any = browser.run(
        "const { left, right, top, bottom } ="
        " document.querySelector(arguments[0]).getBoundingClientRect();"
        "return { left, right, top, bottom };",
        selector,
    )
    assert isinstance(found, dict)
    return found


@pytest.mark.behaviour("http.md#the-live-page")
@pytest.mark.parametrize("size", [DESKTOP, (800, 700), PHONE], ids=["desktop", "tablet", "phone"])
def test_nothing_moves_when_processes_stop_start_and_fail(
    browser: Browser, serve: Serve, size: tuple[int, int]
) -> None:
    everything = ".top, .bar, thead, tr.group, tr.process, .events"
    with serve(PROGRAMS) as site:
        browser.size(*size)
        browser.open(site.address)
        wait_live(browser)
        for name, state in (("bad", "fatal"), ("gone", "fatal"), ("cat", "running")):
            wait_state(browser, name, state)
        wait_state(browser, "grp:1", "running")
        before = places(browser, everything)
        browser.click(button("cat", "stop"))
        browser.wait_text(MESSAGE, "Process cat stopped")
        wait_state(browser, "cat", "stopped")
        assert places(browser, everything) == before
        browser.click(button("gone", "start"))
        browser.wait_text(MESSAGE, "ERROR: Process gone: no such file")
        assert places(browser, everything) == before
        browser.click(button("cat", "start"))
        browser.wait_text(MESSAGE, "Process cat started")
        wait_state(browser, "cat", "running")
        os.kill(site.daemon.pid("cat"), signal.SIGKILL)
        wait_state(browser, "cat", "exited")
        assert places(browser, everything) == before
        browser.click(".message a")
        browser.wait(lambda: not browser.texts(".message"), "the message being gone")
        assert places(browser, everything) == before


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_outcome_is_seen_wherever_the_page_is_scrolled_to(
    browser: Browser, serve: Serve, size: tuple[int, int]
) -> None:
    with serve(MANY) as site:
        browser.size(*size)
        browser.open(site.address)
        wait_live(browser)
        wait_state(browser, "zlast", "running")
        browser.run("document.querySelector(arguments[0]).scrollIntoView();", row("p:15"))
        wait_enabled(browser, button("p:15", "stop"))
        browser.click(button("p:15", "stop"))
        browser.wait_text(MESSAGE, "Process p:15 stopped")
        message = box(browser, ".message")
        assert browser.run("return scrollY;") > 0
        assert message["top"] >= 0
        assert message["bottom"] <= size[1]
        browser.run("scrollTo(0, document.documentElement.scrollHeight);")
        assert box(browser, ".events ol")["bottom"] <= box(browser, ".message")["top"]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_action_has_its_own_place(
    browser: Browser, serve: Serve, size: tuple[int, int]
) -> None:
    with serve(PROGRAMS) as site:
        browser.size(*size)
        browser.open(site.address)
        wait_live(browser)
        wait_state(browser, "cat", "running")
        stop = box(browser, button("cat", "stop"))
        restart = box(browser, button("cat", "restart"))
        browser.click(button("cat", "stop"))
        wait_state(browser, "cat", "stopped")
        start = box(browser, button("cat", "start"))
        assert start["right"] < restart["left"]
        assert restart["right"] < stop["left"]


def test_a_row_takes_no_click_in_the_second_after_an_action(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        browser.open(site.address)
        wait_live(browser)
        wait_state(browser, "cat", "running")
        browser.run(
            "window.seen = {};"
            "new MutationObserver(() => {"
            "  const start = document.querySelector(arguments[0]);"
            "  if (start) seen[start.disabled] ??= performance.now();"
            "}).observe(document.querySelector('table'),"
            " { subtree: true, childList: true, attributes: true });",
            button("cat", "start"),
        )
        browser.click(button("cat", "stop"))
        wait_enabled(browser, button("cat", "start"))
        assert browser.run("return seen[false] - seen[true];") >= REST


def test_the_order_stands_still_while_the_table_is_used(browser: Browser, serve: Serve) -> None:
    def point(kind: str) -> None:
        browser.run(
            "document.querySelector('table').dispatchEvent("
            "new PointerEvent(arguments[0], { pointerType: 'mouse' }));",
            kind,
        )

    with serve(MANY) as site:
        browser.open(f"{site.address}?sort=state")
        wait_live(browser)
        wait_state(browser, "zlast", "running")
        browser.wait(lambda: shown(browser)[-1] == "zlast", "the order")
        point("pointermove")
        os.kill(site.daemon.pid("zlast"), signal.SIGKILL)
        wait_state(browser, "zlast", "exited")
        assert shown(browser)[-1] == "zlast"
        point("pointerleave")
        assert shown(browser)[0] == "zlast"
        assert browser.style(row("zlast", ".actions"), "pointerEvents") == "none"
        browser.wait(
            lambda: browser.style(row("zlast", ".actions"), "pointerEvents") == "auto", "a click"
        )


def test_a_filter_hides_no_row_under_the_pointer(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        browser.open(f"{site.address}?filter=running")
        wait_live(browser)
        wait_state(browser, "cat", "running")
        wait_state(browser, "grp:1", "running")
        browser.wait(lambda: shown(browser) == ["cat", "grp:0", "grp:1"], "the filter")
        browser.click(button("cat", "stop"))
        wait_state(browser, "cat", "stopped")
        assert shown(browser) == ["cat", "grp:0", "grp:1"]


def test_without_scripts_a_page_with_an_outcome_takes_no_click_at_first(
    browser: Browser, serve: Serve
) -> None:
    with serve(PROGRAMS) as site:
        browser.scripts(False)
        browser.open(site.address)
        assert browser.style(".processes .actions", "animationName") == "none"
        browser.open(f"{site.address}?message=done")
        assert browser.style(".processes .actions", "animationName") == "settle"
        browser.wait(
            lambda: browser.style(".processes .actions", "pointerEvents") == "auto", "a click"
        )
        assert browser.style(".message", "position") == "fixed"
        browser.click(".message a")
        browser.wait(lambda: not browser.texts(".message"), "the page without the message")
