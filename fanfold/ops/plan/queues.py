"""Workers as queues: a discrete-event simulation of when each post has reached its last follower.

Each worker has an agent for each topic: it takes what waits, up to a limit, works until
all of it is done, and looks again, after a pause if there is one, or at once when a whole batch waits. A batch begins with a latency, in which the
worker waits for answers and other agents may use its core. Then its work and that of the other agents take turns of a few
milliseconds, as they share one interpreter. A post with several slices ends with the last of them, wherever that runs. Pure: the
same random numbers give the same ages.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from random import Random
from typing import NamedTuple

from fanfold.core.buckets import generation_for, slices_total
from fanfold.core.events import COMMANDS, POSTS

TURN_S = 0.005
"""How long a worker stays with one topic while another has work."""


class Arrival(NamedTuple):
    """A post to this many awake followers; or, with `other_work_s`, other work on one worker's topic."""

    at_s: float
    followers: float = 0.0
    pulled: bool = False
    topic: str = POSTS
    other_work_s: float = 0.0
    worker: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One worker. Seconds for a post with its deliveries, a pulled post, a slice of a number of followers."""

    post_s: Callable[[float], float]
    pulled_s: float
    slice_s: Callable[[float], float]
    bucket: int
    """Followers of a slice on average, when its generation is full: FANFOLD_BUCKET_FOLLOWERS."""
    latency_s: float = 0.0
    """From the start of a batch until its work begins."""
    pause_s: float = 0.0
    """From the end of a batch until the agent looks again: 0 for a worker that takes what is there."""
    batch: int = 200
    """Events of a batch: FANFOLD_TAKE_EVENTS."""
    slices: int = 16
    """Slices of a batch: four times FANFOLD_SLICES_IN_FLIGHT."""
    together: int = 32
    """Events of a batch that are worked on at a time, so that they end together."""


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
class _Agent:
    waiting: deque[_Item] = field(default_factory=deque)
    batch: list[_Item] = field(default_factory=list)
    worked: int = 0
    """Items of the batch whose work is done."""
    ended: int = 0
    """Items of the batch that have ended."""
    looks: bool = False
    """Whether its next look is in the queue of events, or a batch is under way."""


@dataclass(slots=True)
class _Worker:
    agents: defaultdict[str, _Agent] = field(default_factory=lambda: defaultdict(_Agent))
    order: deque[str] = field(default_factory=deque)
    """Topics with work, the next one first; without the one whose turn it is."""
    serving: bool = False
    busy_s: float = 0.0


_Event = tuple[float, int, Callable[[float], None]]


class Queues:
    """One run. Times are seconds from any zero; arrivals come in order."""

    def __init__(self, workers: int, service: Service, *, random: Random) -> None:
        self._workers = [_Worker() for _ in range(workers)]
        self._service = service
        self._random = random
        self._posts: list[_Post] = []
        self._events: list[_Event] = []
        self._number = 0

    def run(self, arrivals: Iterable[Arrival], *, until_s: float) -> None:
        """Serve the arrivals until this time; none of them is later. Work that is not done then stays queued."""
        for arrival in arrivals:
            self._go_on_until(arrival.at_s)
            self._arrive(arrival)
        self._go_on_until(until_s)

    def ages(self, *, until_s: float) -> list[float]:
        """The age of each pushed post at its last delivery, in the order of arrival; infinite if that is later than `until_s`."""
        self._go_on_until(until_s)
        return [post.done_s - post.at_s for post in self._posts if post.measured]

    def busy(self, seconds: float) -> float:
        """The busy share of the workers within this many seconds."""
        return sum(worker.busy_s for worker in self._workers) / len(self._workers) / seconds

    def _arrive(self, arrival: Arrival) -> None:
        # Keys are hashed to partitions, and so to workers.
        worker = self._some_worker() if arrival.worker is None else self._workers[arrival.worker]
        if arrival.other_work_s:
            self._append(arrival.at_s, worker, arrival.topic, _Item(arrival.other_work_s, None))
            return
        service, post = self._service, _Post(arrival.at_s, arrival.followers, not arrival.pulled)
        self._posts.append(post)
        if arrival.pulled:
            work_s = service.pulled_s
        elif arrival.followers <= service.bucket:
            work_s = service.post_s(arrival.followers)
        else:
            generation = generation_for(ceil(arrival.followers), service.bucket)
            work_s, post.slices_left = service.post_s(0), slices_total(generation)
        self._append(arrival.at_s, worker, POSTS, _Item(work_s, len(self._posts) - 1))

    def _some_worker(self) -> _Worker:
        return self._workers[self._random.randrange(len(self._workers))]

    def _append(self, at_s: float, worker: _Worker, topic: str, item: _Item) -> None:
        agent = worker.agents[topic]
        agent.waiting.append(item)
        if not agent.looks:
            agent.looks = True
            # An agent with nothing to do looks regularly, and this is some moment in between.
            pause_s = self._service.pause_s * self._random.random()
            self._at(at_s + pause_s, lambda now_s: self._take(now_s, worker, topic))

    def _at(self, at_s: float, happen: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (at_s, self._number, happen))

    def _go_on_until(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            at_s, _, happen = heapq.heappop(self._events)
            happen(at_s)

    def _take(self, at_s: float, worker: _Worker, topic: str) -> None:
        agent = worker.agents[topic]
        count = min(len(agent.waiting), self._limit(topic))
        agent.looks = count > 0
        if not count:
            return
        agent.batch = [agent.waiting.popleft() for _ in range(count)]
        agent.worked = agent.ended = 0
        self._at(at_s + self._service.latency_s, lambda now_s: self._begin(now_s, worker, topic))

    def _limit(self, topic: str) -> int:
        return self._service.slices if topic == COMMANDS else self._service.batch

    def _begin(self, at_s: float, worker: _Worker, topic: str) -> None:
        worker.order.append(topic)
        if not worker.serving:
            worker.serving = True
            self._turn(at_s, worker)

    def _turn(self, at_s: float, worker: _Worker) -> None:
        """Work on one topic for at most a turn; then its next turn is after those of all others."""
        if not worker.order:
            worker.serving = False
            return
        topic = worker.order.popleft()
        agent, used_s = worker.agents[topic], 0.0
        while agent.worked < len(agent.batch) and used_s < TURN_S:
            item = agent.batch[agent.worked]
            part_s = min(item.work_s, TURN_S - used_s)
            item.work_s -= part_s
            used_s += part_s
            if item.work_s <= 0:
                agent.worked += 1
                self._end_some(at_s + used_s, agent)
        worker.busy_s += used_s
        self._at(at_s + used_s, lambda now_s: self._end_turn(now_s, worker, topic))

    def _end_turn(self, at_s: float, worker: _Worker, topic: str) -> None:
        agent = worker.agents[topic]
        if agent.worked < len(agent.batch):
            worker.order.append(topic)
        else:
            whole = len(agent.waiting) >= self._limit(topic)
            pause_s = 0.0 if whole else self._service.pause_s
            self._at(at_s + pause_s, lambda now_s: self._take(now_s, worker, topic))
        self._turn(at_s, worker)

    def _end_some(self, at_s: float, agent: _Agent) -> None:
        """Items that are worked on together end together: an item ends when the last of them is done."""
        last = agent.worked == len(agent.batch)
        until = agent.worked if last else agent.worked - self._service.together + 1
        while agent.ended < until:
            self._end(at_s, agent.batch[agent.ended])
            agent.ended += 1

    def _end(self, at_s: float, item: _Item) -> None:
        if item.post is None:
            return
        post = self._posts[item.post]
        if post.slices_left and not item.is_slice:
            count = post.slices_left
            work_s = self._service.slice_s(post.followers / count)
            for _ in range(count):
                slice_of = _Item(work_s, item.post, is_slice=True)
                self._append(at_s, self._some_worker(), COMMANDS, slice_of)
            return
        post.slices_left -= item.is_slice
        if not post.slices_left:
            post.done_s = at_s


def percentile(ages: Sequence[float], share: float) -> float:
    """The nearest rank; 0 of nothing."""
    return sorted(ages)[max(0, ceil(share * len(ages)) - 1)] if ages else 0.0
