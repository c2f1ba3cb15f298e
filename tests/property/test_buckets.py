from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.buckets import (
    BUCKETS_IN_GENERATION,
    NEWEST_GENERATION,
    buckets_up_to,
    follower_bucket,
    generation_for,
    slices_total,
)

counts = st.integers(0, 10**10)
generations = st.integers(0, NEWEST_GENERATION)


@given(st.text(min_size=1), generations)
def test_every_follower_has_a_bucket_in_every_generation(follower: str, generation: int) -> None:
    assert 0 <= follower_bucket(follower, generation) < BUCKETS_IN_GENERATION[generation]


@given(counts, counts, st.integers(1, 10_000))
def test_a_generation_never_shrinks_as_followers_come(one: int, other: int, size: int) -> None:
    fewer, more = sorted((one, other))
    assert generation_for(fewer, size) <= generation_for(more, size)


@given(st.integers(0, NEWEST_GENERATION - 1))
def test_a_fan_out_visits_each_bucket_once(generation: int) -> None:
    visited = Counter(buckets_up_to(generation))
    assert set(visited.values()) == {1}
    assert visited.total() == slices_total(generation)


@given(st.integers(0, 999))
def test_followers_spread_evenly(seed: int) -> None:
    held = Counter(follower_bucket(f"user-{seed}-{n}", 1) for n in range(16 * 200))
    assert len(held) == 16
    assert max(held.values()) < 2 * 200
