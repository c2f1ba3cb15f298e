"""What cursors remember, and which ones are refused."""

from __future__ import annotations

import struct
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.ids import created_at_ms, new_post_id
from fanfold.http.cursors import decode_cursor, encode_cursor
from fanfold.http.problems import Invalid
from feed_service.query.cursor import (
    _MULTIPLIERS,
    Ranking,
    RankingCursor,
    TimeCursor,
    feed_scope,
    newest_of,
)
from tests.support.examples import examples
from tests.support.feed import World, a_reader

post_ids = st.integers(0, 2**47).map(new_post_id)
windows = st.sets(post_ids.map(lambda post_id: post_id.int), min_size=1, max_size=100).map(
    lambda numbers: sorted(numbers, reverse=True)
)
"""The posts that a first page ranks, newest first."""


@examples()
@given(post_ids, st.integers(0, 1000), post_ids)
def test_the_end_of_a_page_comes_back(post_id: UUID, served: int, newest: UUID) -> None:
    end = TimeCursor(post_id, served, newest)
    scope = feed_scope("chronological", "alice")
    cursor = end.encode(scope=scope)
    assert TimeCursor.decode(cursor, scope=scope) == end
    assert newest_of(cursor, viewer="alice") == newest


@examples()
@given(windows, st.randoms())
def test_a_ranking_comes_back_in_its_order_and_names_each_post_of_its_window_alone(
    window: list[int], rng: Random
) -> None:
    ranking = rng.sample(window, rng.randint(1, len(window)))
    scope = feed_scope("relevance", "alice")
    cursor = RankingCursor.of(ranking, window=window).encode(scope=scope)
    decoded = RankingCursor.decode(cursor, scope=scope)
    prints = {decoded.fingerprint(number): number for number in window}
    assert len(prints) == len(window), "no two have one fingerprint"
    assert [prints[found] for found in decoded.remaining] == ranking
    assert decoded.newest == UUID(int=window[0])
    assert decoded.oldest_ms == created_at_ms(UUID(int=window[-1]))
    assert newest_of(cursor, viewer="alice") == decoded.newest


def test_another_salt_is_taken_when_two_posts_have_one_fingerprint() -> None:
    base = new_post_id(5).int
    # With salt 0 the upper bits of the product are the same: the difference of the two is 1 after the multiplication.
    inverse = pow(_MULTIPLIERS[0], -1, 1 << 128)
    other = (base + inverse) % (1 << 128)
    made = RankingCursor.of([base], window=[base, other])
    assert made.salt > 0
    assert made.fingerprint(base) != made.fingerprint(other)


def test_the_longest_cursor_is_short() -> None:
    window = [new_post_id(n).int for n in range(100, 0, -1)]
    scope = feed_scope("relevance", "u" * 64)
    assert len(RankingCursor.of(window[1:], window=window).encode(scope=scope)) == 570
    assert len(RankingCursor.of(window[10:], window=window).encode(scope=scope)) == 522
    assert len(RankingCursor.of(window[90:], window=window).encode(scope=scope)) == 95


# Fixed, because parameters are part of the tests' names, and every process must collect the same names.
ID = UUID("00000000-0001-7000-8000-000000000001").bytes
AT_1 = b"\0\0\0\0\0\1"
NO_POST_ID = UUID("6fa459ea-ee8a-4ca4-894e-db77e160355e").bytes
NONSENSE = [
    b"",
    b"\0",
    ID + AT_1 + b"\0",
    ID + AT_1 + b"\0" + b"one",
    ID + AT_1 + b"\0" + b"same" * 2,
    ID + AT_1 + b"\0" + b"".join(n.to_bytes(4) for n in range(101)),
    ID + b"\0\0\0\0\0\2" + b"\0" + b"late",
    NO_POST_ID + AT_1 + b"\0" + b"four",
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
        pytest.param(ID + b"\1\0" + ID, id="a ranking of ids"),
        pytest.param(ID + AT_1 + b"\0four", id="a ranking, without its form in the scope"),
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
    cursor = TimeCursor(one, 10, one).encode(scope=feed_scope("chronological", "alice"))
    with pytest.raises(Invalid):
        TimeCursor.decode(cursor, scope=feed_scope("chronological", "bob"))
    with pytest.raises(Invalid):
        newest_of(cursor, viewer="bob")


@examples()
@given(
    payload=st.one_of(
        st.binary(max_size=100),
        st.tuples(post_ids, post_ids, st.binary(min_size=4, max_size=4)).map(
            lambda it: it[0].bytes + it[1].bytes + it[2]
        ),
        windows.map(
            lambda window: decode_cursor(
                RankingCursor.of(window, window=window).encode(scope=""), scope=""
            )
        ),
    ),
    ranking=st.sampled_from(["relevance", "chronological"]),
)
async def test_any_cursor_is_refused_or_shows_only_the_feed(
    payload: bytes, ranking: Ranking
) -> None:
    world = World()
    own, _ = await world.post("alice", ago_s=1), await world.post("eve", ago_s=1)
    cursor = encode_cursor(payload, scope=feed_scope(ranking, "alice"))
    async with a_reader(world) as reader:
        try:
            page, _ = await reader.page("alice", ranking=ranking, cursor=cursor)
        except Invalid:
            return
        assert {item.post_id for item in page.items} <= {own}
