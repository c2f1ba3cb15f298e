"""Few classes have to be known to change how a feed is read."""

from __future__ import annotations

import sys
from types import FrameType

from tests.support.feed import World, a_feed_client, a_reader

_MOST = 25


class _ClassesMet:
    """The classes of the feed service whose code runs inside the block."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __enter__(self) -> set[str]:
        sys.setprofile(self._look)
        return self.names

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _look(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        # `_cls` is what a named tuple calls its class.
        for name in ("self", "cls", "_cls"):
            owner = frame.f_locals.get(name)
            kind = owner if isinstance(owner, type) else type(owner)
            if kind.__module__.startswith("feed_service."):
                self.names.add(f"{kind.__module__}.{kind.__qualname__}")


async def test_a_read_of_a_feed_meets_few_classes() -> None:
    world = World(celebrities={"star"})
    await world.follow("alice", "bob", "star")
    for ago_s in range(30):
        await world.post(("alice", "star", "bob")[ago_s % 3], ago_s=ago_s)
    async with a_reader(world) as reader, a_feed_client(world, reader) as client:
        with _ClassesMet() as met:
            for use in ({}, {"ranking": "relevance", "explain": "true"}):
                cursor: str | None = ""
                while cursor is not None:
                    query = use | ({"cursor": cursor} if cursor else {})
                    page = await client.get(
                        "/users/alice/feed", params=query, headers={"X-User-Id": "alice"}
                    )
                    assert page.status_code == 200, page.text
                    cursor = page.json()["next_cursor"]
    assert "feed_service.query.feed_query.FeedQuery" in met
    assert len(met) <= _MOST, sorted(met)
