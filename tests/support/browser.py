"""A real browser in front of `make run`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.support.probes import free_port

ROOT = Path(__file__).parents[2]
# The same engine without a window system and a browser's own pages: half the CPU time.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
_ANSWERS_WITHIN_S = 60
_FOUND = "({ violations }) => violations.map(({ id, nodes }) => ({ id, nodes: nodes.map(n => n.html) })))"
_OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)

# Beside other tests a page takes longer than Playwright's five seconds.
WAITED_MS = 30_000
expect.set_options(timeout=WAITED_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


class Server:
    """`fanfold dev` as a process. It can be stopped and started again at the same port."""

    def __init__(self, *options: str, directory: Path, settings: dict[str, str]) -> None:
        self.port = free_port()
        self._command = [sys.executable, "-m", "fanfold", "dev", "--port", str(self.port), *options]
        self._directory = directory
        path = f"{ROOT}:{ROOT / 'services'}"
        inherited = {
            name: value
            for name, value in os.environ.items()  # noqa: TID251 - passed on
            if not name.startswith("FANFOLD_")
        }
        self._environment = {**inherited, "PYTHONPATH": path, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it answers."""
        printed = self._directory / "printed.txt"
        with printed.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + _ANSWERS_WITHIN_S
        while not self._answers():
            assert self._process.poll() is None, printed.read_text()
            assert time.monotonic() < deadline, printed.read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """End it as SIGTERM does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None


@contextmanager
def served_by_dev(directory: Path, *options: str, **settings: str) -> Iterator[Server]:
    """A server of its own, with these options of `fanfold dev`; stopped afterwards."""
    server = Server(*options, directory=directory, settings=settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass
class Seen:
    """What a browser has asked for, and what it has complained about."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def hosts(self) -> set[str]:
        """Every host that was asked for anything."""
        return {urlsplit(url).netloc for url in self.requests if urlsplit(url).scheme != "data"}


def watched(context: BrowserContext) -> Seen:
    """From now on, what this context does is noted. Answers of 4xx and 5xx are no complaint: a test may want them."""
    seen = Seen()
    context.on("request", lambda request: seen.requests.append(request.url))
    context.on("weberror", lambda error: seen.complaints.append(str(error.error)))
    context.on(
        "console",
        lambda message: (
            seen.complaints.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text
            else None
        ),
    )
    return seen


def npm_packages() -> Path:
    """Where the packages of `tests/support/page` are; fetched once."""
    command = str(ROOT / "scripts" / "check_page")
    done = subprocess.run([command, "--fetch"], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip()) / "node_modules"


def axe_findings(page: Page, *rules: str) -> list[dict[str, Any]]:
    """What axe finds on the page as it is shown: nothing is what is wanted. All rules of WCAG and of good practice, or these."""
    # As a debugger runs it: the page's policy forbids every other way to add a script.
    session = page.context.new_cdp_session(page)
    if not page.evaluate("'axe' in window"):
        script = (npm_packages() / "axe-core" / "axe.min.js").read_text()
        session.send("Runtime.evaluate", {"expression": script})
    options = json.dumps({"runOnly": rules} if rules else {})
    asked = f"axe.run({options}).then(" + _FOUND
    answer = session.send(
        "Runtime.evaluate",
        {"expression": asked, "awaitPromise": True, "returnByValue": True},
    )
    session.detach()
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    found: list[dict[str, Any]] = answer["result"]["value"]
    return found
