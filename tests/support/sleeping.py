"""Sleep and awakenings as the log tells them, and what a reader would find in the tables."""

from __future__ import annotations

from uuid import UUID

from fanfold.core.events import UserFellAsleep, UserWoke
from fanfold.core.ports import Stores
from tests.support.clock import START_MS
from tests.support.fanout import at


def a_sleep(user: str = "bob") -> UserFellAsleep:
    return UserFellAsleep(user_id=user, fell_asleep_at=at(START_MS))


def an_awakening(user: str = "bob") -> UserWoke:
    return UserWoke(user_id=user, woke_at=at(START_MS))


async def found_by(stores: Stores, reader: str) -> set[UUID]:
    """The posts of a viewer's followees, from the sources that a feed has to ask, and in their order.

    First the viewer's sleep and followees are read, then the timeline; the other order would be wrong.
    """
    user = (await stores.users.get_many([reader])).get(reader)
    asleep = user is not None and user.asleep
    follows = {k: v for k, v in (await stores.follows.following(reader)).items() if v.active}
    page = await stores.timelines.timeline(reader, before=None, since_ms=0, limit=10_000)
    found = {pointer.post_id for pointer in page if pointer.author_id in follows}
    for followee, follow in follows.items():
        if await stores.pulled_authors.get(followee) is not None:
            pulled = await stores.timelines.pulled(followee, before=None, since_ms=0, limit=10_000)
            found |= set(pulled)
        if asleep or not follow.materialised:
            posts = await stores.posts.by_author(followee, before=None, since_ms=0, limit=10_000)
            found |= {post.post_id for post in posts}
    return found
