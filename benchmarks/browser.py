"""A real Chromium without a window, for the benchmark of the report and for tests that look at pages."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SCREENSHOTS = Path(__file__).parents[1] / "build" / "screenshots"
WITHOUT = "no Chromium with its driver on this machine: apt-get install chromium chromium-driver (see README, Tests)"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def find() -> tuple[str, str] | None:
    """The browser and its driver; None if one of them is missing."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    browser = next((path for name in names if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One window; as `driver`, what Selenium gives."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, target: Path | str, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a page, and wait until it has drawn all that it will."""
        self.resize(width, height)
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]},
        )
        self.driver.get(target.as_uri() if isinstance(target, Path) else target)
        self.wait(lambda: self.run("return document.documentElement.dataset.ready"))
        self.settle()

    def resize(self, width: int, height: int) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, until: Callable[[], Any], seconds: float = 30.0) -> Any:
        end = time.monotonic() + seconds
        while not (found := until()):
            assert time.monotonic() < end, "the page did not come to it"
            time.sleep(0.05)
        return found

    def settle(self) -> None:
        """Wait until nothing is drawn any more: what is less urgent is drawn a little later."""
        script = (
            "const done = arguments[0];"
            "setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => done(true))), 150)"
        )
        assert self.driver.execute_async_script(script)

    def find(self, css: str) -> Any:
        return self.driver.find_element("css selector", css)

    def all(self, css: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", css))

    def text(self, css: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).textContent", css))

    def column(self, title: str, table: str = "#runs") -> list[str]:
        """What a column of a table shows."""
        script = """
            const [table, title] = arguments;
            const heads = [...document.querySelectorAll(`${table} thead th`)].map((each) => each.textContent);
            const at = heads.findIndex((head) => head.startsWith(title));
            return [...document.querySelectorAll(`${table} tbody tr`)].map((row) => row.children[at].textContent);
        """
        return list(self.run(script, table, title))

    def click_dot(self, run: int) -> None:
        """Click where a run's dot is drawn."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        script = """
            const chart = document.getElementById("profile");
            chart.scrollIntoView({ block: "center" });
            for (const trace of chart._fullData) {
              const at = (trace.customdata || []).indexOf(arguments[0]);
              if (at < 0) continue;
              const { xaxis, yaxis } = chart._fullLayout;
              const box = chart.getBoundingClientRect();
              const [x, y] = [xaxis.l2p(trace.x[at]), yaxis.l2p(trace.y[at])];
              return [box.left + xaxis._offset + x, box.top + yaxis._offset + y];
            }
        """
        x, y = self.run(script, run)
        actions = ActionBuilder(self.driver)
        actions.pointer_action.move_to_location(int(x), int(y))  # type: ignore[no-untyped-call]
        actions.pointer_action.pause(0.3)
        actions.perform()
        self.settle()
        ActionChains(self.driver).click().perform()
        self.settle()

    def pin(self, run: int) -> None:
        """Press the button of a run in the table."""
        self.run("document.querySelector(`#runs button[data-run='${arguments[0]}']`).click()", run)
        self.settle()

    def choose(self, resource: str) -> None:
        self.run("document.querySelector(`#resources input[value=${arguments[0]}]`).click()", resource)
        self.settle()

    def select(self, css: str, text: str) -> None:
        from selenium.webdriver.support.select import Select

        Select(self.find(css)).select_by_visible_text(text)
        self.settle()

    def errors(self) -> list[str]:
        """What the console has complained of since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def axe(self) -> list[dict[str, Any]]:
        """The violations that axe-core finds, by all of its rules."""
        spec = importlib.util.find_spec("axe_playwright_python")
        assert spec is not None
        assert spec.origin is not None
        script = (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")
        # By the debugger: the page's own policy allows no script that is not its own.
        answer = self.driver.execute_cdp_cmd(
            "Runtime.evaluate",
            {
                "expression": script + "; axe.run().then((found) => JSON.stringify(found.violations))",
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        return list(json.loads(answer["result"]["value"]))

    def screenshot(self, name: str, width: int = 1280) -> None:
        """Keep a picture of the whole page, for a person to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        height = min(self.run("return document.documentElement.scrollHeight"), 8000)
        self.resize(width, height)
        self.settle()
        self.driver.save_screenshot(str(SCREENSHOTS / f"{name}.png"))


@contextlib.contextmanager
def launch() -> Iterator[Browser]:
    """Start a browser.

    Raises:
        FileNotFoundError: If there is none, or its driver is missing.
    """
    found = find()
    if found is None:
        raise FileNotFoundError(WITHOUT)
    from selenium import webdriver

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = found[0]
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found[1]))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
