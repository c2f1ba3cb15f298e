"""Users who change their minds all day: the events, and how many rows the tables then hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from fanfold.adapters.memory.cells import ClusteredTable, Table
from fanfold.core.events import ACTIVITY, ENGAGEMENT, GRAPH, TIES, Event, UserFellAsleep, UserWoke
from fanfold.core.ports import Stores
from fanout_service.worker import Worker
from tests.support.clock import START_MS
from tests.support.fanout import (
    a_block,
    a_follow,
    a_like,
    a_mute,
    a_post,
    a_record,
    an_unblock,
    an_unfollow,
    an_unlike,
    an_unmute,
    at,
)

DAY_MS = 24 * 3600 * 1000
BATCH = 199
"""Odd, so that a batch ends now with a beginning and now with an end."""


@dataclass(frozen=True, slots=True)
class Churn:
    """One kind of change of mind: `begin` and `end` make its events, at a time in ms."""

    topic: str
    begin: Callable[[int], Event]
    end: Callable[[int], Event]

    def events(self, changes: int) -> Iterator[Event]:
        """So many events of one day, in its last `changes` equal parts."""
        for number in range(changes):
            ms = START_MS - DAY_MS + DAY_MS * number // changes
            yield (self.end if number % 2 else self.begin)(ms)


def every_kind() -> Sequence[Churn]:
    """Each churn is of one user about another, or about one post."""
    post = a_post(by="author", ms=START_MS - DAY_MS)
    return (
        Churn(GRAPH, lambda ms: a_follow("fan", "author"), lambda ms: an_unfollow("fan", "author")),
        Churn(
            ENGAGEMENT,
            lambda ms: a_like(post, "fan", ms=ms),
            lambda ms: an_unlike(post, "fan", ms=ms),
        ),
        Churn(
            TIES,
            lambda ms: a_mute("fan", "author", ms=ms),
            lambda ms: an_unmute("fan", "author", ms=ms),
        ),
        Churn(
            TIES,
            lambda ms: a_block("fan", "author", ms=ms),
            lambda ms: an_unblock("fan", "author", ms=ms),
        ),
        Churn(
            ACTIVITY,
            lambda ms: UserFellAsleep(user_id="fan", fell_asleep_at=at(ms)),
            lambda ms: UserWoke(user_id="fan", woke_at=at(ms)),
        ),
    )


async def churned(worker: Worker, churn: Churn, changes: int, *, first_offset: int) -> int:
    """Let the worker handle so many changes of mind. Returns the offset after them."""
    handle = worker.handlers()[churn.topic]
    offset = first_offset
    batch = []
    for event in churn.events(changes):
        batch.append(a_record(event, offset=offset))
        offset += 1
        if len(batch) == BATCH:
            await handle(batch)
            batch = []
    if batch:
        await handle(batch)
    return offset


def rows_in_memory(stores: Stores) -> dict[str, int]:
    """The number of rows of every table of the embedded stores, and of entries of their other collections."""
    counted: dict[str, int] = {}
    for store in fields(stores):
        for name, held in vars(getattr(stores, store.name)).items() if store.name != "ping" else ():
            counted[f"{store.name}.{name}"] = _rows(held)
    return {name: rows for name, rows in counted.items() if rows}


def _rows(held: Any) -> int:
    match held:
        case Table():
            return len(held._rows)
        case ClusteredTable():
            return sum(map(len, held._partitions.values()))
        case dict():
            return sum(len(entry) if isinstance(entry, list) else 1 for entry in held.values())
        case _:
            return 0
