"""`make status`: what it makes of the processes and of Kafka's view."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from console_service.work import Status, work_of
from deploy.local.plan import Plan
from deploy.local.status import (
    NOT_SUPERVISED,
    LocalStatus,
    ProcessStatus,
    print_local_status,
    read_local_status,
)
from fanfold.core.lag import PartitionLag
from tests.support.probes import free_port
from tests.unit.test_status import BOBS, a_backlog, a_command


def a_process(*, state: str = "RUNNING", readiness: str = "ready") -> ProcessStatus:
    return ProcessStatus("post", state, 17, 61, readiness, "/logs/post.log")


def printed(status: LocalStatus) -> str:
    out = io.StringIO()
    print_local_status(status, Console(file=out, width=200))
    return out.getvalue()


def test_a_lag_does_not_make_a_system_unhealthy() -> None:
    behind = work_of(a_backlog(PartitionLag("posts.v1", 3, committed=5, end=12)))
    assert LocalStatus((a_process(),), Status(behind)).healthy


def test_a_process_that_does_not_run_or_is_not_ready_makes_the_system_unhealthy() -> None:
    kafka = Status(work_of(a_backlog()))
    for process in (a_process(state="BACKOFF"), a_process(readiness="No answer from the log.")):
        assert not LocalStatus((process,), kafka).healthy
    assert not LocalStatus((a_process(),), Status(None, "Kafka does not answer")).healthy


def test_a_person_sees_health_lag_and_the_path_of_the_log() -> None:
    work = work_of(
        a_backlog(
            PartitionLag("posts.v1", 0, 5, 5),
            PartitionLag("posts.v1", 3, 5, 12),
            commands=(a_command(BOBS, 1),),
        )
    )
    shown = printed(LocalStatus((a_process(),), Status(work)))
    assert "/logs/post.log" in shown
    assert "0:01:01" in shown
    assert "3:7" in shown
    assert f"{BOBS.post_id} by bob: 1 slices left" in shown
    assert shown.splitlines()[-1] == "healthy"


def test_without_kafka_a_person_sees_why_nothing_is_known() -> None:
    shown = printed(LocalStatus((a_process(),), Status(None, "Kafka at [::1]:9092: away")))
    assert "What waits is not known. Kafka at [::1]:9092: away" in shown
    assert shown.splitlines()[-1] == "not healthy"


def test_of_a_system_that_is_down_a_person_sees_only_that() -> None:
    down = LocalStatus((a_process(state=NOT_SUPERVISED),), Status(None, "Kafka is away"))
    assert printed(down).splitlines() == ["Fanfold is not up: `make up` starts it."]


def test_a_program_sees_the_same() -> None:
    lag = PartitionLag("posts.v1", 0, 1, 2)
    status = LocalStatus((a_process(),), Status(work_of(a_backlog(lag))))
    document = json.loads(json.dumps(status.as_json()))
    assert document["healthy"] is True
    assert document["processes"][0]["healthy"] is True
    assert document["work"]["lag"] == 1
    assert document["work"]["dead_letters"] == 3


def test_a_person_and_a_program_see_that_there_is_no_shared_cache() -> None:
    status = LocalStatus((a_process(),), Status(work_of(a_backlog())))
    assert "shared cache            none" in printed(status).splitlines()
    assert status.as_json()["cache"] == "none"


async def test_a_system_without_its_supervisor_has_only_processes_that_do_not_run(
    tmp_path: Path,
) -> None:
    plan = Plan(tmp_path, gateway_port=free_port(), first_port=free_port(), workers=1)
    status = await read_local_status(plan.system())
    assert [process.name for process in status.processes] == list(plan.names)
    assert {process.state for process in status.processes} == {NOT_SUPERVISED}
    assert {process.readiness for process in status.processes} == {"not running"}
    assert not status.up
    assert not status.healthy
    assert status.kafka.work_unknown is not None
