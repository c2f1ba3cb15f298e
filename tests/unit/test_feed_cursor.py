"""What cursors remember, and which ones are refused."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.delivery import Delivery
from fanfold.core.ids import new_post_id
from fanfold.http.cursors import decode_cursor, encode_cursor
from fanfold.http.problems import Invalid
from feed_service.query.cursor import Ranking, RankingCursor, TimeCursor, newest_of
from tests.support.examples import examples
from tests.support.feed import World, a_reader

post_ids = st.integers(0, 2**47).map(new_post_id)
rankings = st.dictionaries(
    post_ids.map(lambda post_id: post_id.int),
    st.sampled_from(["push", "pull"]),
    min_size=1,
    max_size=100,
)


@examples()
@given(post_ids, st.integers(0, 1000), post_ids)
def test_the_end_of_a_page_comes_back(post_id: UUID, served: int, newest: UUID) -> None:
    end = TimeCursor(post_id, served, newest)
    cursor = end.encode(scope="feed/chronological/alice")
    assert TimeCursor.decode(cursor, scope="feed/chronological/alice") == end
    assert newest_of(cursor, viewer="alice") == newest


@examples()
@given(rankings, post_ids)
def test_a_ranking_comes_back_in_its_order(ranking: dict[int, Delivery], newest: UUID) -> None:
    cursor = RankingCursor(ranking, newest).encode(scope="feed/relevance/alice")
    decoded = RankingCursor.decode(cursor, scope="feed/relevance/alice")
    assert (list(decoded.remaining.items()), decoded.newest) == (list(ranking.items()), newest)
    assert newest_of(cursor, viewer="alice") == newest


def test_the_longest_cursor_fits_into_any_url() -> None:
    ranking: dict[int, Delivery] = {new_post_id(n).int: "pull" for n in range(99)}
    assert len(RankingCursor(ranking, new_post_id(99)).encode(scope="s")) < 2300


# Fixed, because parameters are part of the tests' names, and every process must collect the same names.
ID = UUID("00000000-0001-7000-8000-000000000001").bytes
NO_POST_ID = UUID("6fa459ea-ee8a-4ca4-894e-db77e160355e").bytes
NONSENSE = [
    b"",
    b"\0",
    ID + b"\1\0" + ID[:-1],
    ID + b"\1\0" + ID + b"\0",
    ID + b"\2\0" + ID + ID,
    ID + b"\1\0" + NO_POST_ID,
    NO_POST_ID + b"\1\0" + ID,
    struct.pack(">16s16sI", NO_POST_ID, ID, 1),
    struct.pack(">16s16sI", ID, NO_POST_ID, 1),
    ID,
]


@pytest.mark.parametrize("payload", NONSENSE)
def test_nonsense_with_a_valid_checksum_is_refused(payload: bytes) -> None:
    cursor = encode_cursor(payload, scope="s")
    for kind in (TimeCursor, RankingCursor):
        with pytest.raises(Invalid):
            kind.decode(cursor, scope="s")


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(struct.pack(">16sI", ID, 10), id="by time, without the newest post"),
        pytest.param(b"\1\0" + ID, id="a ranking without the newest post"),
        pytest.param(struct.pack(">16s16sIH", ID, ID, 10, 7), id="by time, with a field more"),
    ],
)
async def test_a_cursor_of_another_version_is_refused_and_never_misread(payload: bytes) -> None:
    """Such cursors arrive while two versions run; the client begins again."""
    async with a_reader(World()) as reader:
        for ranking in ("chronological", "relevance"):
            cursor = encode_cursor(payload, scope=f"feed/{ranking}/alice")
            with pytest.raises(Invalid):
                await reader.page("alice", ranking=ranking, cursor=cursor)


def test_a_cursor_of_another_scope_is_refused() -> None:
    one = new_post_id(1)
    cursor = TimeCursor(one, 10, one).encode(scope="feed/chronological/alice")
    with pytest.raises(Invalid):
        TimeCursor.decode(cursor, scope="feed/chronological/bob")
    with pytest.raises(Invalid):
        newest_of(cursor, viewer="bob")


@examples()
@given(
    payload=st.one_of(
        st.binary(max_size=100),
        st.tuples(post_ids, post_ids, st.binary(min_size=4, max_size=4)).map(
            lambda it: it[0].bytes + it[1].bytes + it[2]
        ),
        st.builds(RankingCursor, rankings, post_ids).map(
            lambda cursor: decode_cursor(cursor.encode(scope=""), scope="")
        ),
    ),
    ranking=st.sampled_from(["relevance", "chronological"]),
)
async def test_any_cursor_is_refused_or_shows_only_the_feed(
    payload: bytes, ranking: Ranking
) -> None:
    world = World()
    own, _ = await world.post("alice", ago_s=1), await world.post("eve", ago_s=1)
    cursor = encode_cursor(payload, scope=f"feed/{ranking}/alice")
    async with a_reader(world) as reader:
        try:
            page, _ = await reader.page("alice", ranking=ranking, cursor=cursor)
        except Invalid:
            return
        assert {item.post_id for item in page.items} <= {own}
