"""What tests of the page do beside the browser: users and posts by the API, and parts of the page by their roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2
from playwright.sync_api import Locator, Page, expect


@dataclass(frozen=True, slots=True)
class Api:
    """The API of a server that trusts `X-User-Id`."""

    url: str

    def __call__(self, actor: str, method: str, path: str, body: object = None) -> Any:
        """The answer's body. Anything but success fails the test."""
        answer = httpx2.request(
            method, f"{self.url}{path}", headers={"X-User-Id": actor}, json=body, timeout=20
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def registered(self, **names: str) -> None:
        """Users with these display names."""
        for user_id, name in names.items():
            self(user_id, "PUT", f"/users/{user_id}", {"display_name": name})

    def follows(self, follower: str, *followees: str) -> None:
        self(follower, "PUT", f"/users/{follower}/following", {"user_ids": list(followees)})

    def posted(self, author: str, content: str) -> str:
        """The id of a new post."""
        return str(self(author, "POST", "/posts", {"content": content})["post_id"])


def feed(page: Page, viewer: str) -> Locator:
    """A reader's column."""
    return page.get_by_role("region", name=f"{viewer}'s feed")


def level(page: Page, viewer: str) -> Locator:
    """A reader's column, once it is live."""
    column = feed(page, viewer)
    expect(column).to_have_attribute("data-state", "level")
    return column


def item(column: Locator, content: str) -> Locator:
    """The posts in a column that say exactly this."""
    said = column.page.get_by_text(content, exact=True)
    return column.get_by_role("article").filter(has=said)


def publish(column: Locator, content: str) -> None:
    column.get_by_role("textbox", name="A post by").fill(content)
    column.get_by_role("button", name="Publish").click()
