"""A reader's feed in a browser: live, with badges, and with what a reader can do."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import Server
from tests.support.page_actions import Api, feed, item, level, publish
from tests.support.probes import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def api(demo: Server) -> Api:
    return Api(demo.url)


def test_a_post_arrives_at_two_readers_at_once(page: Page) -> None:
    page.goto("/#/feed/bob/alice")
    bob, alice = level(page, "bob"), level(page, "alice")
    publish(bob, "Good morning, everybody!")
    for column in (bob, alice):
        expect(item(column, "Good morning, everybody!")).to_have_count(1)
    expect(page.get_by_role("status")).to_contain_text("1 new post in alice's feed.")
    expect(bob.get_by_role("textbox", name="A post by bob")).to_have_value("")


def test_messages_of_one_moment_are_all_shown(page: Page) -> None:
    """A post's answer and its arrival at another reader come in either order."""
    page.goto("/#/feed/bob/alice")
    level(page, "bob")
    page.evaluate(
        "import('/web/status.js').then(({ say }) => ['One.', 'Two.', 'One.'].forEach(say))"
    )
    expect(page.get_by_role("status")).to_have_text("Two. One.")


def test_a_badge_says_how_a_post_came_and_what_that_means(page: Page) -> None:
    page.goto("/#/feed/alice")
    alice = level(page, "alice")
    pushed = item(alice, "Hello world!").first
    expect(pushed).to_contain_text("push Written into your timeline when Bob published it.")
    pulled = item(alice, "New movie announcement!").first
    expect(pulled).to_contain_text("pull Collected from Nova Star's posts when you read.")


def test_after_an_unfollow_the_authors_posts_are_gone(page: Page, api: Api) -> None:
    api.registered(uma="Uma", ulf="Ulf", ute="Ute")
    api.follows("uma", "ulf", "ute")
    api.posted("ulf", "to be unfollowed")
    api.posted("ute", "to be kept")
    page.goto("/#/feed/uma")
    uma = level(page, "uma")
    mine = item(uma, "to be unfollowed")
    expect(mine).to_be_visible()
    mine.get_by_text("More").click()
    mine.get_by_role("button", name="Unfollow").click()
    expect(mine).to_have_count(0)
    expect(item(uma, "to be kept")).to_be_visible()
    assert not api("uma", "GET", "/users/ulf")["viewer"]["following"]


def test_a_post_is_liked_edited_and_deleted_where_it_stands(page: Page, api: Api) -> None:
    page.goto("/#/feed/lea")
    lea = level(page, "lea")
    publish(lea, "first words")
    post = item(lea, "first words")
    post.get_by_role("button", name="Like").click()
    expect(post.get_by_role("button", name="Like")).to_have_attribute("aria-pressed", "true")
    post.get_by_role("button", name="Edit").click()
    lea.get_by_role("textbox", name="The post's text").fill("second words")
    lea.get_by_role("button", name="Save").click()
    post = item(lea, "second words")
    expect(post).to_contain_text("edited")

    def kept() -> bool:
        found = api("lea", "GET", "/users/lea/posts")["items"]
        return [(one["content"], one["like_count"]) for one in found] == [("second words", 1)]

    assert wait_until(kept, within_s=30, gone=lambda: False)
    post.get_by_role("button", name="Delete").click()
    post.get_by_role("button", name="Really delete").click()
    expect(post).to_have_count(0)
    page.reload()
    expect(level(page, "lea")).to_contain_text("Nothing here yet.")


def test_a_whole_feed_can_be_scrolled_and_no_post_is_there_twice(page: Page, api: Api) -> None:
    contents = [f"number {number}" for number in range(45)]
    for content in contents:
        api.posted("sam", content)
    page.goto("/#/feed/sam")
    sam = level(page, "sam")
    for _ in range(2):
        sam.get_by_role("article").last.scroll_into_view_if_needed()
        page.mouse.wheel(0, 20_000)
        page.wait_for_timeout(200)
    expect(sam).to_contain_text("That is the whole feed.")
    assert sam.locator(".content").all_text_contents() == contents[::-1]


