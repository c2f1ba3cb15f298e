"""Users, follows and ties: what their writes tell the cache.

A viewer's graph is made of the viewer's own rows: follows with their marks, mutes, blocks made and suffered, sleep, leaving.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fanfold.adapters.telling_stores.writer import CacheWriter
from fanfold.core.cache_keys import graph_key, name_key
from fanfold.core.ports import FollowerEdge, Follows, Ties, User, Users


class TellingUsers:
    """See `fanfold.core.ports.Users`."""

    def __init__(self, users: Users, writer: CacheWriter) -> None:
        self._users = users
        self._writer = writer
        self.get = users.get
        self.get_many = users.get_many
        self.left = users.left
        self.generations = users.generations
        self.all_users = users.all_users

    async def register(
        self,
        user_id: str,
        display_name: str,
        *,
        bio: str | None = None,
        avatar_url: str | None = None,
        registered_at_ms: int,
        offset: int,
    ) -> None:
        await self._users.register(
            user_id,
            display_name,
            bio=bio,
            avatar_url=avatar_url,
            registered_at_ms=registered_at_ms,
            offset=offset,
        )
        await self._writer.forget(name_key(user_id))

    async def write_follower_count(self, user: User, *, offset: int) -> None:
        await self._users.write_follower_count(user, offset=offset)  # not cached

    async def write_post_count(self, user_id: str, post_count: int, *, offset: int) -> None:
        await self._users.write_post_count(user_id, post_count, offset=offset)  # not cached

    async def set_asleep(self, user_id: str, *, asleep: bool, offset: int) -> None:
        await self._users.set_asleep(user_id, asleep=asleep, offset=offset)
        await self._writer.forget(graph_key(user_id))

    async def begin_waking(self, user_id: str, *, offset: int) -> None:
        await self._users.begin_waking(user_id, offset=offset)  # not cached: still asleep

    async def leave(self, user_id: str, *, offset: int) -> None:
        await self._users.leave(user_id, offset=offset)
        await self._writer.forget(name_key(user_id), graph_key(user_id))


class TellingFollows:
    """See `fanfold.core.ports.Follows`."""

    def __init__(self, follows: Follows, writer: CacheWriter) -> None:
        self._follows = follows
        self._writer = writer
        self.follower_edges = follows.follower_edges
        self.followers = follows.followers
        self.audience = follows.audience
        self.following = follows.following
        self.followee_ids = follows.followee_ids
        self.following_counts = follows.following_counts
        self.following_rows = follows.following_rows
        self.has_followed = follows.has_followed
        self.follows_of = follows.follows_of
        self.followed_by = follows.followed_by
        self.all_follower_ids = follows.all_follower_ids

    async def write_followers(self, followee_id: str, edges: Sequence[FollowerEdge]) -> None:
        await self._follows.write_followers(followee_id, edges)  # no reader's side

    async def write_following(
        self, followee_id: str, edges: Sequence[FollowerEdge], *, materialised: Collection[str] = ()
    ) -> None:
        await self._follows.write_following(followee_id, edges, materialised=materialised)
        await self._writer.forget(*(graph_key(edge.follower_id) for edge in edges))

    async def mark_materialised(self, followee_id: str, follows: Sequence[tuple[str, int]]) -> None:
        await self._follows.mark_materialised(followee_id, follows)
        await self._writer.forget(*(graph_key(follower_id) for follower_id, _ in follows))

    async def mark_asleep(
        self, follower_id: str, edges: Sequence[tuple[str, int]], *, asleep: bool, offset: int
    ) -> None:
        # The marks on the followees' side, for deliveries; readers go by `Users.set_asleep`.
        await self._follows.mark_asleep(follower_id, edges, asleep=asleep, offset=offset)


class TellingTies:
    """See `fanfold.core.ports.Ties`."""

    def __init__(self, ties: Ties, writer: CacheWriter) -> None:
        self._ties = ties
        self._writer = writer
        self.mutes = ties.mutes
        self.has_tied = ties.has_tied
        self.mute_of = ties.mute_of
        self.mutes_of = ties.mutes_of
        self.blocks_made = ties.blocks_made
        self.blocks_with = ties.blocks_with
        self.blocks_between = ties.blocks_between

    async def write_mute(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, offset: int
    ) -> None:
        await self._ties.write_mute(
            user_id, target_id, active=active, since_ms=since_ms, offset=offset
        )
        await self._writer.forget(graph_key(user_id))

    async def write_block(
        self, user_id: str, target_id: str, *, active: bool, since_ms: int, offset: int
    ) -> None:
        await self._ties.write_block(
            user_id, target_id, active=active, since_ms=since_ms, offset=offset
        )
        await self._writer.forget(graph_key(user_id), graph_key(target_id))
