"""One browser and one server for all tests of the page; each test has a context of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.browser import CHROMIUM, WAITED_MS, Server, chromium, served_by_dev, watched


# For this folder, not for the session: while it runs, this thread's event loop is taken, and other tests need it.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(
            "Chromium is missing: sudo apt-get install chromium-headless-shell, or chromium"
        )
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`make run`, with the demo. Tests share it: each has users and posts of its own."""
    with served_by_dev(tmp_path_factory.mktemp("demo")) as server:
        yield server


@pytest.fixture
def context(browser: Browser, demo: Server) -> Iterator[BrowserContext]:
    """A browser without history, which asks no other host and complains about nothing."""
    with browser.new_context(base_url=demo.url) as opened:
        opened.set_default_timeout(WAITED_MS)
        seen = watched(opened)
        yield opened
        assert seen.hosts() <= {f"127.0.0.1:{demo.port}"}
        assert seen.complaints == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
