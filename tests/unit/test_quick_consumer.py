"""What the worker's consumer adds to aiokafka's: the leader of a partition is looked for again, and a lost group ends the process."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import KafkaError, NotLeaderForPartitionError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetResetStrategy
from aiokafka.structs import TopicPartition

from fanout_service.quick_consumer import _Thread, ask_leaders_again

PARTITION = TopicPartition("posts", 0)
FROZEN, LEADER = 3, 1


class Client:
    """A cluster whose first leader was frozen while another one was elected: only a new look at the metadata shows that."""

    _metadata_max_age_ms = 300_000

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.leader = FROZEN
        self.fetches = asyncio.Event()

    @property
    def cluster(self) -> Any:
        return SimpleNamespace(leader_for_partition=lambda _: self.leader)

    async def send(self, node_id: int, request: Any) -> Any:
        if isinstance(request, FetchRequest):
            self.fetches.set()
            await asyncio.Event().wait()
        refused = NotLeaderForPartitionError.errno if node_id == FROZEN else 0
        return SimpleNamespace(API_VERSION=1, topics=[("posts", [(0, refused, -1, 7)])])

    def force_metadata_update(self) -> asyncio.Future[bool]:
        self.leader = LEADER
        looked = self._loop.create_future()
        looked.set_result(True)
        return looked


async def test_after_a_rebalance_a_partition_is_fetched_from_the_leader_that_was_elected_meanwhile() -> (
    None
):
    client, subscriptions = Client(), SubscriptionState()
    subscriptions.subscribe({"posts"})
    fetcher = Fetcher(client, subscriptions, retry_backoff_ms=1)
    ask_leaders_again(fetcher, client)
    try:
        subscriptions.assign_from_subscribed([PARTITION])
        # As for a partition without an acknowledged record.
        state = subscriptions.subscription.assignment.state_value(PARTITION)
        state.await_reset(OffsetResetStrategy.EARLIEST)
        async with asyncio.timeout(10):
            await client.fetches.wait()
        assert (client.leader, state.position) == (LEADER, 7)
    finally:
        await fetcher.close()


async def test_an_error_that_ends_the_groups_coordination_is_raised_by_the_next_fetch() -> None:
    def check_errors() -> None:
        raise KafkaError("FencedInstanceId")

    consumer = SimpleNamespace(_coordinator=SimpleNamespace(check_errors=check_errors))
    with pytest.raises(KafkaError, match="Fenced"):
        await _Thread._fetch_records(object.__new__(_Thread), consumer, set())
