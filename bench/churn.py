"""(u) Users who change their minds all day: what a hundred thousand follows and unfollows, likes and unlikes leave in Cassandra."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial

from bench.crowd import new_post
from bench.fan_outs import WrongResult
from bench.report import Cell, Section
from bench.row_count import rows_in
from bench.stack import Bench, System, running
from bench.storage import cassandra_home, restart, sstable_bytes
from fanfold.core.events import (
    Event,
    PostCreated,
    PostLiked,
    PostUnliked,
    UserFollowed,
    UserUnfollowed,
    from_ms,
)
from fanfold.core.settings import Settings
from tests.support.real_stack import lag

PAIRS = 500
"""Each fan follows and likes one author of `AUTHORS`, and so on."""
AUTHORS = 50
FEW = 2_000
MANY, QUICK_MANY = 100_000, 4_000
"""Events of each kind: an even number of times all pairs, so that all have changed their minds equally often."""
TABLES = {
    "followers_by_user": "user_id, generation, bucket",
    "following_by_user": "user_id",
    "likes_by_user": "user_id, time_bucket",
    "recent_likes_by_user": "user_id",
    "posts": "post_id",
    "users": "user_id",
    "user_timeline": "user_id",
}
_CHUNK = 5_000
_POLL_S = 0.5
_WITHIN_S = 600.0


async def churn(bench: Bench) -> Section:
    many: int = bench.pick(MANY, QUICK_MANY)
    systems = [(changes, await _after(bench, changes)) for changes in (FEW, many)]
    bench.say("restarting Cassandra, which flushes")
    await asyncio.to_thread(restart, bench)
    section = Section("u", "Changes of mind: what they leave in the tables")
    rows = {changes: await asyncio.to_thread(_rows, settings) for changes, settings in systems}
    for table in TABLES:
        row: dict[str, Cell] = {"what": table}
        for changes, settings in systems:
            sizes = sstable_bytes(cassandra_home(bench), settings.cassandra_keyspace, table)
            row[f"rows after {changes:,} of each"] = rows[changes][table]
            row[f"bytes after {changes:,}"] = sum(sizes.values())
        section.rows.append(row)
    _check(dict(rows[FEW]), dict(rows[many]))
    section.notes = [
        f"{PAIRS} users follow and unfollow one of {AUTHORS} authors, and like and unlike one post of theirs, through the log and a worker.",
        f"{FEW:,} and {many:,} events of each of the two.",
        "Bytes: all files of the tables after a clean stop and a start. No compaction was forced.",
        "Checked: both leave the same number of rows in every table, and no user follows or likes at the end.",
        f"But for user_timeline: a follow copies the author's post, unless its unfollow comes in the same batch, so it has at most {PAIRS} rows.",
    ]
    return section


def _check(few: dict[str, int], many: dict[str, int]) -> None:
    copied = many.pop("user_timeline"), few.pop("user_timeline")
    if few != many or max(copied) > PAIRS:
        raise WrongResult(f"the tables grow: {few} and then {many}, {copied} pointers")


async def _after(bench: Bench, changes: int) -> Settings:
    settings = await bench.new_system()
    posts = [
        new_post(f"author-{number:03}", now_ms=_now_ms(), content="Liked?")
        for number in range(AUTHORS)
    ]
    async with running(bench, settings, "fanout_service") as system:
        await system.log.append_many(posts)
        await _all_projected(system)
        for kind in (_follows, partial(_likes, posts)):
            events: list[Event] = []
            bench.say(f"{changes:,} changes of mind")
            for event in _changes(kind, changes):
                events.append(event)
                if len(events) == _CHUNK:
                    await system.log.append_many(events)
                    events = []
            await system.log.append_many(events)
            await _all_projected(system)
        await _all_ended(system, posts)
    return settings


def _changes(kind: Callable[[int, bool], Event], changes: int) -> Iterator[Event]:
    """Each pair begins, then each ends, and so on."""
    if changes % (2 * PAIRS):
        raise ValueError("not all pairs would end what they began")
    for number in range(changes):
        yield kind(number % PAIRS, number // PAIRS % 2 == 0)


def _follows(pair: int, begins: bool) -> Event:
    follower_id, followee_id = _fan(pair), f"author-{pair % AUTHORS:03}"
    now = from_ms(_now_ms())
    if begins:
        return UserFollowed(follower_id=follower_id, followee_id=followee_id, followed_at=now)
    return UserUnfollowed(follower_id=follower_id, followee_id=followee_id, unfollowed_at=now)


def _likes(posts: list[PostCreated], pair: int, begins: bool) -> Event:
    post, user_id, now = posts[pair % AUTHORS], _fan(pair), from_ms(_now_ms())
    of = {"post_id": post.post_id, "author_id": post.author_id, "user_id": user_id}
    return PostLiked(**of, liked_at=now) if begins else PostUnliked(**of, unliked_at=now)


async def _all_projected(system: System) -> None:
    """Return once the worker has acknowledged every record."""
    ends = time.monotonic() + _WITHIN_S
    while time.monotonic() < ends:
        if not await lag(system.settings):
            return
        await asyncio.sleep(_POLL_S)
    raise WrongResult(f"not projected within {_WITHIN_S:.0f} s")


async def _all_ended(system: System, posts: list[PostCreated]) -> None:
    users = await system.stores.users.get_many([post.author_id for post in posts])
    counts = await system.stores.likes.counts([post.post_id for post in posts])
    if any(user.follower_count for user in users.values()) or any(
        count.likes for count in counts.values()
    ):
        raise WrongResult("someone still follows or likes")


def _rows(settings: Settings) -> dict[str, int]:
    return {table: rows_in(settings, table, key) for table, key in TABLES.items()}


def _fan(pair: int) -> str:
    return f"fan-{pair:04}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
