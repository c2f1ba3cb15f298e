"""(k) The log: the bytes that an event takes on the broker's disk, by kind and compression, and the broker's CPU for it."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from bench.crowd import new_post
from bench.fan_outs import WrongResult
from bench.figures import figure
from bench.processes import cpu_s
from bench.report import Section
from bench.stack import Bench, System, running
from fanfold.core.events import (
    DeliverSlice,
    Event,
    PostLiked,
    UserFellAsleep,
    UserFollowed,
    from_ms,
)
from fanfold.core.ids import new_post_id
from tests.support.jars import JarNode

COMPRESSIONS = ("uncompressed", "lz4", "zstd")
AT_A_TIME = (1, 100)
FULL, QUICK = 1_000, 200
"""Events of each kind in a round."""

_random = random.Random(1)  # noqa: S311 - names of no consequence
# Common words at random: they compress better than prose, and worse than one text again and again.
_WORDS = "the of and a to in is you that it he was for on are as with his they at be this have from or one had by"


async def broker(bench: Bench) -> Section:
    found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(bench.rounds):
        for compression in COMPRESSIONS:
            bench.say(f"round {number + 1} of {bench.rounds}: {compression}")
            settings = await bench.new_system(compression=compression)
            async with running(bench, settings) as own:
                for what, make in _kinds().items():
                    for at_a_time in AT_A_TIME:
                        events = [make() for _ in range(bench.pick(FULL, QUICK))]
                        size, cpu_us = await _appended(bench, own, events, at_a_time)
                        name = f"{what}, {'alone' if at_a_time == 1 else f'{at_a_time} at a time'}"
                        found[name][f"{compression}: bytes"].append(size)
                        found[name][f"{compression}: µs"].append(cpu_us)
    section = Section("k", "The log: bytes of an event on the broker's disk, and its CPU")
    for what, columns in found.items():
        section.rows.append({"what": what, **{name: figure(of) for name, of in columns.items()}})
    section.notes = [
        "The size of the topics' log files, by events appended since. Brokers compress (`compression.type`), each batch by itself.",
        "Alone: one append after the other, so a batch holds one event. A hundred are spread over the partitions, as a sweep or an import appends them.",
        "Posts have 140 characters of random common words. One broker: times the number of replicas on a cluster.",
        "The broker's CPU is counted in steps of 10 ms over each run, so it is coarse.",
    ]
    return section


async def _appended(
    bench: Bench, own: System, events: Sequence[Event], at_a_time: int
) -> tuple[float, float]:
    """The bytes by which the topic's files grow, and the broker's CPU in µs, of each event."""
    topic = f"{own.settings.topic_prefix}.{events[0].topic}"
    before, spent_s = _bytes(bench, topic), cpu_s(bench.pid_of("kafka"))
    for start in range(0, len(events), at_a_time):
        await own.log.append_many(events[start : start + at_a_time])
    spent_s = cpu_s(bench.pid_of("kafka")) - spent_s
    grown = _bytes(bench, topic) - before
    if grown <= 0:
        raise WrongResult(f"{topic} has not grown")
    return grown / len(events), spent_s / len(events) * 1e6


def _bytes(bench: Bench, topic: str) -> int:
    node = bench.engines.kafka
    if not isinstance(node, JarNode):
        raise TypeError("this section reads the files of a broker of its own")
    # Looked for each time: a new topic's partitions get their files one after the other.
    return sum(file.stat().st_size for file in node.home.rglob(f"{topic}-*/*.log"))


def _kinds() -> Mapping[str, Callable[[], Event]]:
    return {
        "a post": lambda: new_post(_user(), now_ms=_now_ms(), content=_text()),
        "a like": lambda: PostLiked(
            post_id=new_post_id(_now_ms()), author_id=_user(), user_id=_user(), liked_at=_now()
        ),
        "a follow": lambda: UserFollowed(
            follower_id=_user(), followee_id=_user(), followed_at=_now()
        ),
        "a user who falls asleep": lambda: UserFellAsleep(user_id=_user(), fell_asleep_at=_now()),
        "a slice": lambda: DeliverSlice(
            post_id=new_post_id(_now_ms()), author_id=_user(), generation=1, bucket=7
        ),
    }


def _user() -> str:
    return f"user-{_random.randrange(10_000_000):07}"


def _text() -> str:
    return " ".join(_random.choices(_WORDS.split(), k=60))[:140].strip()


def _now() -> datetime:
    return from_ms(_now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
