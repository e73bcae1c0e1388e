"""A headless Chromium on the page: what a user does, by file inputs, mouse and keys.

It is driven by chromedriver, which is spoken to as the W3C's WebDriver says.
"""

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import HTTPErrorProcessor, ProxyHandler, Request, build_opener

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
SECONDS = 60  # that anything may take
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver's key of an element's name
TAB, ARROW_UP = "\ue004", "\ue013"


def is_installed() -> bool:
    """Says whether there is a Chromium, and what drives it."""
    return all(map(shutil.which, ("chromium", "chromedriver")))


@contextmanager
def _driver() -> Iterator[str]:
    """Yields the address of a chromedriver."""
    command = ["chromedriver", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            lines = iter(process.stdout.readline, "")
            ports = (re.search(r"successfully on port (\d+)", line) for line in lines)
            yield f"http://127.0.0.1:{next(filter(None, ports))[1]}"
        finally:
            process.terminate()


class Page:
    """The page in a browser."""

    def __init__(self, session: str, downloads: Path):
        self._session, self.downloads = session, downloads

    @classmethod
    @contextmanager
    def opened(cls, address: str, folder: Path, window: str = "1200,1000") -> Iterator["Page"]:
        """Yields the page, which the browser has loaded.

        Args:
            address: of it.
            folder: for what the browser keeps and downloads.
            window: its width and height.
        """
        options = {
            "binary": shutil.which("chromium"),
            "args": [*FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={window}"],
            "prefs": {"download.default_directory": str(folder / "downloads")},
        }
        wanted = {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
            "unhandledPromptBehavior": "accept",
        }  # fmt: skip
        with _driver() as driver:
            begun = _call("POST", f"{driver}/session", {"capabilities": {"alwaysMatch": wanted}})
            page = cls(f"{driver}/session/{begun['sessionId']}", folder / "downloads")
            try:
                page.ask("POST", "/url", url=address)
                page.wait("document.body.dataset.ready === 'yes'")
                yield page
            finally:
                page.ask("DELETE", "")

    def ask(self, method: str, path: str, **values: Any) -> Any:
        """Asks the driver for something of WebDriver's."""
        return _call(method, self._session + path, values if method == "POST" else None)

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs JavaScript, and returns what it does."""
        return self.ask("POST", "/execute/sync", script=script, args=arguments)

    def all(self, selector: str) -> list["Element"]:
        """Returns all elements that a selector of CSS finds."""
        found = self.ask("POST", "/elements", using="css selector", value=selector)
        return [Element(self, one) for one in found]

    def get(self, name: str) -> "Element":
        """Returns the element of an id."""
        return self.all(f"#{name}")[0]

    def wait(self, condition: str) -> None:
        """Waits until JavaScript's condition is true."""
        _until(lambda: self.run(f"return {condition}"), condition)

    def picture(self) -> bytes:
        """Returns a PNG of the window."""
        return base64.b64decode(self.ask("GET", "/screenshot"))

    def log(self) -> list[str]:
        """Returns the lines of the browser's console."""
        return [line["message"] for line in self.ask("POST", "/se/log", type="browser")]

    def add(self, kind: str, photos: Sequence[Path]) -> None:
        """Adds photos, "support" or "query"."""
        there = len(self.all(f"#{kind}-strip li"))
        self.get(f"{kind}-files").write("\n".join(map(str, photos)))
        self.wait(f"document.querySelectorAll('#{kind}-strip li').length === {there + len(photos)}")

    def open(self, number: int) -> None:
        """Opens a support to paint on, counted from 0."""
        self.all("#support-strip .thumb")[number].click()
        self.wait("document.getElementById('photo').complete")

    def paint(self, points: Sequence[tuple[float, float]], tool: str = "brush") -> None:
        """Paints by mouse.

        Args:
            points: where the mouse goes with its button down, in shares of the photo's width and height.
            tool: "brush", "outline" or "eraser".
        """
        self.all(f"#tools input[value={tool}]")[0].click()
        left, top, width, height = self.run(
            "arguments[0].scrollIntoView({block: 'center'}); const at = arguments[0].getBoundingClientRect();"
            "return [at.left, at.top, at.width, at.height]",
            self.get("canvas").name,
        )
        moves = [
            {
                "type": "pointerMove",
                "duration": 20,
                "x": round(left + x * width),
                "y": round(top + y * height),
            }
            for x, y in points
        ]
        press, release = ({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))
        acts = [moves[0], press, *moves[1:], release]
        self.ask("POST", "/actions", actions=[{"type": "pointer", "id": "mouse", "actions": acts}])

    def slide(self, name: str, value: float) -> None:
        """Sets a slider."""
        self.run(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
            self.get(name).name, value,
        )  # fmt: skip

    def segment(self) -> None:
        """Has the photos segmented, and waits for it."""
        self.get("segment").click()
        said = "document.getElementById('message').hidden"
        self.wait(f"!{said} || document.getElementById('status').textContent === 'Done.'")

    def saved(self, button: "Element", name: str) -> bytes:
        """Clicks on what saves a file, and returns what it holds."""
        button.click()
        file = self.downloads / name
        _until(file.exists, name)
        content = file.read_bytes()
        file.unlink()
        return content


class Element:
    """Something on the page."""

    def __init__(self, page: Page, name: dict[str, str]):
        self.page, self.name = page, name
        self._path = f"/element/{name[ELEMENT]}"

    def click(self) -> None:
        """Clicks on it."""
        self.page.run("arguments[0].scrollIntoView({block: 'center'})", self.name)
        self.page.ask("POST", f"{self._path}/click")

    def write(self, text: str) -> None:
        """Types keys, or gives files to an input that takes them."""
        self.page.ask("POST", f"{self._path}/value", text=text)

    def rewrite(self, text: str) -> None:
        """Types in place of what a field holds."""
        self.page.ask("POST", f"{self._path}/clear")
        self.write(text + TAB)

    @property
    def text(self) -> str:
        """What a user reads in it."""
        return self.page.ask("GET", f"{self._path}/text")


class _AsTheyAre(HTTPErrorProcessor):
    """Leaves answers that tell of errors to be read."""

    def http_response(self, request, response):
        return response


def _call(method: str, address: str, values: Any) -> Any:
    body = None if values is None else json.dumps(values).encode()
    request = Request(address, body, {"Content-Type": "application/json"}, method=method)
    opener = build_opener(ProxyHandler({}), _AsTheyAre)
    with opener.open(request, timeout=SECONDS) as answer:
        value = json.load(answer)["value"]
    if isinstance(value, dict) and "error" in value:
        raise AssertionError(f"{method} {address}: {value['error']}: {value['message'][:500]}")
    return value


def _until(condition, name: str) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, name
        time.sleep(0.05)