def test_while_one_reads_further_down_new_posts_are_counted_and_the_focus_stays(
    page: Page, api: Api
) -> None:
    api.registered(ned="Ned", nia="Nia")
    api.follows("nia", "ned")
    for number in range(12):
        api.posted("ned", f"earlier {number}")
    page.goto("/#/feed/nia")
    nia = level(page, "nia")
    read = item(nia, "earlier 3")
    read.get_by_role("button", name="Like").focus()
    page.mouse.move(500, 400)
    page.mouse.wheel(0, 900)
    page.wait_for_function("scrollY > 300")
    api.posted("ned", "the news")
    fresh = nia.get_by_role("button", name="1 new post")
    expect(fresh).to_be_visible()
    expect(item(nia, "the news")).to_have_count(0)
    fresh.click()
    expect(item(nia, "the news")).to_be_in_viewport()

    read.get_by_role("button", name="Like").focus()
    page.evaluate("scrollTo(0, 0)")
    api.posted("ned", "more news")
    expect(item(nia, "more news")).to_be_visible()
    expect(read.get_by_role("button", name="Like")).to_be_focused()


def test_by_relevance_the_parts_of_the_score_are_shown_and_new_posts_are_counted(
    page: Page, api: Api
) -> None:
    api.registered(ria="Ria", rob="Rob")
    api.follows("ria", "rob")
    api.posted("rob", "to be ranked")
    page.goto("/#/feed/ria")
    level(page, "ria")
    page.get_by_role("link", name="By relevance").click()
    ria = level(page, "ria")
    shown = item(ria, "to be ranked")
    for part in ("recency0.28", "engagement1.000", "affinity1.000", "score0.28"):
        expect(shown).to_contain_text(part)
    api.posted("rob", "ranked later")
    ria.get_by_role("button", name="1 new post").click()
    expect(item(ria, "ranked later")).to_be_visible()


def test_a_feed_that_is_not_whole_says_what_is_missing_until_it_is_whole(page: Page) -> None:
    page.route(
        "**/users/alice/feed?*",
        lambda route: route.fulfill(
            json={"items": [], "next_cursor": None, "complete": False},
            headers={"Fanfold-Incomplete": "celebrities, likes"},
        ),
        times=1,
    )
    page.goto("/#/feed/alice")
    banner = feed(page, "alice").get_by_role("note")
    expect(banner).to_contain_text("This feed is not whole: celebrities' posts, your likes.")
    banner.get_by_role("button", name="Read again").click()
    expect(banner).to_have_count(0)
    expect(item(feed(page, "alice"), "New movie announcement!").first).to_be_visible()


def test_names_and_posts_are_shown_as_text_whatever_they_hold(page: Page, api: Api) -> None:
    name = "<img src=x onerror=document.title='run'>"
    content = "<script>document.title='run'</script> \"><b>bold</b> {{7*7}} ${7*7} &lt;"
    api.registered(hal=name, hui="Hui")
    api.follows("hui", "hal")
    api.posted("hal", content)
    page.goto("/#/feed/hui")
    shown = item(level(page, "hui"), content)
    expect(shown.get_by_role("link", name=name)).to_be_visible()
    assert shown.locator("img, script, b").count() == 0
    shown.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
    expect(page).to_have_title("People · Fanfold")


def test_the_browser_itself_turns_no_text_into_markup_and_asks_no_other_host(page: Page) -> None:
    page.goto("/#/people")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    tried = """async ([code, url]) => {
      const failed = [];
      try { document.body.innerHTML = "<b>bold</b>"; } catch { failed.push("markup"); }
      try { document.createElement("script").textContent = code; } catch { failed.push("code"); }
      await fetch(url).catch(() => failed.push("another host"));
      return failed;
    }"""
    # Violations are what is wanted here, so the page's complaints are those of another context.
    with page.context.browser.new_context(base_url=page.url) as other:  # type: ignore[union-attr]
        opened = other.new_page()
        opened.goto(page.url)
        found = opened.evaluate(tried, ["1", "http://127.0.0.1:9/"])
    assert found == ["markup", "code", "another host"]
