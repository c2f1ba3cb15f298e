"""What events declare: one topic and one key for each cell, one union for each topic."""

from __future__ import annotations

from collections import defaultdict
from typing import get_args

import pytest

from fanfold.core.events import (
    ACTIVITY,
    COMMANDS,
    ENGAGEMENT,
    GRAPH,
    POSTS,
    PROJECTED_TOPICS,
    PUBLIC_TOPICS,
    TIES,
    ActivityEvent,
    AwakeningBegun,
    Cell,
    Command,
    Event,
    GraphEvent,
    LikeEvent,
    PostEvent,
    PrivateEvent,
    PublicEvent,
    TieEvent,
    UserFellAsleep,
    UserWoke,
)
from fanfold.core.topics import load_topics
from fanfold.ops.event_examples import EXAMPLES


def test_all_events_that_set_a_cell_have_one_topic_and_one_key() -> None:
    """So their offsets compare. The examples are about the same users and the same post."""
    partitions: dict[Cell, set[tuple[str, str]]] = defaultdict(set)
    setters: dict[Cell, set[str]] = defaultdict(set)
    for event in EXAMPLES:
        for change in event.changes():
            if change.cell is not None:
                partitions[change.cell].add((event.topic, event.key))
                setters[change.cell].add(type(event).__name__)
    assert {cell: found for cell, found in partitions.items() if len(found) > 1} == {}
    assert sorted(sorted(names) for names in setters.values()) == [
        ["PostEdited"],
        ["PostLiked", "PostUnliked"],
        ["UserBlocked", "UserUnblocked"],  # the cell of the user who blocks
        ["UserBlocked", "UserUnblocked"],  # the cell of the user who is blocked
        ["UserFellAsleep", "UserWoke"],
        ["UserFollowed", "UserUnfollowed"],
        ["UserMuted", "UserUnmuted"],
        ["UserRegistered"],
    ]


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_every_event_but_a_command_changes_something(event: Event) -> None:
    assert bool(event.changes()) == (event.topic != COMMANDS)


def test_an_awakening_and_a_sleep_set_the_same_cell() -> None:
    woke, slept = (
        next(change for event in EXAMPLES if isinstance(event, kind) for change in event.changes())
        for kind in (UserWoke, UserFellAsleep)
    )
    assert isinstance(woke, AwakeningBegun)
    assert woke.cell == slept.cell


def test_the_unions_are_those_of_the_topics() -> None:
    unions = {
        POSTS: PostEvent,
        GRAPH: GraphEvent,
        TIES: TieEvent,
        ENGAGEMENT: LikeEvent,
        ACTIVITY: ActivityEvent,
        COMMANDS: Command,
    }
    declared = {name: set(topic.events) for name, topic in load_topics().items() if topic.events}
    assert {topic: {e.__name__ for e in get_args(u)} for topic, u in unions.items()} == declared
    assert {event.topic for event in get_args(PublicEvent)} == set(PUBLIC_TOPICS)
    assert {event.topic for event in get_args(PrivateEvent)} == {TIES}


def test_the_sets_of_topics_are_those_that_topics_yaml_declares() -> None:
    topics = load_topics().values()
    assert {topic.name for topic in topics if topic.public} == set(PUBLIC_TOPICS)
    assert {topic.name for topic in topics if topic.projected} == set(PROJECTED_TOPICS)
    for topic in topics:
        assert not topic.public or topic.projected, (
            "a public topic is never the only place of a fact"
        )
        assert not topic.projected or topic.retention_ms == -1, "tables are rebuilt from it"


def test_mutes_and_blocks_are_for_our_own_services() -> None:
    topics = load_topics()
    assert topics[TIES].consumers == ("fanout_service", "feed_service", "operator")
