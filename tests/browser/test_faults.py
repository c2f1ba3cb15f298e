"""The page while a server is away, refuses, or loses an answer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from fanfold.http.identity.credentials import ADMIN, READ, WRITE
from fanfold.http.identity.development import KEY_FILE, DevelopmentIssuer
from tests.support.browser import Server, axe_findings, served_by_dev, watched
from tests.support.page_actions import Api, feed, item, level, publish

pytestmark = pytest.mark.slow


def test_a_post_whose_answer_was_lost_is_retried_and_published_once(
    page: Page, demo: Server
) -> None:
    keys: list[str] = []

    def lose_the_first_answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()
            route.fulfill(status=503, headers={"Retry-After": "0"}, json={"detail": "Later."})
        else:
            route.continue_()

    page.route("**/posts", lose_the_first_answer)
    page.goto("/#/feed/olga")
    olga = level(page, "olga")
    publish(olga, "only once")
    expect(item(olga, "only once")).to_have_count(1)
    expect(olga.get_by_role("textbox", name="A post by olga")).to_have_value("")
    assert len(keys) == 2
    assert len(set(keys)) == 1
    found = Api(demo.url)("olga", "GET", "/users/olga/posts")["items"]
    assert [post["content"] for post in found] == ["only once"]


def test_a_refused_post_keeps_its_text_and_says_why(page: Page) -> None:
    page.route(
        "**/posts", lambda route: route.fulfill(status=422, json={"detail": "Say it shorter."})
    )
    page.goto("/#/feed/otto")
    otto = level(page, "otto")
    publish(otto, "too much")
    expect(page.get_by_role("status")).to_contain_text("Say it shorter.")
    expect(otto.get_by_role("textbox", name="A post by otto")).to_have_value("too much")


def test_after_a_restart_the_feed_is_level_again_and_no_post_is_there_twice(
    browser: Browser, tmp_path: Path
) -> None:
    with (
        served_by_dev(tmp_path, "--no-demo", "--data", "data") as server,
        browser.new_context(base_url=server.url) as context,
    ):
        api = Api(server.url)
        api.registered(pia="Pia", pit="Pit")
        api.follows("pia", "pit")
        for content in ("before 1", "before 2"):
            gone = api.posted("pit", content)
        page = context.new_page()
        went_on_from: list[str | None] = []
        page.on(
            "request",
            lambda request: (
                went_on_from.append(request.headers.get("last-event-id"))
                if "/feed/stream" in request.url
                else None
            ),
        )
        page.goto("/#/feed/pia")
        pia = level(page, "pia")
        expect(item(pia, "before 2")).to_be_visible()

        server.stop()
        expect(pia).to_have_attribute("data-state", "waiting")
        server.start()
        api.posted("pit", "after")
        api("pit", "DELETE", f"/posts/{gone}")
        expect(item(pia, "after")).to_be_visible()
        expect(item(pia, "before 2")).to_have_count(0)
        level(page, "pia")
        assert pia.locator(".content").all_text_contents() == ["after", "before 1"]
        assert went_on_from[0] is None
        assert went_on_from[1]


def test_where_users_are_named_by_tokens_a_token_is_asked_for(
    browser: Browser, tmp_path: Path
) -> None:
    with (
        served_by_dev(tmp_path, "--data", ".fanfold", FANFOLD_AUTH="jwt") as server,
        browser.new_context(base_url=server.url) as context,
    ):
        seen = watched(context)
        page = context.new_page()
        page.goto("/#/feed/alice")
        expect(page.get_by_role("heading", name="A token for alice")).to_be_visible()
        expect(page.get_by_role("main")).to_contain_text(".venv/bin/fanfold token alice")
        page.get_by_label("Token").fill("nonsense")
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_role("status")).not_to_be_empty()
        issuer = DevelopmentIssuer(tmp_path / ".fanfold" / KEY_FILE)
        page.get_by_label("Token").fill(token_of(issuer, "alice"))
        page.get_by_role("button", name="Use it").click()
        expect(item(level(page, "alice"), "Hello world!")).to_be_visible()
        publish(feed(page, "alice"), "with a token")
        expect(item(feed(page, "alice"), "with a token")).to_be_visible()
        assert seen.complaints == []

        shown_to_operators(browser, server, issuer)

        expired = {"detail": "The token has expired."}
        page.route("**/feed/stream?*", lambda route: route.fulfill(status=401, json=expired))
        page.reload()
        expect(page.get_by_role("heading", name="A token for alice")).to_be_visible()


def shown_to_operators(browser: Browser, server: Server, issuer: DevelopmentIssuer) -> None:
    """From another machine the console asks for a token, and shows what it may once it has the scope."""
    elsewhere = {"X-Forwarded-For": "10.0.0.7"}
    with browser.new_context(base_url=server.url, extra_http_headers=elsewhere) as context:
        page = context.new_page()
        page.goto("/#/console/")
        main = page.get_by_role("main")
        expect(page.get_by_role("heading", name="A token for an operator")).to_be_visible()
        expect(main).to_contain_text(".venv/bin/fanfold token operator --scope fanfold:admin")
        assert axe_findings(page) == []
        for scopes in ((READ, WRITE), (ADMIN,)):
            page.get_by_label("Token").fill(token_of(issuer, "olga", *scopes))
            with page.expect_response("**/ops/overview"):
                page.get_by_role("button", name="Use it").click()
        expect(page.get_by_text("Healthy: the embedded log")).to_be_visible()
        expect(page.get_by_label("Token")).to_have_count(0)


def token_of(issuer: DevelopmentIssuer, user_id: str, *scopes: str) -> str:
    chosen = scopes or (READ, WRITE)
    now_s = int(time.time())
    return issuer.token(user_id, scopes=chosen, audience="fanfold", now_s=now_s, lifetime_s=600)
