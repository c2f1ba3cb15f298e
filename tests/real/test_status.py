"""What the group has before it, read from Kafka without joining the group."""

from __future__ import annotations

import pytest

from console_service.work import FanoutInProgress, read_status
from fanfold.adapters.kafka.group import read_backlog
from fanfold.adapters.kafka.log import KafkaLog
from fanfold.adapters.kafka.log_view import KafkaLogView
from fanfold.core.clock import SystemClock
from fanfold.core.events import COMMANDS, PROJECTED_TOPICS, DeliverSlice
from fanfold.core.ports.log import Record
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics
from tests.support.engines import RealEngines
from tests.support.logs import a_post, own_topics
from tests.support.probes import free_port

pytestmark = pytest.mark.real


async def test_unacknowledged_records_are_counted_and_their_posts_are_listed(
    engines: RealEngines,
) -> None:
    async with own_topics(engines) as settings:
        await leave_work(settings)

        found = (await read_status(KafkaLogView(settings))).work
        some = await read_backlog(settings, most_commands=1)

    assert found is not None
    declared = load_topics()
    consumed = (*PROJECTED_TOPICS, COMMANDS)
    assert len(found.lags) == sum(declared[topic].partitions["few"] for topic in consumed)
    assert (found.posts_unplanned, found.dead_letters, found.lag) == (1, 1, 6)
    assert found.all_fanouts
    assert [(fanout.author_id, fanout.slices_left) for fanout in found.fanouts] == [("bob", 5)]
    assert isinstance(found.fanouts[0], FanoutInProgress)
    assert not some.all_commands


async def leave_work(settings: Settings) -> None:
    """A post, five slices of it, and a dead letter; nobody takes them."""
    async with KafkaLog(settings, clock=SystemClock(), source="test") as log:
        post = a_post(by="bob")
        await log.append(post)
        await log.append_many(
            [
                DeliverSlice(post_id=post.post_id, author_id="bob", generation=1, bucket=n)
                for n in range(5)
            ]
        )
        await log.dead_letter(Record("posts.v1", 0, 0, b"k", b"{", {}, 0), "unreadable")


async def test_without_kafka_the_status_says_so(engines: RealEngines) -> None:
    nobody = Settings(kafka_bootstrap=f"127.0.0.1:{free_port()}")
    status = await read_status(KafkaLogView(nobody))
    assert not status.healthy
    assert status.work_unknown is not None
    assert nobody.kafka_bootstrap in status.work_unknown
