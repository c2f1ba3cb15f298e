"""The demo's story with a generated client: `python story.py http://127.0.0.1:8080`, or with a token of ann and one of ben after it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from fanfold_client import Client
from fanfold_client.api.feeds import read_feed
from fanfold_client.api.graph import follow_user, read_user, register_user
from fanfold_client.api.posts import create_post
from fanfold_client.models import (
    ExplainedItem,
    LevelEvent,
    PostShownEvent,
    PostText,
    ProblemDocument,
    ProfileGiven,
    ReadFeedRanking,
)

TEXTS = ["one", "two", "three"]


def live(client: Client, user: str) -> Iterator[LevelEvent | PostShownEvent]:
    """The events of a live feed. Generated clients read a whole answer, so this reads the stream itself."""
    with client.get_httpx_client().stream("GET", f"/users/{user}/feed/stream") as answer:
        answer.raise_for_status()
        event: dict = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name:
                event[name] = json.loads(value) if name == "data" else value
                continue
            form = {"post": PostShownEvent, "level": LevelEvent}.get(event.get("event", ""))
            if form:
                yield form.from_dict(event)
            event = {}


def main(url: str, *tokens: str) -> None:
    shown_by = [{"Authorization": f"Bearer {token}"} for token in tokens]
    ann, ben = (
        Client(base_url=url, headers=headers, timeout=10)
        for headers in shown_by or ({"X-User-Id": "ann"}, {"X-User-Id": "ben"})
    )
    for user, client, name in (("ann", ann, "Ann"), ("ben", ben, "Ben")):
        profile = register_user.sync(user, client=client, body=ProfileGiven(display_name=name))
        assert not isinstance(profile, ProblemDocument | None), profile
    followed = follow_user.sync_detailed("ann", "ben", client=ann)
    after = [followed.headers["Fanfold-Position"]]

    stream = live(ann, "ann")
    while not isinstance(next(stream), LevelEvent):  # it shows what is there, and is open then
        pass
    for text in TEXTS:
        published = create_post.sync_detailed(client=ben, body=PostText(content=text))
        assert published.parsed.content == text
        after.append(published.headers["Fanfold-Position"])

    # Reads that hold the writes above, page by page. Older posts come after them: the story may be told again.
    read, cursor = [], None
    while True:
        page = read_feed.sync(
            "ann",
            client=ann,
            limit=2,
            ranking=ReadFeedRanking.CHRONOLOGICAL,
            cursor=cursor,
            fanfold_after=", ".join(after),
        )
        read += [item.content for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert read[: len(TEXTS)] == TEXTS[::-1], read

    shown: set[str] = set()
    while not shown >= set(TEXTS):
        event = next(stream)
        if isinstance(event, PostShownEvent):
            shown.add(event.data.content)
    stream.close()

    explained = read_feed.sync("ann", client=ann, explain=True)
    assert isinstance(explained.items[0], ExplainedItem)
    assert explained.items[0].explain.score > 0

    # A write that no engine has: 503, with the seconds to wait.
    refused = read_user.sync_detailed("ben", client=ann, fanfold_after="graph.v1/0/999999999")
    assert refused.status_code == 503
    assert refused.parsed.type_ == "urn:fanfold:problem:write-not-yet-visible", refused
    assert int(refused.headers["Retry-After"]) > 0
    print("the story is told")


if __name__ == "__main__":
    main(*sys.argv[1:])
