"""Debian's Chromium without a window, driven over WebDriver: a profile of its own, and no word to anybody else."""

import base64
import json
import shutil
import time

import pytest

pytest.importorskip("selenium", reason="python3-selenium is not installed")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.options import Options  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402

from . import temporary  # noqa: E402
from .waiting import PATIENCE, until  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # tests run as root too, and in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--lang=en-GB",
)


# Texts whose contrast with what is behind them is below 4.5 to 1.
CONTRAST = """
const channels = (text) => text.match(/[\\d.]+/g).map(Number);
const light = (c) => c.slice(0, 3).map((x) => x / 255).map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
  .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (e) => { for (; e; e = e.parentElement) { const c = channels(getComputedStyle(e).backgroundColor);
  if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
const bad = [];
for (const e of document.querySelectorAll("body *")) {
  const own = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim());
  if (!own || !e.checkVisibility()) continue;
  const [a, b] = [light(channels(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) bad.push(e.id + "." + e.className + ": " + e.textContent);
}
return bad;
"""

# How many points of a canvas have the colour of its first line.
DRAWN = """
const line = getComputedStyle(document.documentElement).getPropertyValue("--one").match(/\\w\\w/g).map((x) => parseInt(x, 16));
const canvas = document.getElementById(arguments[0]);
const points = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
let n = 0;
for (let i = 0; i < points.length; i += 4) n += line.every((x, k) => Math.abs(points[i + k] - x) < 3) && points[i + 3] > 250;
return n;
"""


class Browser:
    """`driver` is Selenium's; what it loads and complains of is kept."""

    def __init__(self, width=1600, height=1200, dark=False):
        if not CHROMIUM or not DRIVER:
            pytest.skip("chromium or chromium-driver is not installed")
        self.folder = temporary.folder("browser-")
        options = Options()
        options.binary_location = CHROMIUM
        for switch in (*SWITCHES, f"--user-data-dir={self.folder}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(service=Service(DRIVER), options=options)
        self.complaints, self.requests = [], []
        self.look(width, height, dark)

    def open(self, address):
        """Goes there. A browser that has just begun may still be on its way to a page of its own."""
        end = time.monotonic() + PATIENCE
        self.driver.get(address)
        while not self.driver.execute_script("return location.href === arguments[0] && document.readyState === 'complete'", address):
            assert time.monotonic() < end, f"{self.driver.current_url}: {self.driver.page_source[:2000]}"
            time.sleep(0.1)
            self.driver.get(address)

    def look(self, width, height=1200, dark=False):
        """A screen of that size, and what its owner prefers; waits until the page has it."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        self.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        taken = "return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]"
        until(lambda: self.driver.execute_script(taken) == [width, dark])

    def gather(self):
        """Reads what was logged since the last time: complaints (errors of the console, whatever breaks the
        Content-Security-Policy) and requests (every address that was asked for, but for those that the policy kept
        from leaving)."""
        asked, kept = {}, set()
        for entry in self.driver.get_log("browser"):
            if entry["level"] == "SEVERE":
                self.complaints.append(entry["message"])
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked[message["params"]["requestId"]] = message["params"]["request"]["url"]
            elif message["method"] == "Network.loadingFailed" and message["params"].get("blockedReason") == "csp":
                kept.add(message["params"]["requestId"])
        self.requests += [url for id, url in asked.items() if id not in kept]

    def picture(self, file, height=None):
        """All of the page as a PNG, however much of it the screen shows, or its first `height` lines."""
        size = "return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        width, whole = self.driver.execute_script(size)
        clip = {"x": 0, "y": 0, "width": width, "height": height or whole, "scale": 1}
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        self.driver.quit()
        temporary.remove(self.folder)
