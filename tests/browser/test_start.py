"""The page's first view, and the page of the documentation."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import axe_findings

pytestmark = pytest.mark.slow


def test_the_first_view_says_what_runs(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("main")).to_contain_text("pulled from1,500 followers")


def test_the_documentation_needs_no_other_host(page: Page) -> None:
    page.goto("/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert axe_findings(page) == []
