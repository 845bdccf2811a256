"""A real browser for tests: headless Chromium of the system, driven by Selenium.

Everything is asked for by CSS selectors at the moment of asking: a live page replaces its elements,
so nobody holds on to one. Nothing is downloaded; driver and browser are those that are installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from tests.kit.daemon import eventually
from tests.kit.machine import path_of

#: Names of the browser; ``chromedriver`` comes with it.
NAMES = ("chromium", "chromium-browser", "google-chrome")
DRIVER = "chromedriver"
FLAGS = (
    "--headless",
    "--no-sandbox",  # root, as in CI, cannot have one
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have little of it
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Names of hosts that are not loopback to the browser: their origins are not trustworthy, so it
    # sends them no Sec-Fetch-Site. A network is not needed for that.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
)
DESKTOP = (1280, 900)
PHONE = (390, 844)
#: The property that says whether an element takes clicks.
POINTER = "pointer-events"
#: Seconds one command of the driver may take.
PATIENCE = 30


def find_browser() -> tuple[str, str]:
    """Paths of browser and driver. Without them a test is skipped, or fails where CI is set."""
    browser = next((path for name in NAMES if (path := shutil.which(name))), None)
    return browser or path_of("chromium"), path_of(DRIVER)


@contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile in this directory."""
    binary, driver = find_browser()
    options = Options()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        chrome.set_page_load_timeout(PATIENCE)
        chrome.set_script_timeout(PATIENCE)
        yield Browser(chrome)
    finally:
        chrome.quit()


class Browser:
    """One window."""

    def __init__(self, chrome: webdriver.Chrome) -> None:
        self._chrome = chrome
        self.size(*DESKTOP)

    def reset(self) -> None:
        """As if it had just been started, but for its history."""
        self.scripts(True)
        self._chrome.get("about:blank")
        self.prefer("light")
        self.size(*DESKTOP)
        self.complaints()

    def open(self, address: str) -> None:
        self._chrome.get(address)

    def reload(self) -> None:
        self._chrome.refresh()

    def run(self, script: str, *arguments: object) -> Any:
        """What a JavaScript function body returns."""
        return self._chrome.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """The text of the first match; empty if there is none, or if it is not shown."""
        found = self.run(
            "const found = document.querySelector(arguments[0]);"
            "return found && found.checkVisibility() ? found.innerText : '';",
            selector,
        )
        return str(found).strip()

    def texts(self, selector: str) -> list[str]:
        """The texts of all matches that are shown, with single blanks."""
        found = self.run(
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter((one) => one.checkVisibility())"
            ".map((one) => one.innerText.trim().replace(/\\s+/g, ' '));",
            selector,
        )
        return [str(text) for text in found]

    def attribute(self, selector: str, name: str) -> str | None:
        found = self.run(
            "const found = document.querySelector(arguments[0]);"
            "return found && found.getAttribute(arguments[1]);",
            selector,
            name,
        )
        return None if found is None else str(found)

    def style(self, selector: str, name: str) -> str:
        return str(
            self.run(
                "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]];",
                selector,
                name,
            )
        )

    def click(self, selector: str) -> None:
        """Click where a person would, once the element takes clicks; what is replaced meanwhile is
        looked for again."""

        def done() -> bool:
            try:
                found = self._chrome.find_element(By.CSS_SELECTOR, selector)
                # A table that is used stands still: nothing moves between this and the click.
                self.run("arguments[0].scrollIntoView({ block: 'center' });", found)
                ActionChains(self._chrome).move_to_element(found).perform()
                if not found.is_enabled() or found.value_of_css_property(POINTER) == "none":
                    return False
                found.click()
            except WebDriverException:
                return False
            return True

        eventually(done, f"a click on {selector}")

    def type(self, text: str, into: str = "") -> None:
        """Press keys, in the element with the focus or in a given one."""
        if into:
            self._chrome.find_element(By.CSS_SELECTOR, into).send_keys(text)
        else:
            self._chrome.switch_to.active_element.send_keys(text)

    def wait(self, look: Callable[[], object], what: str) -> None:
        eventually(look, what)

    def wait_text(self, selector: str, text: str) -> None:
        """Wait for the first match to show this, among other things."""
        try:
            eventually(lambda: text in self.text(selector), f"{text!r} in {selector}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.text(selector)!r}") from None

    def mark(self) -> None:
        """Mark this very page; see ``is_marked``."""
        self.run("window.marked = true;")

    def is_marked(self) -> bool:
        """Whether it is still the same page, never loaded again."""
        return self.run("return window.marked === true;") is True

    def prefer(self, scheme: str) -> None:
        """What the person has chosen in the system: ``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._command("Emulation.setEmulatedMedia", features=features)

    def size(self, width: int, height: int) -> None:
        self._command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def scripts(self, allowed: bool) -> None:
        """Whether pages may run scripts."""
        self._command("Emulation.setScriptExecutionDisabled", value=not allowed)

    @property
    def address(self) -> str:
        return self._chrome.current_url

    def complaints(self) -> list[str]:
        """What the browser's console says since the last time."""
        found = self._chrome.get_log("browser")  # type: ignore[no-untyped-call]  # selenium has no types for it
        return [str(entry["message"]) for entry in found]

    def _command(self, command: str, **parameters: object) -> None:
        self._chrome.execute_cdp_cmd(command, parameters)
