"""`docs/events.md` against the AsyncAPI document."""

from __future__ import annotations

import re
from typing import get_args

from fanfold.core.events import PublicEvent
from tests.support.events_page import PAGE, events_page


def test_the_page_is_what_the_document_says() -> None:
    assert PAGE.read_text() == events_page(), "run make schemas"


def test_it_has_every_public_event_with_its_key_and_its_fields() -> None:
    page = PAGE.read_text()
    assert set(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == {
        event.__name__ for event in get_args(PublicEvent)
    }
    crossing = page.split("### AuthorModeChanged\n")[1].split("\n## ")[0]
    assert "The key is the `author_id` of the payload." in crossing
    assert '| `cause` | `"count"`, `"review"` | no: without it, `"count"` |' in crossing
    assert "| `follower_count` | integer from 0 | yes |" in crossing
