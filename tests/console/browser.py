"""Chromium under test: headless, its own profile, and a record of what it asked for and complained about."""

import json
import tempfile
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

WAIT_S = 15.0
CHROMIUM, CHROMEDRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
ARGUMENTS = (
    "--no-sandbox", "--headless=new", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-quic", "--disable-extensions", "--force-prefers-reduced-motion",
    "--lang=en-GB", "--window-size=1400,1000",
)  # fmt: skip


class Browser:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._profile = tempfile.TemporaryDirectory(prefix="nabd-chromium-", ignore_cleanup_errors=True)
        options = Options()
        options.binary_location = CHROMIUM
        for argument in (*ARGUMENTS, f"--user-data-dir={self._profile.name}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))

    def close(self) -> None:
        self.driver.quit()
        self._profile.cleanup()

    def open(self, path: str) -> None:
        """Open a page and wait until it is alive: its socket joined and its content there."""
        self.driver.get(self.url + path)
        self.until(lambda: self.script("return window.socket?.connected === true"), f"{path} never came alive")

    def phone(self, width: int = 390, height: int = 844) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def desktop(self) -> None:
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def script(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def find(self, css: str) -> WebElement:
        found: list[WebElement] = []

        def look() -> bool:
            found[:] = [element for element in self.driver.find_elements(By.CSS_SELECTOR, css) if _shown(element)]
            return bool(found)

        self.until(look, f"nothing visible matches {css}")
        return found[0]

    def click(self, css: str) -> None:
        """Click what is there at that moment: a live list may replace an element while it is looked for."""
        self.find(css)
        self.script("document.querySelector(arguments[0]).click()", css)

    def text(self, css: str) -> str:
        return str(self.script("return document.querySelector(arguments[0])?.innerText ?? ''", css))

    def type(self, css: str, text: str) -> None:
        field = self.find(css)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def until(self, condition: Callable[[], Any], otherwise: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.05)
        raise AssertionError(f"{otherwise}; page: {self.script('return document.body.innerText')[:1500]}")

    def _log(self, kind: str) -> list[Any]:
        return list(self.driver.get_log(kind))  # type: ignore[no-untyped-call]

    def complaints(self) -> list[str]:
        """Errors of the page's scripts since the last call."""
        return [str(row["message"]) for row in self._log("browser") if row["level"] == "SEVERE"]

    def strangers(self) -> set[str]:
        """Hosts other than ours that anything on the pages asked since the last call."""
        hosts = set()
        for row in self._log("performance"):
            message = json.loads(row["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                parameters = message["params"]
                address = parameters.get("url") or parameters["request"]["url"]
                if urlsplit(address).scheme in ("http", "https", "ws", "wss"):
                    hosts.add(urlsplit(address).netloc)
        return hosts - {urlsplit(self.url).netloc}


def _shown(element: WebElement) -> bool:
    try:
        return element.is_displayed()
    except Exception:  # replaced while we looked
        return False
