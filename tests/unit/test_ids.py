"""Post ids: their millisecond, and their order within one."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.ids import PostIds, created_at_ms, new_post_id


def test_ids_of_one_millisecond_are_in_the_order_in_which_they_were_made() -> None:
    ids = [new_post_id(1_000) for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


@given(st.lists(st.integers(0, (1 << 48) - 1), min_size=1, max_size=50))
def test_an_id_is_a_uuid7_of_its_millisecond(times_ms: list[int]) -> None:
    maker = PostIds()
    for now_ms in times_ms:
        post_id = maker.new(now_ms)
        assert created_at_ms(post_id) == now_ms
        assert post_id.version == 7
        assert post_id.variant == "specified in RFC 4122"


def test_two_makers_do_not_make_the_same_id() -> None:
    one, other = PostIds(), PostIds()
    assert one.new(1_000) != other.new(1_000)


def test_an_id_does_not_tell_the_next_one() -> None:
    maker = PostIds()
    ids = [maker.new(1_000).int for _ in range(100)]
    steps = {after - before for before, after in itertools.pairwise(ids)}
    assert len(steps) > 90
