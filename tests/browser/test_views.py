"""Every view: what it says, that axe finds nothing in it, and that it fits a small screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Server, axe_findings
from tests.support.page_actions import Api, level

pytestmark = pytest.mark.slow

VIEWS = {
    "/": "Posts are pushed",
    "/#/feed/bob/alice": "Hello world!",
    "/#/feed/alice?ranking=relevance": "affinity",
    "/#/people": "nova",
    "/#/people/nova?as=alice": "posts are pulled",
    "/#/people/alice?as=alice": "Save",
}


def test_the_story_is_told_by_four_buttons_with_their_commands(page: Page, demo: Server) -> None:
    page.goto("/")
    expect(page.get_by_role("main")).to_contain_text("An author is pulled from1,500 followers")
    told = {
        "Alice follows Bob and Nova": "Alice follows bob and nova.",
        "Bob publishes a post": "push It goes into the timelines of 1,000 followers.",
        "Nova publishes a post": "pull One row is written; none of 1,500 followers gets a copy.",
        "Alice reads one feed": "pull Nova Star: New movie announcement!",
    }
    for name, said in told.items():
        step = page.get_by_role("listitem").filter(has=page.get_by_role("button", name=name))
        expect(step.locator("code")).to_contain_text(
            f"curl -s {'-X PUT ' if 'Bob and' in name else ''}-H 'X-User-Id: "
        )
        expect(step.locator("code")).to_contain_text(demo.url)
        step.get_by_role("button", name=name).click()
        expect(step).to_contain_text(said)


def test_a_posts_way_to_its_followers_is_drawn(page: Page, demo: Server) -> None:
    api = Api(demo.url)
    pushed, pulled = api.posted("bob", "to be delivered"), api.posted("nova", "to be collected")
    page.goto(f"/#/post/{pushed}?as=bob")
    progress = page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("1,000 of 1,000 deliveries, 1 of 1 slice, done")
    steps = progress.get_by_role("img")
    expect(steps).to_contain_text("appended")
    for step in ("planned", "first slice", "last slice"):
        expect(steps.locator("text").filter(has_text=step)).to_have_count(1)
    assert steps.locator(".when").filter(has_text="+").count() == 3
    page.goto(f"/#/post/{pulled}?as=nova")
    expect(progress).to_contain_text("pull One row is written for any number of followers.")
    expect(progress).to_contain_text("0 of 0 deliveries")


def test_a_profile_says_on_which_side_of_the_threshold_it_is_and_who_follows(page: Page) -> None:
    page.goto("/#/people/nova?as=alice")
    profile = page.get_by_role("region", name="Profile")
    expect(profile).to_contain_text("@nova, 1,500 followers, 0 followed")
    expect(profile).to_contain_text("pull posts are pulled by those who read")
    expect(profile.get_by_role("img")).to_have_accessible_name("1,500 followers, threshold 1,500")
    page.get_by_role("link", name="followers").click()
    followers = page.get_by_role("list", name="followers")
    expect(followers.get_by_role("link", name="fan-0001")).to_be_visible()
    page.get_by_role("button", name="More").click()
    expect(followers.get_by_role("listitem")).to_have_count(40)


def test_a_user_registers_and_is_followed_and_blocked(page: Page) -> None:
    page.goto("/#/people/wim?as=wim")
    page.get_by_label("Name").fill("Wim")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("region", name="Profile")).to_contain_text("@wim")
    page.goto("/#/people/wim?as=vera")
    page.get_by_role("button", name="Follow").click()
    expect(page.get_by_role("region", name="Profile")).to_contain_text("1 follower,")
    page.get_by_role("button", name="Block").click()
    expect(page.get_by_role("button", name="Unblock")).to_be_visible()
    expect(page.get_by_role("button", name="Follow", exact=True)).to_be_visible()
    page.goto("/#/people/vera?as=vera&list=blocked")
    expect(page.get_by_role("list", name="blocked").get_by_role("link", name="Wim")).to_be_visible()


def test_the_documentation_needs_no_other_host(page: Page) -> None:
    page.goto("/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible()


def test_axe_finds_nothing_in_any_view_and_a_small_screen_is_enough(
    page: Page, demo: Server
) -> None:
    page.emulate_media(reduced_motion="reduce")
    post_id = Api(demo.url).posted("bob", "to be looked at")
    for address, said in {**VIEWS, f"/#/post/{post_id}?as=bob": "1,000 of 1,000"}.items():
        page.goto(address)
        expect(page.get_by_role("main")).to_contain_text(said)
        page.emulate_media(color_scheme="light")
        assert axe_findings(page) == [], address
        page.emulate_media(color_scheme="dark")
        assert axe_findings(page, "color-contrast") == [], address
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") == 360, address
        page.set_viewport_size({"width": 1280, "height": 720})


def test_axe_would_find_a_name_that_is_missing_and_a_colour_that_is_too_light(page: Page) -> None:
    page.goto("/#/people")
    expect(page.get_by_role("main")).to_contain_text("nova")
    page.evaluate("document.querySelector('h1').style.color = '#bbb'")
    page.evaluate(
        "document.querySelector('label').replaceWith(document.querySelector('label input'))"
    )
    assert [found["id"] for found in axe_findings(page)] == ["color-contrast", "label"]


def test_all_can_be_done_with_the_keyboard(page: Page) -> None:
    page.goto("/#/feed/kim")
    kim = level(page, "kim")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    write = kim.get_by_role("textbox", name="A post by kim")
    write.focus()
    page.keyboard.type("typed 👩‍👩‍👧")
    expect(kim).to_contain_text("1993 left")
    page.keyboard.press("Control+Enter")
    expect(kim.get_by_role("article")).to_contain_text("typed 👩‍👩‍👧")
    # From the empty composer to what the new post offers, in the order in which it is seen.
    reached: list[str] = []
    for _ in range(7):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert reached == ["See its fan-out", "Publish", "kim", "♡ Like", "Edit", "Delete", "Fan-out"]


def test_a_reader_who_asks_for_less_motion_sees_none(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("document.getAnimations().length") == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate("document.getAnimations().length") > 0
