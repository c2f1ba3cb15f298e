from __future__ import annotations

import pytest

from fanfold.core.buckets import (
    FollowerBucket,
    buckets_up_to,
    follower_bucket,
    generation_for,
    slices_total,
    time_bucket,
)
from fanfold.core.ids import first_post_id_at

THIRTY_DAYS_MS = 30 * 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("count", "generation"),
    [(0, 0), (1, 0), (4096, 0), (4097, 1), (16 * 4096, 1), (16 * 4096 + 1, 2), (10**9, 4)],
)
def test_a_generation_opens_when_the_buckets_of_the_last_are_full(
    count: int, generation: int
) -> None:
    assert generation_for(count, 4096) == generation


def test_a_bucket_is_the_same_on_every_machine_for_ever() -> None:
    # Recorded values: a change would lose every edge that is stored.
    found = [follower_bucket("bob", generation) for generation in range(5)]
    assert found == [0, 0, 64, 320, 45376]


def test_all_buckets_of_all_generations_are_slices_of_a_fan_out() -> None:
    assert list(buckets_up_to(0)) == [FollowerBucket(0, 0)]
    assert list(buckets_up_to(1)) == [
        FollowerBucket(0, 0),
        *(FollowerBucket(1, bucket) for bucket in range(16)),
    ]
    assert [slices_total(generation) for generation in range(5)] == [1, 17, 273, 4369, 69905]


def test_a_post_lies_in_the_thirty_days_of_its_creation() -> None:
    assert time_bucket(first_post_id_at(THIRTY_DAYS_MS - 1)) == 0
    assert time_bucket(first_post_id_at(THIRTY_DAYS_MS)) == 1
