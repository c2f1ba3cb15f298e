"""The operators' console in a browser: its numbers are those of `/metrics`, and each view shows what is there, or that nothing is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from console_service.overview import FIGURES
from console_service.readings import read_metrics
from tests.support.browser import Server, axe_findings, served_by_dev, watched

pytestmark = pytest.mark.slow

VIEWS = ("", "fan-outs", "dead-letters", "explain", "events", "sizes")


# Other tests look at the feeds of the demo's users.
AUTHOR = "zoe"


def publish(context: BrowserContext, content: str) -> None:
    answer = context.request.post(
        "/posts", headers={"X-User-Id": AUTHOR}, data={"content": content}
    )
    assert answer.ok, answer.text()


def test_the_consoles_numbers_are_those_of_the_metrics(page: Page, context: BrowserContext) -> None:
    page.goto("/#/console/")
    figures = page.locator("[data-figure]")
    expect(figures).to_have_count(len(FIGURES))
    expect(page.get_by_text("Healthy: the embedded log")).to_be_visible()
    expect(page.locator("[data-figure=deliveries] .value")).to_have_text(re.compile(r"^[\d.,]+/s$"))

    def streams(shown: int) -> None:
        """What is shown, and what `/metrics` has at that moment."""
        value = page.locator("[data-figure=streams] .value")
        expect(value).to_have_text(str(shown))
        metrics = read_metrics(context.request.get("/metrics").text())
        assert metrics.streams == shown

    streams(0)
    reader = context.new_page()
    reader.goto(f"/#/feed/{AUTHOR}")
    streams(1)
    reader.close()


def test_a_table_is_behind_each_line(page: Page) -> None:
    page.goto("/#/console/")
    lag = page.locator("[data-figure=lag]")
    expect(lag.get_by_role("table")).to_have_count(0)
    lag.get_by_text("Fifteen minutes").click()
    rows = lag.get_by_role("row")
    expect(rows.first).to_have_text("timevalue")
    assert rows.count() > 1


def test_events_are_chosen_by_topic_key_and_type_and_typing_is_left_alone(
    page: Page, context: BrowserContext
) -> None:
    for n in range(25):
        publish(context, f"<b>event {n}</b>")
    page.goto("/#/console/events")
    key = page.get_by_label("Key")
    key.fill(AUTHOR)
    # The view is asked again meanwhile.
    with page.expect_response(re.compile("/ops/events")):
        pass
    expect(key).to_have_value(AUTHOR)
    page.get_by_role("button", name="Show").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(20)
    expect(rows.first).to_contain_text("PostCreated")
    rows.first.get_by_text("Show").click()
    # As text: a post's markup is no markup of this page.
    expect(rows.first.locator("code")).to_contain_text("<b>event 24</b>")
    page.get_by_role("link", name="Older").click()
    expect(rows).not_to_have_count(20)
    assert "cursor=" in page.url
    page.get_by_label("Topic").select_option("graph.v1")
    page.get_by_label("Type").fill("UserRegistered")
    page.get_by_label("Key").fill("")
    page.get_by_role("button", name="Show").click()
    expect(rows.first).to_contain_text("UserRegistered")
    page.get_by_label("Until").fill("2020-01-02T03:04:05")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Events: none.")).to_be_visible()
    expect(page.get_by_label("Until")).to_have_value("2020-01-02T03:04:05")
    page.go_back()
    page.go_back()
    expect(page.get_by_label("Topic")).to_have_value("posts.v1")


def test_a_feed_is_explained_from_the_page_of_a_post(page: Page, context: BrowserContext) -> None:
    publish(context, "explained")
    posts = context.request.get(f"/users/{AUTHOR}/posts", headers={"X-User-Id": AUTHOR}).json()
    post_id = posts["items"][0]["post_id"]
    page.goto(f"/#/post/{post_id}?as={AUTHOR}")
    page.get_by_role("link", name="Why it is, or is not, in a feed").click()
    expect(page.get_by_role("note")).to_have_text(f"In the feed of {AUTHOR}.")
    reasons = page.get_by_role("region", name="Reasons").locator("tbody tr")
    expect(reasons).to_have_count(1)
    expect(reasons).to_contain_text("ownit is the viewer's own")
    rows = page.get_by_role("region", name="The rows that decide")
    expect(rows.get_by_role("row", name="strategy push")).to_be_visible()
    assert axe_findings(page) == []

    user = page.get_by_label("The feed of")
    expect(user).to_have_value(AUTHOR)
    user.fill("alice")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("note")).to_have_text("Not in the feed of alice.")
    expect(reasons).to_contain_text(f"never-followedalice has never followed {AUTHOR}")
    # The form is the same, so the focus is where it was.
    expect(page.get_by_role("button", name="Show")).to_be_focused()
    page.get_by_role("textbox", name="Post").fill("no-id")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Send a post id: a UUIDv7 in its canonical form.")).to_be_visible()


def test_sizes_show_both_sides_of_the_threshold(page: Page) -> None:
    page.goto("/#/console/sizes")
    expect(page.get_by_text("An author is pulled from 1,500 followers")).to_be_visible()
    largest = page.get_by_role("region", name="The largest").locator("tbody tr")
    expect(largest.first).to_have_text("nova1,500pull")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`fanfold dev` without the demo: nothing has happened yet."""
    with served_by_dev(tmp_path_factory.mktemp("empty"), "--no-demo") as server:
        yield server


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_empty_console_is_whole_fits_360_pixels_and_axe_finds_nothing(
    browser: Browser, empty: Server, scheme: Literal["light", "dark"]
) -> None:
    narrow: Any = {"width": 360, "height": 800}
    with browser.new_context(base_url=empty.url, viewport=narrow, color_scheme=scheme) as context:
        seen = watched(context)
        page = context.new_page()
        for view in VIEWS:
            page.goto(f"/#/console/{view}")
            expect(page.locator(".console > *").first).to_be_visible()
            assert axe_findings(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") == 360
        expect(page.get_by_text("All users: 0")).to_be_visible()
        page.goto("/#/console/")
        expect(page.locator("[data-figure=age_p99] .value")).to_have_text("no data")
        expect(page.locator("[data-figure=dead_letters] .value")).to_have_text("0")
        for view, said in (
            ("fan-outs", "Fan-outs in progress: none."),
            ("dead-letters", "Dead letters: none."),
            ("events", "Events: none."),
        ):
            page.goto(f"/#/console/{view}")
            expect(page.get_by_text(said)).to_be_visible()
        assert (seen.hosts(), seen.complaints) == ({f"127.0.0.1:{empty.port}"}, [])


def test_a_console_that_is_away_says_so_and_comes_back(browser: Browser, empty: Server) -> None:
    with browser.new_context(base_url=empty.url) as context:
        page = context.new_page()
        page.goto("/#/console/")
        away = page.get_by_text("The console does not answer.")
        expect(page.get_by_text("Healthy: the embedded log")).to_be_visible()
        empty.stop()
        try:
            expect(away).to_be_visible()
        finally:
            empty.start()
        expect(away).to_be_hidden()
