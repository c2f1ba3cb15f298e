"""The consumers of `examples/consumers` on a real broker: members join, leave, fail in the middle of a batch, and are killed."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest
from exactly_once import Event, consume
from from_snapshot import load
from leaderboard import Leaderboard
from notifications import Notifications
from search import Search

from fanfold.adapters.kafka.log import KafkaLog
from fanfold.adapters.kafka.log_view import KafkaLogView
from fanfold.core.clock import SystemClock
from fanfold.core.events import PostLiked, UserFollowed, UserUnfollowed, from_ms
from fanfold.core.settings import Settings
from fanfold.ops.snapshot.make import make_snapshot
from tests.support.engines import RealEngines
from tests.support.eventually import eventually
from tests.support.logs import a_post, own_topics

pytestmark = pytest.mark.real

EXAMPLES = Path(__file__).parents[2] / "examples" / "consumers"
FOLLOWS = 300


class Crash(Exception):
    """What ends a member."""


class Failing(Leaderboard):
    """Fails at some of all members' events, with the transaction of its batch."""

    FAILS_AT = (60, 150, 300, 500)

    applied = 0

    def __init__(self, database: Path) -> None:
        super().__init__(database)
        self.joined = asyncio.Event()

    def next_offset(self, topic: str, partition: int) -> int:
        self.joined.set()  # asked for each partition that it is given
        return super().next_offset(topic, partition)

    def apply(self, db: sqlite3.Connection, type_: str, event: Event) -> None:
        super().apply(db, type_, event)
        Failing.applied += 1
        if Failing.applied in self.FAILS_AT:
            raise Crash


class Member:
    """One that is started again whenever it has failed."""

    def __init__(self, database: Path, settings: Settings) -> None:
        self._consumer, self._settings = Failing(database), settings
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self._consumer.joined.clear()
            with suppress(Crash):
                await consume(
                    self._consumer,
                    bootstrap=self._settings.kafka_bootstrap,
                    group=f"{self._settings.topic_prefix}.leaderboard",
                    prefix=self._settings.topic_prefix,
                    heartbeat_interval_ms=300,
                )

    async def leave(self) -> None:
        # A client that is cancelled while it connects leaves its connection open.
        await self._consumer.joined.wait()
        self._running.cancel()
        await asyncio.wait({self._running})


async def graph(log: KafkaLog, seed: int) -> Counter[str]:
    """Appends follows and unfollows, some of them twice. Returns the followers that each user has in the end."""
    chance = random.Random(seed)
    edges: set[tuple[str, str]] = set()
    for number in range(FOLLOWS):
        edge = (f"{seed}-{chance.randrange(12)}", f"u{chance.randrange(20)}")
        at = from_ms(SystemClock().now_ms())
        if edge in edges and chance.random() < 0.5:
            edges.remove(edge)
            ended = UserUnfollowed(followee_id=edge[0], follower_id=edge[1], unfollowed_at=at)
            await log.append_many([ended] * chance.randint(1, 2))
        else:
            edges.add(edge)
            begun = UserFollowed(followee_id=edge[0], follower_id=edge[1], followed_at=at)
            await log.append_many([begun] * chance.randint(1, 2))
        if number % 50 == 0:
            await asyncio.sleep(0)
    return Counter(followee for followee, _ in edges)


async def test_the_leaderboard_is_right_whatever_its_members_do(
    engines: RealEngines, tmp_path: Path
) -> None:
    """Two members share a database. They fail four times, a third comes and one goes, while follows are appended."""
    Failing.applied = 0
    board = Failing(tmp_path / "board")
    async with (
        own_topics(engines) as settings,
        KafkaLog(settings, clock=SystemClock(), source="test") as log,
    ):
        members = [Member(board.path, settings) for _ in range(2)]
        expected = await graph(log, 1)
        members.append(Member(board.path, settings))
        expected += await graph(log, 2)
        await members.pop(0).leave()
        expected += await graph(log, 3)

        async def right() -> bool:
            return dict(board.top(100)) == expected

        await eventually(right, within_s=60, what="the leaderboard is right")
        for member in members:
            await member.leave()
    assert Failing.applied > max(Failing.FAILS_AT)


async def test_the_leaderboard_begins_with_a_snapshot(engines: RealEngines, tmp_path: Path) -> None:
    board, files = Leaderboard(tmp_path / "board"), tmp_path / "snapshot"
    async with (
        own_topics(engines) as settings,
        KafkaLog(settings, clock=SystemClock(), source="test") as log,
    ):
        expected = await graph(log, 1)
        made = await make_snapshot(KafkaLogView(settings), files, clock=SystemClock())
        assert expected.total() <= made.counts.kept < made.counts.done
        load(board, files, settings.topic_prefix)
        assert dict(board.top(100)) == expected
        # What began before and ends now, and what begins now.
        ended = next(iter(expected))
        at = from_ms(SystemClock().now_ms())
        follower = await asyncio.to_thread(a_follower, board.path, ended)
        await log.append(UserUnfollowed(followee_id=ended, follower_id=follower, unfollowed_at=at))
        expected = expected - Counter({ended: 1}) + await graph(log, 2)
        consuming = asyncio.create_task(
            consume(
                board,
                bootstrap=settings.kafka_bootstrap,
                group=f"{settings.topic_prefix}.board",
                prefix=settings.topic_prefix,
            )
        )

        async def right() -> bool:
            return dict(board.top(100)) == dict(expected)

        await eventually(right, within_s=60, what="the leaderboard is right")
        consuming.cancel()
        await asyncio.wait({consuming})


def a_follower(database: Path, of: str) -> str:
    with closing(sqlite3.connect(database)) as db:
        found = db.execute("SELECT follower_id FROM follows WHERE followee_id = ?", (of,))
        follower: str = found.fetchone()[0]
        return follower


async def test_notifications_and_search_go_on_where_they_were_killed(
    engines: RealEngines, tmp_path: Path
) -> None:
    """Each runs as its page says, in a process that is killed, and started again."""
    async with (
        own_topics(engines) as settings,
        KafkaLog(settings, clock=SystemClock(), source="test") as log,
    ):
        notifications, index = Notifications(tmp_path / "n"), Search(tmp_path / "s")
        for round_ in (1, 2):
            posts = [a_post(by="bob", content=f"hello {round_} {n}") for n in range(20)]
            at = from_ms(SystemClock().now_ms())
            await log.append_many(posts)
            await log.append_many(
                [
                    PostLiked(post_id=post.post_id, author_id="bob", user_id="alice", liked_at=at)
                    for post in posts
                ]
            )
            running = [
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", _RUN, name, settings.kafka_bootstrap, str(path)),
                    *(settings.topic_prefix,),
                    cwd=EXAMPLES,
                )
                for name, path in (
                    ("notifications:Notifications", notifications.path),
                    ("search:Search", index.path),
                )
            ]

            async def caught_up(expected: int = round_ * 20) -> bool:
                found = len(index.find("hello", limit=100))
                return (notifications.of("bob")["unread"], found) == (expected, expected)

            await eventually(caught_up, within_s=60, what="both have caught up")
            for process in running:
                process.kill()
                await process.wait()


_RUN = """
import asyncio, importlib, sys
from exactly_once import consume
name, bootstrap, database, prefix = sys.argv[1:]
module, consumer = name.split(":")
made = getattr(importlib.import_module(module), consumer)(__import__("pathlib").Path(database))
asyncio.run(consume(made, bootstrap=bootstrap, group=f"{prefix}.{module}", prefix=prefix, session_timeout_ms=1500, heartbeat_interval_ms=300))
"""
