"""`fanfold status`: what it makes of a backlog."""

from __future__ import annotations

import io
import json

from rich.console import Console

from console_service.work import FanoutInProgress, Status, fanouts_of, work_of
from fanfold.core.events import DeliverSlice, encode
from fanfold.core.lag import PartitionLag
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Backlog
from fanfold.ops.status import print_status
from tests.support.fanout import a_post

BOBS, ANNS = a_post(by="bob"), a_post(by="ann")


def a_backlog(*lags: PartitionLag, commands: tuple[Record, ...] = ()) -> Backlog:
    return Backlog(lags, dead_letters=3, commands=commands, all_commands=True)


def a_command(post: object, bucket: int) -> Record:
    assert hasattr(post, "post_id")
    assert hasattr(post, "author_id")
    encoded = encode(
        DeliverSlice(post_id=post.post_id, author_id=post.author_id, generation=1, bucket=bucket),
        source="test",
        now_ms=0,
    )
    return Record(encoded.topic, 0, bucket, encoded.key, encoded.value, dict(encoded.headers), 0)


def printed(status: Status) -> str:
    out = io.StringIO()
    print_status(status, Console(file=out, width=200))
    return out.getvalue()


def test_fan_outs_in_progress_are_the_posts_of_the_commands_that_wait() -> None:
    broken = Record("fanout.commands.v1", 0, 9, None, b"{", {}, 0)
    commands = [a_command(ANNS, 0), *(a_command(BOBS, n) for n in range(3)), broken]
    assert fanouts_of(commands) == (
        FanoutInProgress(str(BOBS.post_id), "bob", 3),
        FanoutInProgress(str(ANNS.post_id), "ann", 1),
    )


def test_a_lag_does_not_make_a_system_unhealthy() -> None:
    behind = work_of(a_backlog(PartitionLag("posts.v1", 3, committed=5, end=12)))
    assert (behind.lag, behind.posts_unplanned) == (7, 7)
    assert Status(behind).healthy


def test_without_kafka_it_is_unhealthy() -> None:
    assert not Status(None, "Kafka does not answer").healthy


def test_a_person_sees_the_lag_and_the_fan_outs() -> None:
    work = work_of(
        a_backlog(
            PartitionLag("posts.v1", 0, 5, 5),
            PartitionLag("posts.v1", 3, 5, 12),
            commands=(a_command(BOBS, 1),),
        )
    )
    shown = printed(Status(work))
    assert "3:7" in shown
    assert f"{BOBS.post_id} by bob: 1 slices left" in shown
    assert shown.splitlines()[-1] == "healthy"


def test_without_kafka_a_person_sees_why_nothing_is_known() -> None:
    shown = printed(Status(None, "Kafka at [::1]:9092: away"))
    assert "What waits is not known. Kafka at [::1]:9092: away" in shown
    assert shown.splitlines()[-1] == "not healthy"


def test_a_program_sees_the_same() -> None:
    lag = PartitionLag("posts.v1", 0, 1, 2)
    document = json.loads(json.dumps(Status(work_of(a_backlog(lag))).as_json()))
    assert document["work"]["lag"] == 1
    assert document["work"]["lags"] == [
        {"topic": "posts.v1", "partition": 0, "committed": 1, "end": 2, "records": 1}
    ]
    assert document["work"]["dead_letters"] == 3
    assert Status(None, "away").as_json() == {"work": None, "work_unknown": "away"}


def test_a_status_for_programs_is_read_back() -> None:
    lags = (PartitionLag("posts.v1", 0, 1, 2), PartitionLag("graph.v1", 3, 7, 7))
    for status in (
        Status(work_of(a_backlog(*lags, commands=(a_command(BOBS, 1),)))),
        Status(None, "away"),
    ):
        assert Status.from_json(json.loads(json.dumps(status.as_json()))) == status
