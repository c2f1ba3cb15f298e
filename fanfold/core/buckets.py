"""The partitions of followers and posts: pure functions from an id.

Each *generation* has sixteen times as many follower buckets as the one before. An author's newest generation grows with the
follower count and never shrinks. An edge stays in the generation that it was first written in, so readers of followers visit
all generations from 0 to the newest.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from fanfold.core.ids import created_at_ms

BUCKETS_IN_GENERATION = (1, 16, 256, 4096, 65536)
NEWEST_GENERATION = len(BUCKETS_IN_GENERATION) - 1

# A busy bot's pointers of a month are a partition of a few MB; a read of the retention window visits two.
TIME_BUCKET_MS = 30 * 24 * 3600 * 1000


class FollowerBucket(NamedTuple):
    """One partition of an author's followers, and so one slice of a fan-out."""

    generation: int
    bucket: int


FIRST_BUCKET = FollowerBucket(0, 0)


def follower_bucket(follower_id: str, generation: int) -> int:
    """The bucket of a follower in a generation; it must never change."""
    return zlib.crc32(follower_id.encode()) % BUCKETS_IN_GENERATION[generation]


def generation_for(follower_count: int, bucket_followers: int) -> int:
    """The smallest generation whose buckets hold at most `bucket_followers` each, on average."""
    for generation, buckets in enumerate(BUCKETS_IN_GENERATION):
        if follower_count <= buckets * bucket_followers:
            return generation
    return NEWEST_GENERATION


def buckets_up_to(
    newest_generation: int, *, first: FollowerBucket = FIRST_BUCKET
) -> Iterator[FollowerBucket]:
    """The buckets an author's followers may be in, oldest generation first: from `first` on."""
    for generation in range(first.generation, newest_generation + 1):
        skipped = first.bucket if generation == first.generation else 0
        for bucket in range(skipped, BUCKETS_IN_GENERATION[generation]):
            yield FollowerBucket(generation, bucket)


def slices_total(newest_generation: int) -> int:
    """The number of slices of a fan-out over all buckets."""
    return sum(BUCKETS_IN_GENERATION[: newest_generation + 1])


def time_bucket(post_id: UUID) -> int:
    """The time bucket of a post in the per-author tables: 30-day periods since the Unix epoch."""
    return created_at_ms(post_id) // TIME_BUCKET_MS
