"""Reading many posts at once, by the rules of a single one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

from pydantic import BaseModel, Field

from fanfold.core.clock import Clock
from fanfold.core.ports import Stores, User
from fanfold.core.settings import Settings
from fanfold.http.post_resource import Author, PostResource
from post_service.existing_post import may_be_unprojected


class Posts(BaseModel):
    """The posts of a request that the acting user may see."""

    items: list[PostResource] = Field(
        description="In the order asked for, each once. Posts that a read of one post answers 404 are not in it."
    )
    not_yet_visible: list[UUID] = Field(
        description="Ids so young that their posts may not be visible yet: ask for them again."
    )


async def read_many_posts(
    post_ids: Sequence[UUID], *, viewer: str, stores: Stores, clock: Clock, settings: Settings
) -> Posts:
    """The posts that are there and that the viewer may see, by multi-gets; the likes by one for each month of the posts."""
    found, liked = await asyncio.gather(
        stores.posts.get(post_ids), stores.likes.of_user(viewer, post_ids)
    )
    live = [found[post_id] for post_id in post_ids if post_id in found]
    live = [post for post in live if not post.deleted]
    authors = await _visible_authors({post.author_id for post in live}, viewer, stores)
    return Posts(
        items=[
            PostResource.of(
                post, author=Author.of(authors[post.author_id]), liked_by_me=post.post_id in liked
            )
            for post in live
            if post.author_id in authors
        ],
        not_yet_visible=[
            post_id
            for post_id in post_ids
            if post_id not in found and may_be_unprojected(post_id, clock=clock, settings=settings)
        ],
    )


async def _visible_authors(
    author_ids: Collection[str], viewer: str, stores: Stores
) -> dict[str, User]:
    """Those of these authors whose posts the viewer may see."""
    if not author_ids:
        return {}
    authors, blocks = await asyncio.gather(
        stores.users.get_many(author_ids), stores.ties.blocks_with(viewer, author_ids)
    )
    apart = {block.other_id for block in blocks if block.active}
    return {
        user_id: author
        for user_id, author in authors.items()
        if not author.left and user_id not in apart
    }
