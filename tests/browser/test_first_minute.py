"""A newcomer's first minute, as the README shows it. `make pictures` keeps what is seen, in docs/pictures."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import ROOT
from tests.support.fan_out_animation import animation, steps_of
from tests.support.page_actions import item, level, publish

pytestmark = pytest.mark.slow

PICTURES = ROOT / "docs" / "pictures"
ANIMATION = PICTURES / "fan-out.svg"
MOST_BYTES = 110_000
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
STORY = ("Alice follows", "Bob publishes", "Nova publishes", "Alice reads")


def keep(page: Page, name: str) -> None:
    """The picture in light and in dark: in docs/pictures if that is asked for."""
    directory = PICTURES if os.getenv("PICTURES") else None
    # What was said last would cover what is shown.
    page.evaluate("document.querySelector('.status').style.visibility = 'hidden'")
    # The readers' server has this port.
    page.evaluate(
        "for (const line of document.querySelectorAll('code')) line.textContent = line.textContent.replace(location.port, 8080)"
    )
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        if directory:
            directory.mkdir(exist_ok=True)
            page.screenshot(path=directory / f"{name}-{scheme}.png", animations="disabled")


def the_fan_out(page: Page) -> str:
    """The fan-out that the page shows, as an animation with its times."""
    found = re.search(r"#/post/([^?]+)", page.url)
    assert found
    path, headers = f"/posts/{found[1]}", {"X-User-Id": "bob"}
    post = page.request.get(path, headers=headers).json()
    fanout = page.request.get(f"{path}/fanout", headers=headers).json()
    return animation("Bob", fanout["planned"], steps_of(post["created_at"], fanout))


def a_minute_of_work(page: Page) -> None:
    """So that the console's lines show something."""
    for looks in range(12):
        for n in range(1 + looks % 4):
            post = {"content": f"Bread {looks}, {n}."}
            page.request.post("/posts", headers={"X-User-Id": "bob"}, data=post)
            page.request.get("/users/alice/feed", headers={"X-User-Id": "alice"})
        with page.expect_response("**/ops/overview"):
            pass


def test_the_first_minute_is_as_the_readme_shows_it(page: Page) -> None:
    page.set_viewport_size({"width": 900, "height": 620})
    page.goto("/")
    for name in STORY:
        page.get_by_role("button", name=name).click()
    expect(page.get_by_role("main")).to_contain_text("pull Nova Star: New movie announcement!")
    page.evaluate("scrollTo(0, 0)")
    keep(page, "start")

    page.set_viewport_size({"width": 1000, "height": 620})
    page.get_by_role("link", name="Watch Bob and Alice, live").click()
    bob, alice = level(page, "bob"), level(page, "alice")
    publish(bob, "Fresh bread from seven o'clock.")
    arrived = item(alice, "Fresh bread from seven o'clock.")
    expect(arrived).to_contain_text("push Written into your timeline when Bob published it.")
    expect(item(alice, "New movie announcement!").first).to_contain_text("pull Collected from")
    arrived.get_by_role("button", name="Like").click()
    keep(page, "feeds")

    page.set_viewport_size({"width": 820, "height": 470})
    bob.get_by_role("link", name="See its fan-out").click()
    expect(page.get_by_role("region", name="Progress")).to_contain_text("1,000 of 1,000")
    keep(page, "fan-out")
    drawn = the_fan_out(page)
    if os.getenv("PICTURES"):
        ANIMATION.write_text(drawn)

    page.set_viewport_size({"width": 1000, "height": 640})
    page.get_by_role("link", name="Console").click()
    expect(page.get_by_text("Healthy: the embedded log")).to_be_visible()
    expect(page.locator("[data-figure=deliveries] .value")).to_contain_text("/s")
    if os.getenv("PICTURES"):
        a_minute_of_work(page)
    keep(page, "console")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["start", "feeds", "fan-out", "console"])
def test_the_kept_pictures_are_small(name: str, scheme: Scheme) -> None:
    picture: Path = PICTURES / f"{name}-{scheme}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < MOST_BYTES


def test_the_kept_animation_is_small_and_stands_still_for_readers_who_ask_for_that(
    page: Page,
) -> None:
    drawn = ANIMATION.read_text()
    assert len(drawn) < MOST_BYTES
    assert drawn == animation("Bob", 1_000, _steps(drawn))
    page.goto(f"data:image/svg+xml;charset=utf-8,{quote(drawn)}")
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate("document.getAnimations().length") == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate("document.getAnimations().length") == 24


def _steps(drawn: str) -> list[tuple[str, int]]:
    """Those that are written in it."""
    names = re.findall(r">([a-z ]+)</text><circle", drawn)
    times = re.findall(r">\+?([0-9,]+) ms</text></g>", drawn)
    return [(name, int(at.replace(",", ""))) for name, at in zip(names, times, strict=True)]
