"""`fanfold replay` and `fanfold compare` on the real engines, by the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from fanfold.adapters.cassandra.migrate import recorded_partitions
from fanfold.adapters.cassandra.stores import cassandra_stores
from fanfold.adapters.kafka.admin import partition_counts
from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.clock import SystemClock
from fanfold.core.events import PostDeleted, PostLiked, UserFellAsleep, UserMuted
from fanfold.core.ports import KeyReservation
from fanfold.core.settings import Settings
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.logs import a_follow, a_post
from tests.support.real_stack import fanfold

pytestmark = pytest.mark.real


async def followers(settings: Settings) -> int:
    async with cassandra_stores(settings, clock=SystemClock()) as stores:
        users = await stores.users.get_many(["bob"])
        return users["bob"].follower_count if "bob" in users else 0


async def test_two_replays_beside_the_tables_in_use_are_the_same_cell_by_cell(
    engines: RealEngines,
) -> None:
    settings = await prepared(settings_for(engines))
    clock = SystemClock()
    now = datetime.now(UTC)
    async with KafkaLog(settings, clock=clock, source="test") as log:
        await log.append_many([a_follow(of="bob", by=f"u{n}") for n in range(40)])
        posts = [a_post(by=author) for author in ("bob", "eve") * 10]
        await log.append_many(posts)
        await log.append_many(
            [
                *(
                    PostLiked(
                        post_id=post.post_id, author_id=post.author_id, user_id=user, liked_at=now
                    )
                    for post in posts
                    for user in ("u1", "u2")
                ),
                UserMuted(user_id="u3", target_id="bob", muted_at=now),
                UserFellAsleep(user_id="u4", fell_asleep_at=now),
                PostDeleted(post_id=posts[0].post_id, author_id=posts[0].author_id, deleted_at=now),
            ]
        )
    reserved = KeyReservation(posts[0].post_id, "hash", clock.now_ms())
    async with cassandra_stores(settings, clock=clock) as stores:
        assert await stores.idempotency_keys.reserve("bob", "key", reserved) is None
        await stores.activity.note_reads({"u1": 7})
    one, two = f"{settings.cassandra_keyspace}_one", f"{settings.cassandra_keyspace}_two"
    for keyspace, workers in ((one, "1"), (two, "6")):
        ran = await fanfold(settings, "replay", "--into", keyspace, "--workers", workers, "--json")
        assert ran.returncode == 0, ran.stderr
        done = json.loads(ran.stdout)
        assert done["records"] == 40 + 20 + 40 + 3
        assert done["unlogged"] == 2, "a key and a read"
    built = settings.model_copy(update={"cassandra_keyspace": two})
    assert await recorded_partitions(built) == await partition_counts(settings)
    assert await followers(built) == 40
    async with cassandra_stores(built, clock=clock) as stores:
        page = await stores.timelines.timeline("u1", before=None, since_ms=0, limit=100)
        bobs = [post.post_id for post in posts if post.author_id == "bob"]
        assert {entry.post_id for entry in page} == set(bobs)
        asleep = await stores.timelines.timeline("u4", before=None, since_ms=0, limit=100)
        assert asleep == [], "nothing is delivered to a sleeper"
        assert (await stores.activity.last_reads(["u1"]))["u1"] == 7
        again = KeyReservation(posts[1].post_id, "hash", clock.now_ms())
        assert await stores.idempotency_keys.reserve("bob", "key", again) == reserved

    same = await fanfold(settings, "compare", one, two, "--json")
    assert same.returncode == 0, same.stdout + same.stderr
    found = json.loads(same.stdout)
    assert (found["tables"], found["different"]) == (14, 0)
    assert found["rows"] > 40 * 10

    ran = await fanfold(settings, "replay", "--into", two, "--unlogged", "--json")
    copied = json.loads(ran.stdout)
    assert (copied["records"], copied["unlogged"]) == (0, done["unlogged"]), ran.stderr

    async with cassandra_stores(built, clock=clock) as stores:
        # The same value at another offset.
        await stores.posts.delete(posts[0].post_id, offset=1_000_000)
    other = await fanfold(settings, "compare", one, two, "--json")
    assert (other.returncode, json.loads(other.stdout)["different"]) == (1, 1), other.stdout
    in_use = await fanfold(settings, "replay", "--into", settings.cassandra_keyspace)
    assert (in_use.returncode, "name another keyspace" in in_use.stderr) == (1, True)
