"""The console's samples: fifteen minutes and no more, shared by all who look."""

from __future__ import annotations

import asyncio

import pytest

from console_service.processes import ThisProcess
from console_service.samples import EVERY_S, KEPT, Samples, sampling
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.support.logs import NoLogView


class AProcess:
    """A process that counts how often it was asked, and can be away."""

    name = "worker"

    def __init__(self) -> None:
        self.asked = 0
        self.away = False

    async def readiness(self) -> str:
        return "ready"

    async def metrics(self) -> str | None:
        self.asked += 1
        return None if self.away else f"fanfold_feed_streams {self.asked}\n"


async def test_no_more_than_fifteen_minutes_are_kept() -> None:
    clock, process = ManualClock(), AProcess()
    samples = Samples(NoLogView(), [process], clock)
    for _ in range(KEPT + 20):
        await samples.up_to_now()
        clock.advance(EVERY_S)
    kept = await samples.up_to_now()
    assert len(kept) == KEPT
    assert kept[-1].at_s - kept[0].at_s == (KEPT - 1) * EVERY_S == 895
    assert kept[-1].readings["worker"].streams == process.asked


async def test_a_look_between_two_samples_is_shown_and_not_kept() -> None:
    clock, process = ManualClock(), AProcess()
    samples = Samples(NoLogView(), [process], clock)
    await samples.up_to_now()
    for _ in range(3):
        clock.advance(1)
        latest = await samples.up_to_now()
        assert (len(latest), latest[-1].at_s) == (2, clock.monotonic_s())
    clock.advance(2)
    assert len(await samples.up_to_now()) == 2


async def test_all_who_look_at_one_moment_share_a_sample() -> None:
    clock, process = ManualClock(), AProcess()
    samples = Samples(NoLogView(), [process], clock)
    await asyncio.gather(*(samples.up_to_now() for _ in range(10)))
    assert process.asked == 1


async def test_sources_that_do_not_answer_are_left_out() -> None:
    process = AProcess()
    process.away = True
    samples = Samples(NoLogView(), [process], ManualClock())
    (sample,) = await samples.up_to_now()
    assert (sample.lag, sample.dead_letters, sample.readings) == (None, None, {})
    assert samples.status.work_unknown is not None


async def test_a_process_whose_metrics_cannot_be_read_does_not_end_the_samples_of_others() -> None:
    async def ready() -> None:
        """It is."""

    clock, process = ManualClock(), AProcess()
    broken = ThisProcess("broken", ready, lambda: "fanfold_feed_streams")
    samples = Samples(NoLogView(), [broken, process], clock)
    for looks in (1, 2):
        latest = (await samples.up_to_now())[-1]
        assert list(latest.readings) == ["worker"]
        assert process.asked == looks
        clock.advance(EVERY_S)


async def test_samples_are_taken_while_nobody_looks() -> None:
    clock, process = ManualClock(), AProcess()
    async with sampling(NoLogView(), [process], clock=clock):

        async def asleep() -> bool:
            return clock.sleeping > 0

        for looks in range(1, 4):
            await eventually(asleep, within_s=30, what="the pause between samples", every_s=0)
            assert process.asked == looks
            clock.advance(EVERY_S)


async def test_a_fault_of_one_look_leaves_the_next_ones(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(AProcess):
        async def metrics(self) -> str | None:
            found = await super().metrics()
            if self.asked == 1:
                raise RuntimeError("a client's fault")
            return found

    clock, process = ManualClock(), Faulty()
    async with sampling(NoLogView(), [process], clock=clock) as samples:

        async def asleep() -> bool:
            return clock.sleeping > 0

        for _ in range(2):
            await eventually(asleep, within_s=30, what="the pause between samples", every_s=0)
            clock.advance(EVERY_S)
        assert "a client's fault" in caplog.text
        assert len(await samples.up_to_now()) >= 1
