"""`Fanfold-Position` as text: what a write answers is what a read is told, and nothing else is taken for it."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.events import (
    AwakeningBegun,
    Change,
    DeliveryChanged,
    LikeChanged,
    NameChanged,
    PostAdded,
    PostChanged,
    UserGone,
    ViewerCell,
    ViewerGraphChanged,
)
from fanfold.core.ids import new_post_id
from fanfold.core.ports.log import Position
from fanfold.http.openapi import WRITTEN
from fanfold.http.positions import MOST_AWAITED, Written, written_after
from fanfold.http.problems import Invalid

POST = UUID("01a3185c-5000-7459-8c2e-2307a5fe74a8")
AT = Position("graph.v1", 3, 127)
user_ids = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", fullmatch=True)
post_ids = st.integers(0, 2**40).map(new_post_id)
cells = st.one_of(
    st.builds(ViewerCell, st.sampled_from(["follow", "mute", "block", "blocked_by"]), user_ids),
    st.just(ViewerCell("asleep")),
)
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(PostAdded, user_ids, post_ids),
    st.builds(PostChanged, user_ids, post_ids, st.booleans()),
    st.builds(LikeChanged, user_ids, post_ids, user_ids, st.booleans()),
    st.builds(NameChanged, user_ids),
    st.builds(UserGone, user_ids),
    st.builds(ViewerGraphChanged, user_ids, cells, st.booleans()),
)


@given(st.lists(changes, min_size=1, max_size=2).map(tuple))
def test_what_a_write_answers_is_read_as_it_was(made: tuple[Change, ...]) -> None:
    text = str(Written(AT, made))
    assert Written.parse(text) == Written(AT, made)
    pattern = WRITTEN["headers"]["Fanfold-Position"]["schema"]["pattern"]
    assert re.fullmatch(pattern, text)
    assert written_after([f"{text}, {AT}"]) == [Written(AT, made), Written(AT)]


def test_a_position_alone_has_no_known_changes() -> None:
    assert str(Written(AT)) == "graph.v1/3/127"
    assert Written.parse("graph.v1/3/127") == Written(AT)


def test_what_no_read_waits_for_is_left_out() -> None:
    made = (AwakeningBegun("alice"), DeliveryChanged("bob", "pull"))
    assert str(Written(AT, made)) == str(AT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense.v1/0/1",
        "fanout.commands.v1/0/1",
        "dead-letters.v1/0/1",
        "posts.v1/0",
        "posts.v1/0/1;",
        "posts.v1/0/1;post",
        "posts.v1/0/1;post:bob",
        f"posts.v1/0/1;post:bob:{POST}:on",
        f"posts.v1/0/1;post::{POST}",
        f"posts.v1/0/1;post:b ob:{POST}",
        f"posts.v1/0/1;post:{'b' * 65}:{POST}",
        "posts.v1/0/1;post:bob:01a3185c",
        "posts.v1/0/1;post:bob:{01a3185c-5000-7459-8c2e-2307a5fe74a8}",
        f"posts.v1/0/1;like:bob:{POST}:carol:yes",
        "posts.v1/0/1;graph:alice:knows:bob:on",
        "posts.v1/0/1;graph:alice:asleep:bob:on",
        "posts.v1/0/1;name:a;name:b;name:c",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        written_after([text])


def test_a_request_may_name_twenty() -> None:
    assert len(written_after([", ".join([str(AT)] * MOST_AWAITED)])) == MOST_AWAITED
    with pytest.raises(Invalid):
        written_after([str(AT)] * (MOST_AWAITED + 1))
