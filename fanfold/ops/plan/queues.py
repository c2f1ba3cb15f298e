"""Workers as queues: a discrete-event simulation of when each post has reached its last follower.

A worker serves its topics in turns of a few milliseconds, as its agents share one interpreter, and within a topic in the order of
arrival. A post with several slices ends with the last of them, wherever that runs. Pure: the same random numbers give the same ages.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from random import Random
from typing import NamedTuple

from fanfold.core.events import COMMANDS, POSTS

TURN_S = 0.005
"""How long a worker stays with one topic while another waits."""


class Arrival(NamedTuple):
    """A post to so many awake followers; or, with `other_work_s`, other work on one worker's topic."""

    at_s: float
    followers: float = 0.0
    pulled: bool = False
    topic: str = POSTS
    other_work_s: float = 0.0
    worker: int | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """Seconds of one worker: for a post with its deliveries, for a pulled post, and for a slice. `bucket` is a slice's followers."""

    post_s: Callable[[float], float]
    pulled_s: float
    slice_s: Callable[[float], float]
    bucket: int


@dataclass(slots=True)
class _Item:
    work_s: float
    post: int | None
    is_slice: bool = False


@dataclass(slots=True)
class _Post:
    at_s: float
    followers: float
    measured: bool
    slices_left: int = 0
    done_s: float = inf


@dataclass(slots=True)
class _Worker:
    queues: dict[str, deque[_Item]] = field(default_factory=dict)
    order: deque[str] = field(default_factory=deque)
    """Topics with work that wait for a turn, the next one first."""
    topic: str | None = None
    """The topic of the current turn; it waits behind all others when it ends."""
    serving: bool = False
    busy_s: float = 0.0


class Queues:
    """One run. Times are seconds from any zero; arrivals come in order."""

    def __init__(self, workers: int, service: Service, *, random: Random) -> None:
        self._workers = [_Worker() for _ in range(workers)]
        self._service = service
        self._random = random
        self._posts: list[_Post] = []
        self._turns: list[tuple[float, int, int]] = []
        self._number = 0

    def run(self, arrivals: Iterable[Arrival], *, until_s: float) -> None:
        """Serve the arrivals until this time; none of them is later. What is not done then stays queued."""
        for arrival in arrivals:
            self._turn_until(arrival.at_s)
            self._arrive(arrival)
        self._turn_until(until_s)

    def ages(self, *, until_s: float) -> list[float]:
        """The age of each pushed post at its last delivery, in the order of arrival; infinite if that is later than `until_s`."""
        self._turn_until(until_s)
        return [post.done_s - post.at_s for post in self._posts if post.measured]

    def busy(self, seconds: float) -> float:
        """The busy share of the workers within so many seconds."""
        return sum(worker.busy_s for worker in self._workers) / len(self._workers) / seconds

    def _arrive(self, arrival: Arrival) -> None:
        number = arrival.worker
        if number is None:
            # Keys are hashed to partitions, and so to workers.
            number = self._random.randrange(len(self._workers))
        if arrival.other_work_s:
            self._append(arrival.at_s, number, arrival.topic, _Item(arrival.other_work_s, None))
            return
        post = _Post(arrival.at_s, arrival.followers, not arrival.pulled)
        self._posts.append(post)
        service = self._service
        if arrival.pulled:
            work_s = service.pulled_s
        elif arrival.followers <= service.bucket:
            work_s = service.post_s(arrival.followers)
        else:
            work_s, post.slices_left = service.post_s(0), ceil(arrival.followers / service.bucket)
        self._append(arrival.at_s, number, POSTS, _Item(work_s, len(self._posts) - 1))

    def _append(self, at_s: float, number: int, topic: str, item: _Item) -> None:
        worker = self._workers[number]
        queue = worker.queues.setdefault(topic, deque())
        if not queue and topic != worker.topic:
            worker.order.append(topic)
        queue.append(item)
        if not worker.serving:
            worker.serving = True
            self._push(at_s, number)

    def _push(self, at_s: float, number: int) -> None:
        self._number += 1
        heapq.heappush(self._turns, (at_s, self._number, number))

    def _turn_until(self, until_s: float) -> None:
        while self._turns and self._turns[0][0] <= until_s:
            at_s, _, number = heapq.heappop(self._turns)
            self._turn(at_s, number)

    def _turn(self, at_s: float, number: int) -> None:
        """Serve one topic for at most a turn. What arrives meanwhile waits for the next one."""
        worker = self._workers[number]
        if worker.topic and worker.queues[worker.topic]:
            worker.order.append(worker.topic)
        worker.topic = None
        if not worker.order:
            worker.serving = False
            return
        worker.topic = topic = worker.order.popleft()
        queue, used_s = worker.queues[topic], 0.0
        while queue and used_s < TURN_S:
            item = queue[0]
            part_s = min(item.work_s, TURN_S - used_s)
            item.work_s -= part_s
            used_s += part_s
            if item.work_s > 0:
                break
            queue.popleft()
            self._end(at_s + used_s, item)
        worker.busy_s += used_s
        self._push(at_s + used_s, number)

    def _end(self, at_s: float, item: _Item) -> None:
        if item.post is None:
            return
        post = self._posts[item.post]
        if post.slices_left and not item.is_slice:
            service, count = self._service, post.slices_left
            work_s = service.slice_s(post.followers / count)
            for _ in range(count):
                number = self._random.randrange(len(self._workers))
                self._append(at_s, number, COMMANDS, _Item(work_s, item.post, is_slice=True))
            return
        post.slices_left -= item.is_slice
        if not post.slices_left:
            post.done_s = at_s


def percentile(ages: Sequence[float], share: float) -> float:
    """The nearest rank; 0 of nothing."""
    return sorted(ages)[max(0, ceil(share * len(ages)) - 1)] if ages else 0.0
