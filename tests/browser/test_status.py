"""The status page in a real browser, with the real daemon behind it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import CAT, SLOW, Serve
from tests.kit.browser import PHONE

if TYPE_CHECKING:
    from tests.kit.browser import Browser

PROGRAMS = f"""\
[program:cat]
{CAT}startsecs=0
autorestart=false
[program:grp]
process_name=%(process_num)d
numprocs=2
{CAT}startsecs=0
[program:off]
{CAT}startsecs=0
autostart=false
[program:bad]
command=/bin/sh -c 'echo "cannot reach the database" >&2; exit 7'
startretries=0
[program:gone]
command=/no/such/command
startretries=0
"""
NAMES = ["bad", "cat", "gone", "grp:0", "grp:1", "off"]
TROUBLE_FIRST = ["bad", "gone", "cat", "grp:0", "grp:1", "off"]
MESSAGE = ".message p"
SHOWN = "tr.process:not([hidden]) .name a"
#: Keys that are no characters, as WebDriver sends them.
ESCAPE = "\ue00c"


def row(name: str, within: str = "") -> str:
    return f'tr.process[data-name="{name}"] {within}'.rstrip()


def button(name: str, action: str) -> str:
    return row(name, f'button[value="{action}"]')


def wait_state(browser: Browser, name: str, state: str) -> None:
    browser.wait(lambda: browser.attribute(row(name), "data-state") == state, f"{name} {state}")


def wait_live(browser: Browser) -> None:
    browser.wait_text(".live", "live")
    browser.wait(lambda: browser.attribute("tr.process", "aria-busy") is not None, "a snapshot")


def wait_enabled(browser: Browser, selector: str) -> None:
    """Wait until a button is there and takes clicks."""
    browser.wait(lambda: browser.texts(f"{selector}:enabled"), f"{selector} enabled")


def shown(browser: Browser) -> list[str]:
    return [
        str(name)
        for name in browser.run(
            "return [...document.querySelectorAll('tr.process')]"
            ".filter((row) => row.checkVisibility()).map((row) => row.dataset.name);"
        )
    ]


@pytest.mark.behaviour("http.md#the-live-page")
def test_what_happens_is_seen_at_once(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        browser.open(site.address)
        wait_live(browser)
        browser.mark()
        wait_state(browser, "bad", "fatal")
        assert "exit status 7" in browser.text(row("bad", ".reason"))
        browser.click(row("bad", ".last summary"))
        assert browser.text(row("bad", ".last pre")) == "cannot reach the database"
        assert "can't find command '/no/such/command'" in browser.text(row("gone", ".reason"))
        wait_state(browser, "cat", "running")
        browser.wait_text('tr.group[data-group="grp"]', "2 of 2 running")

        os.kill(site.daemon.pid("cat"), signal.SIGKILL)
        wait_state(browser, "cat", "exited")
        assert "SIGKILL" in browser.text(row("cat", ".reason"))
        assert browser.text(row("cat", ".pid")) == "-"
        browser.wait_text(".events li", "cat exited unexpectedly")
        assert "1 exited" in browser.texts(".summary li")
        pid = site.daemon.pid("grp:0")
        os.kill(pid, signal.SIGKILL)
        site.daemon.wait_for_another_child("grp:0", pid)
        browser.wait(lambda: browser.text(row("grp:0", ".restarts")) == "1", "a restart counted")
        assert browser.text(row("bad", ".last pre")) == "cannot reach the database"
        assert browser.is_marked()
        assert browser.complaints() == []


def test_actions_on_one_process(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        browser.open(site.address)
        wait_live(browser)
        browser.mark()
        wait_state(browser, "cat", "running")
        browser.click(button("cat", "stop"))
        browser.wait_text(MESSAGE, "Process cat stopped")
        wait_state(browser, "cat", "stopped")
        browser.click(button("cat", "start"))
        browser.wait_text(MESSAGE, "Process cat started")
        wait_state(browser, "cat", "running")
        pid = site.daemon.pid("cat")
        browser.click(button("cat", "restart"))
        browser.wait_text(MESSAGE, "Process cat restarted")
        browser.wait(
            lambda: browser.text(row("cat", ".pid")) == str(site.daemon.pid("cat")), "the new pid"
        )
        assert site.daemon.pid("cat") != pid
        log = site.daemon.directory / "noise"
        log.write_text("noise")
        browser.click(row("cat", ".menu summary"))
        browser.click(button("cat", "clearlog"))
        browser.wait_text("dialog.ask", "Clear 2 logs of cat (stdout and stderr)?")
        browser.type(ESCAPE)
        browser.wait(lambda: not browser.texts("dialog.ask"), "the dialog being gone")
        browser.click(row("cat", ".menu summary"))
        browser.click(button("cat", "clearlog"))
        browser.click("dialog.ask .primary")
        browser.wait_text(MESSAGE, "Log for cat cleared")
        browser.click(button("gone", "start"))
        browser.wait_text(MESSAGE, "ERROR: Process gone: no such file")
        assert "bad" in (browser.attribute(".message", "class") or "").split()
        assert browser.is_marked()
        assert browser.complaints() == []


def test_actions_on_many_ask_first_and_show_that_they_go_on(browser: Browser, serve: Serve) -> None:
    slow = f"[program:slow]\n{SLOW}startsecs=0\n"
    with serve(PROGRAMS + slow) as site:
        browser.open(site.address)
        wait_live(browser)
        browser.mark()
        wait_state(browser, "grp:1", "running")
        stop_group = 'tr.group[data-group="grp"] button[value="stopgroup"]'
        browser.click(stop_group)
        browser.wait_text("dialog.ask", "Stop all 2 processes (2 running) of the group grp?")
        browser.type(ESCAPE)
        browser.wait(lambda: not browser.texts("dialog.ask"), "the dialog being gone")
        browser.click(stop_group)
        browser.click("dialog.ask button[value='']")
        browser.wait(lambda: not browser.texts("dialog.ask"), "the dialog being gone")
        browser.click(stop_group)
        browser.click("dialog.ask .primary")
        browser.wait_text(MESSAGE, "Group grp stopped")
        wait_state(browser, "grp:0", "stopped")
        wait_state(browser, "grp:1", "stopped")
        assert site.daemon.state("cat") == "RUNNING"
        browser.click('tr.group[data-group="grp"] button[value="startgroup"]')
        browser.wait_text(MESSAGE, "Group grp started")
        wait_state(browser, "grp:0", "running")

        browser.click(".everything button[value='stopall']")
        browser.wait_text("dialog.ask", "Stop all 7 processes (4 running) of the daemon")
        browser.click("dialog.ask .primary")
        wait_state(browser, "slow", "stopping")
        wait_state(browser, "cat", "stopped")
        assert browser.attribute(row("slow"), "aria-busy") == "true"
        assert browser.attribute(row("cat"), "aria-busy") == "true"
        assert browser.attribute(button("cat", "start"), "disabled") is not None
        assert browser.text(MESSAGE) == "Stop All …"
        (site.daemon.directory / "go").touch()
        browser.wait_text(MESSAGE, "All stopped at")
        wait_state(browser, "slow", "stopped")
        assert browser.attribute(row("cat"), "aria-busy") == "false"
        wait_enabled(browser, button("cat", "start"))
        browser.click(".everything button[value='startall']")
        browser.wait_text(MESSAGE, "ERROR: bad: spawn error; gone: no such file")
        wait_state(browser, "off", "running")
        browser.click(".everything button[value='restartall']")
        browser.click("dialog.ask .primary")
        browser.wait_text(MESSAGE, "All restarted at")
        assert browser.is_marked()
        assert browser.complaints() == []


def test_filter_sort_and_keyboard(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        browser.open(site.address)
        wait_live(browser)
        wait_state(browser, "bad", "fatal")
        wait_state(browser, "grp:1", "running")
        browser.wait(lambda: shown(browser) == TROUBLE_FIRST, "trouble first")
        browser.type("/")
        browser.type("grp")
        assert shown(browser) == ["grp:0", "grp:1"]
        browser.type("x")
        assert shown(browser) == []
        assert browser.text(".nothing") == "No name or state contains grpx. Show all"
        browser.type(ESCAPE)
        assert shown(browser) == TROUBLE_FIRST
        assert browser.texts(".nothing") == []
        browser.click('.summary a[data-filter="fatal"]')
        assert shown(browser) == ["bad", "gone"]
        assert browser.attribute('.summary a[data-filter="fatal"]', "aria-current") == "true"
        browser.click('.summary a[data-filter="fatal"]')
        browser.run(
            "const sort = document.querySelector('[name=sort]'); sort.value = arguments[0];"
            "sort.dispatchEvent(new Event('change', {bubbles: true}));",
            "state",
        )
        assert shown(browser) == ["bad", "gone", "cat", "grp:0", "grp:1", "off"]
        assert browser.text(row("grp:0", ".name")) == "grp:0"
        browser.run(
            "const sort = document.querySelector('[name=sort]'); sort.value = 'name';"
            "sort.dispatchEvent(new Event('change', {bubbles: true}));"
        )
        assert shown(browser) == NAMES
        assert browser.text(row("grp:0", ".name")) == "0"
        browser.click('th[data-sort="name"] a')
        assert shown(browser) == NAMES[::-1]
        assert browser.attribute('th[data-sort="name"]', "aria-sort") == "descending"
        browser.click('th[data-sort="pid"] a')
        pids = [site.daemon.pid(name) for name in shown(browser)[:3]]
        assert pids == sorted(pids)
        browser.click('th[data-sort="pid"] a')
        assert shown(browser)[-3:] == sorted(shown(browser)[-3:], key=site.daemon.pid)[::-1]
        browser.click('th[data-sort="name"] a')
        assert shown(browser) == NAMES

        focus = "return document.activeElement.dataset.name;"
        browser.type("j")
        assert browser.run(focus) == "bad"
        browser.type("o")
        assert "cannot reach" in browser.text(row("bad", ".last pre"))
        browser.type("j")
        assert browser.run(focus) == "cat"
        browser.type("x")
        browser.wait_text("dialog.ask", "Stop the process cat?")
        browser.type(ESCAPE)
        browser.wait(lambda: not browser.texts("dialog.ask"), "the dialog being gone")
        assert site.daemon.state("cat") == "RUNNING"
        browser.type("x")
        browser.click("dialog.ask .primary")
        wait_state(browser, "cat", "stopped")
        browser.wait(lambda: browser.run(focus) == "cat", "the focus being where it was")
        wait_enabled(browser, button("cat", "start"))
        browser.type("s")
        wait_state(browser, "cat", "running")
        browser.type("k")
        assert browser.run(focus) == "bad"
        browser.type("?")
        browser.wait_text("dialog.help", "Keyboard shortcuts")
        browser.type(ESCAPE)
        browser.wait(lambda: not browser.texts("dialog.help"), "the help being gone")
        browser.type("l")
        browser.wait(lambda: "log.html?processname=bad" in browser.address, "the log page")
        browser.run("history.back();")
        browser.wait(lambda: browser.texts(".processes"), "the status page")
        wait_live(browser)
        os.kill(site.daemon.pid("cat"), signal.SIGKILL)
        wait_state(browser, "cat", "exited")


def test_charts_reach_into_the_past(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        browser.open(site.address)
        path = row("cat", ".memory .chart path:last-child")
        browser.wait(lambda: (browser.attribute(path, "d") or "").count("L") >= 1, "a chart")
        browser.wait_text(row("cat", ".memory"), "iB")
        browser.wait_text(row("cat", ".cpu"), "%")
        drawn = (browser.attribute(path, "d") or "").count("L")
        browser.reload()
        wait_live(browser)
        browser.wait(
            lambda: (browser.attribute(path, "d") or "").count("L") >= drawn, "the chart as it was"
        )
        assert "%" in browser.text(row("cat", ".cpu"))
        assert browser.complaints() == []


def test_a_daemon_that_goes_and_comes_back(browser: Browser, serve: Serve) -> None:
    slow = f"[program:slow]\n{SLOW}startsecs=0\n"
    with serve(PROGRAMS + slow) as site:
        browser.open(site.address)
        wait_live(browser)
        browser.mark()
        site.daemon.rpc.shutdown()
        browser.wait_text(MESSAGE, "The supervisor is shutting down.")
        wait_state(browser, "slow", "stopping")
        (site.daemon.directory / "go").touch()
        assert site.daemon.process.wait(30) == 0
        browser.wait_text(".live", "daemon is gone, reconnecting")
    (site.daemon.directory / "go").unlink()
    with serve(PROGRAMS + slow) as site:
        browser.wait_text(".live", "live")
        wait_state(browser, "cat", "running")
        browser.click(button("cat", "stop"))
        browser.wait_text(MESSAGE, "Process cat stopped")
        assert browser.is_marked()

        site.daemon.rpc.shutdown()
        browser.open(site.address)
        assert browser.text("main").startswith("The supervisor is shutting down.")
        (site.daemon.directory / "go").touch()
        assert site.daemon.process.wait(30) == 0
    with serve(PROGRAMS) as site:
        browser.wait(lambda: browser.texts(".processes"), "the page being back by itself")


def test_light_and_dark_on_desktop_and_phone(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        browser.open(site.address)
        light = browser.style("body", "backgroundColor")
        browser.prefer("dark")
        dark = browser.style("body", "backgroundColor")
        assert light != dark
        browser.type("t")
        assert browser.style("body", "backgroundColor") == light
        browser.reload()
        assert browser.style("body", "backgroundColor") == light
        browser.run("localStorage.clear();")
        for width in (1100, 900, 780):
            browser.size(width, 700)
            assert browser.run("return document.documentElement.scrollWidth <= innerWidth;")
        browser.size(*PHONE)
        for place in ("", "tail.html?processname=cat", "?action=stopall"):
            browser.open(site.address + place)
            assert browser.style("body", "backgroundColor") == dark
            assert browser.run("return document.documentElement.scrollWidth <= innerWidth;")
        browser.open(site.address)
        wait_live(browser)
        wait_state(browser, "cat", "running")
        browser.click(button("cat", "stop"))
        browser.wait_text(MESSAGE, "Process cat stopped")


@pytest.mark.behaviour("http.md#other-addresses")
def test_without_scripts(browser: Browser, serve: Serve) -> None:
    with serve(PROGRAMS) as site:
        site.daemon.wait_for("bad", "FATAL")
        browser.scripts(False)
        browser.open(site.address)
        assert browser.texts(".tools") == []
        assert "exit status 7" in browser.text(row("bad", ".reason"))
        browser.click(button("cat", "stop"))
        browser.wait_text(MESSAGE, "Process cat stopped")
        browser.click(button("cat", "start"))
        browser.wait_text(MESSAGE, "Process cat started")
        browser.click(".everything button[value='stopall']")
        browser.wait_text("h1", "Stop all 6 processes (3 running) of the daemon")
        browser.click("main a")
        browser.wait(lambda: browser.texts(".processes"), "the status page")
        assert site.daemon.state("cat") == "RUNNING"
        browser.click('tr.group[data-group="grp"] button[value="stopgroup"]')
        browser.click("main .primary")
        browser.wait_text(MESSAGE, "Group grp stopped")
        browser.type("off", into="[name=filter]")
        browser.click(".apply")
        browser.wait(lambda: shown(browser) == ["off"], "the filter")
        browser.click(row("off", ".name a"))
        browser.wait_text("h1", "off")
