"""`fanfold dead-letters`: a replay handles what could not be handled, once, and undoes no later event."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace as with_
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fanfold.adapters import stacks as engines
from fanfold.adapters.memory import memory_stores
from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.core.clock import SystemClock
from fanfold.core.dead_letters import as_dead_letter, read_letter
from fanfold.core.errors import Fault, Unavailable
from fanfold.core.events import DEAD_LETTERS, EVENTS, GRAPH, Event, UserFollowed, UserUnfollowed
from fanfold.core.ports.engines import Engines
from fanfold.core.ports.log import Position, Record
from fanfold.core.settings import Settings
from fanfold.ops.command_line import app
from fanfold.ops.dead_letters.command import chosen_of
from fanfold.ops.dead_letters.replay import Replayed, replay
from fanfold.ops.dead_letters.states import Chosen, Judged, State, read_letters, subject
from fanfold.ops.event_examples import EXAMPLES
from tests.support.fanout import (
    Pipeline,
    a_deletion,
    a_follow,
    a_like,
    a_mute,
    a_pipeline,
    a_post,
    a_record,
    an_edit,
    an_unfollow,
    an_unmute,
)

EVERYTHING = Chosen()


@pytest.fixture
async def pipeline() -> AsyncIterator[Pipeline]:
    async with a_pipeline() as opened:
        yield opened


async def dead_lettered(pipeline: Pipeline, *events: Event) -> None:
    """Append events, and dead-letter them as a worker that could not handle them does."""
    for event in events:
        position = await pipeline.log.append(event)
        assert position is not None
        record = await pipeline.log.read(position)
        assert record is not None
        await pipeline.log.dead_letter(record, "KeyError: 'a bug'")
        rows = await pipeline.log.rows([event.topic], after=0, limit=10_000)
        pipeline.acknowledged[event.topic] = rows[-1].seq


async def replayed(pipeline: Pipeline, chosen: Chosen = EVERYTHING, **options: bool) -> Replayed:
    counts = Replayed()
    asked: Any = {"again": False, "dry_run": False, **options}
    await replay(pipeline.log, pipeline.clock, chosen, counts, **asked)
    await pipeline.drain()
    return counts


async def letters(pipeline: Pipeline) -> list[Judged]:
    return await read_letters(pipeline.log, pipeline.clock)


async def states(pipeline: Pipeline) -> list[State]:
    return [judged.state for judged in await letters(pipeline)]


async def test_a_dead_letter_is_handled_after_a_replay(pipeline: Pipeline) -> None:
    await dead_lettered(pipeline, a_follow("bob"), a_follow("carl"))
    assert await states(pipeline) == [State.WAITING, State.WAITING]

    assert (await replayed(pipeline)).replayed == 2

    assert await pipeline.followers("alice") == ["bob", "carl"]
    assert await states(pipeline) == [State.REPLAYED, State.REPLAYED]


async def test_nothing_is_replayed_twice(pipeline: Pipeline) -> None:
    post = a_post()
    await dead_lettered(pipeline, post, a_follow("bob"))
    await replayed(pipeline)

    second = await replayed(pipeline)

    assert (second.replayed, second.left) == (0, {State.REPLAYED: 2})
    assert second.describe() == "0 replayed, 2 replayed"


async def test_a_replay_undoes_no_later_event(pipeline: Pipeline) -> None:
    post = a_post()
    await pipeline.handle(post)
    await dead_lettered(pipeline, a_follow("bob"), an_edit(post, "old"), a_mute("bob"))
    await pipeline.handle(an_unfollow("bob"), an_edit(post, "new"), an_unmute("bob"))

    counts = await replayed(pipeline)

    assert (counts.replayed, counts.left) == (0, {State.OVERTAKEN: 3})
    assert await pipeline.followers("alice") == []


async def test_of_several_waiting_letters_about_one_thing_the_last_one_is_replayed(
    pipeline: Pipeline,
) -> None:
    await dead_lettered(pipeline, a_follow("bob"), an_unfollow("bob"), a_follow("bob"))

    assert (await replayed(pipeline)).replayed == 1

    assert await pipeline.followers("alice") == ["bob"]


async def test_dead_letters_are_replayed_in_the_order_of_their_origin(pipeline: Pipeline) -> None:
    first, second = a_post(ms=pipeline.clock.now_ms()), a_post(ms=pipeline.clock.now_ms() + 1)
    positions = [await pipeline.log.append(event) for event in (first, second)]
    records = [await pipeline.log.read(position) for position in positions if position]
    # A worker dead-letters unreadable records before those that fail alone.
    for record in reversed(records):
        assert record is not None
        await pipeline.log.dead_letter(record, "a bug")

    found = await letters(pipeline)

    assert [judged.letter.record.position for judged in found] == positions


async def test_a_dead_lettered_post_is_replayed_with_its_later_edits_and_deletions(
    pipeline: Pipeline,
) -> None:
    post, gone = a_post(), a_post(content="regretted")
    await dead_lettered(pipeline, post, gone)
    # The post does not exist yet: these are dead-lettered too.
    await pipeline.handle(an_edit(post, "better"), a_deletion(gone))
    assert await states(pipeline) == [State.WAITING] * 4

    assert (await replayed(pipeline)).replayed == 4

    posts = await pipeline.stores.posts.get([post.post_id, gone.post_id])
    assert posts[post.post_id].content == "better"
    assert posts[gone.post_id].deleted


async def test_a_replay_repeats_the_record_and_names_its_origin(pipeline: Pipeline) -> None:
    await dead_lettered(pipeline, a_follow("bob"))
    (origin,) = [row.record for row in await pipeline.log.rows([GRAPH], after=0, limit=9)]

    await replayed(pipeline)

    *_, again = [row.record for row in await pipeline.log.rows([GRAPH], after=0, limit=9)]
    assert (again.key, again.value, again.partition) == (
        origin.key,
        origin.value,
        origin.partition,
    )
    assert again.headers == {**origin.headers, "ff_replay_of": str(origin.position).encode()}


async def test_an_unreadable_letter_is_not_replayed(pipeline: Pipeline) -> None:
    await dead_lettered(pipeline, a_follow("bob"))
    (row,) = await pipeline.log.rows([GRAPH], after=0, limit=9)
    unknown = {**row.record.headers, "ce_type": b"fanfold.UserVanished.v1"}
    wrong_key = with_(row.record, key=b"somebody", offset=7)
    await pipeline.log.dead_letter(with_(row.record, headers=unknown, offset=8), "unknown")
    await pipeline.log.dead_letter(wrong_key, "the key")
    await pipeline.log.dead_letter(with_(row.record, value=None, offset=9), "(value left out)")

    counts = await replayed(pipeline)

    assert (counts.replayed, counts.left) == (1, {State.UNREADABLE: 3})
    types = {judged.type for judged in await letters(pipeline)}
    assert types == {"UserFollowed", "UserVanished"}


async def test_a_replay_that_failed_again_is_replayed_only_on_request(pipeline: Pipeline) -> None:
    await dead_lettered(pipeline, a_follow("bob"))
    await replay(pipeline.log, pipeline.clock, EVERYTHING, Replayed(), again=False, dry_run=False)
    *_, row = await pipeline.log.rows([GRAPH], after=0, limit=9)
    await pipeline.log.dead_letter(row.record, "the same bug")
    assert await states(pipeline) == [State.REPLAYED, State.FAILED_AGAIN]

    assert (await replayed(pipeline)).replayed == 0
    assert (await replayed(pipeline, again=True)).replayed == 1
    assert await states(pipeline) == [State.REPLAYED, State.REPLAYED]


async def test_a_filter_chooses_some_letters(pipeline: Pipeline) -> None:
    post = a_post()
    await pipeline.handle(post)
    await dead_lettered(pipeline, a_follow("bob"), a_follow("carl"), a_like(post, "bob"))
    bob, carl, like = sorted(
        await letters(pipeline), key=lambda judged: judged.letter.dead_lettered_at_ms
    )

    assert (await replayed(pipeline, Chosen(topic=GRAPH), dry_run=True)).replayed == 2
    assert (await replayed(pipeline, Chosen(type="PostLiked"), dry_run=True)).replayed == 1
    assert await states(pipeline) == [State.WAITING] * 3
    assert {bob.type, carl.type, like.type} >= {"UserFollowed", "PostLiked"}
    some = next(e for e in (bob, carl, like) if e.type == "UserFollowed")
    at = str(some.letter.record.position)
    assert (await replayed(pipeline, chosen_of(None, None, [at]))).replayed == 1
    with pytest.raises(Fault, match="dead-letters list"):
        chosen_of(None, None, ["there"])


async def appended_as(pipeline: Pipeline, headers: dict[str, bytes], key: bytes = b"x") -> None:
    """Append to the topic of the dead letters, as another program may."""
    await pipeline.log.replay([Record(DEAD_LETTERS, 0, 0, key, b"", headers, 0)])


async def test_a_letter_without_its_append_time_counts_as_the_oldest(
    pipeline: Pipeline,
) -> None:
    position = await pipeline.log.append(a_follow("bob"))
    assert position is not None
    origin = await pipeline.log.read(position)
    assert origin is not None
    letter = as_dead_letter(origin, "a bug")
    headers = {k: v for k, v in letter.headers if k != "ff_appended_at_ms"}
    unread = Record(DEAD_LETTERS, 0, 0, letter.key, letter.value, headers, 0)
    assert read_letter(unread).record == with_(origin, appended_at_ms=0)


async def test_a_record_that_is_not_a_dead_letter_is_skipped(pipeline: Pipeline) -> None:
    await dead_lettered(pipeline, a_follow("bob"))
    await appended_as(pipeline, {})
    await appended_as(pipeline, {"ff_topic": b"graph.v1", "ff_partition": b"x", "ff_offset": b"1"})

    assert len(await letters(pipeline)) == 1


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_every_event_that_can_be_undone_has_a_subject(event: Event) -> None:
    """A new event is listed here or has a subject: an event whose late repetition could undo something needs one."""
    at_any_time = {
        "PostCreated",
        "PostDeleted",
        "UserLeft",
        "AuthorModeChanged",
        "ReviewDelivery",
        "DeliverSlice",
        "BackfillFollow",
        "MaterialiseTimeline",
        "EndFollowing",
        "EndFollowers",
    }
    assert {event_type.__name__ for event_type in EVENTS} > at_any_time
    assert (subject(event) is None) == (type(event).__name__ in at_any_time)


def test_events_that_undo_each_other_have_one_subject() -> None:
    assert subject(a_follow("bob")) == subject(an_unfollow("bob")) != subject(a_follow("carl"))
    assert isinstance(a_follow("bob"), UserFollowed)
    assert isinstance(an_unfollow("bob"), UserUnfollowed)


class TestTheCommand:
    @pytest.fixture
    def run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        """The command line, on a log in a file."""

        @asynccontextmanager
        async def real(*_: object, **__: object) -> AsyncIterator[Engines]:
            clock = SystemClock()
            async with SqliteLog(tmp_path / "log.db", clock=clock, source="test") as log:
                if not await log.rows([GRAPH], after=0, limit=1):
                    record = a_record(a_follow("bob"), appended_at_ms=clock.now_ms())
                    await log.append(a_follow("bob"))
                    await log.dead_letter(record, "KeyError: 'x'\nin two lines")
                yield Engines(log, memory_stores(Settings(), clock=clock))

        monkeypatch.setattr(engines, "real", real)
        return lambda *arguments: CliRunner().invoke(app, ["dead-letters", *arguments])

    def test_lists_and_replays(self, run: Any) -> None:
        listed = run("list", "--json")
        assert listed.exit_code == 0
        (letter,) = json.loads(listed.stdout)
        assert letter.keys() == {
            "position",
            "type",
            "key",
            "state",
            "reason",
            "dead_lettered_at",
            "replay_of",
            "value",
        }
        assert (letter["type"], letter["key"], letter["state"]) == (
            "UserFollowed",
            "alice",
            "waiting",
        )
        assert str(Position.parse(letter["position"])) == letter["position"]
        assert "two lines" in letter["reason"]
        shown = run("list").stdout
        assert "UserFollowed" in shown
        assert "two lines" not in shown
        assert json.loads(run("replay", "--json").stdout) == {
            "replayed": 1,
            "left": {},
            "dry_run": False,
            "finished": True,
        }
        assert json.loads(run("list", "--json").stdout)[0]["state"] == "replayed"
        assert "no dead letters" in run("list", "--topic", "posts.v1").stdout

    def test_says_what_to_do_where_the_log_stays_away(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def real(*_: object, **__: object) -> None:
            raise Unavailable("Kafka does not answer")

        monkeypatch.setattr(engines, "real", real)
        for command in ("list", "replay"):
            ended = CliRunner().invoke(app, ["dead-letters", command])
            assert ended.exit_code == 75
            assert "Kafka does not answer" in ended.stderr
