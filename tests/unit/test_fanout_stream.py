"""What the worker takes from Faust, and what it leaves: without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from mode.services import WaitResults

from fanfold.core.settings import Settings
from fanout_service.quick_consumer import QuickConsumer, rest_of
from fanout_service.stream import FaustConsumer


@dataclass
class App:
    """The parts of a Faust app that are looked at."""

    consumer_generation_id: int = 7
    active: bool = True
    unacked: set[Any] = field(default_factory=set)

    @property
    def flow_control(self) -> Any:
        return SimpleNamespace(is_active=lambda: self.active)

    @property
    def consumer(self) -> Any:
        return SimpleNamespace(unacked=self.unacked)


@dataclass(frozen=True)
class Message:
    offset: int
    generation_id: int = 7


def a_stream(app: App, *messages: Message) -> Any:
    queue: asyncio.Queue[Any] = asyncio.Queue()
    for message in messages:
        queue.put_nowait(SimpleNamespace(message=message))
    return SimpleNamespace(app=app, channel=SimpleNamespace(queue=queue))


async def taken(stream: Any, most: int = 3) -> list[int]:
    async with asyncio.timeout(5):
        batch = await FaustConsumer(Settings())._take(stream, most)
    return [event.message.offset for event in batch]


async def test_a_batch_is_what_has_been_fetched_and_no_more_than_a_batch() -> None:
    stream = a_stream(App(), *(Message(offset) for offset in range(4)))
    assert await taken(stream) == [0, 1, 2]
    assert await taken(stream) == [3]


async def test_a_batch_waits_for_its_first_event_only() -> None:
    stream = a_stream(App())
    waiting = asyncio.create_task(taken(stream))
    await asyncio.sleep(0)
    assert not waiting.done()
    stream.channel.queue.put_nowait(SimpleNamespace(message=Message(4)))
    assert await waiting == [4]


async def test_a_rebalance_waits_for_what_is_taken() -> None:
    app = App()
    await taken(a_stream(app, Message(1), Message(2)))
    assert app.unacked == {Message(1), Message(2)}


async def test_events_from_before_a_rebalance_are_neither_handled_nor_acknowledged() -> None:
    app = App()
    old, new = Message(1, generation_id=6), Message(1)
    assert await taken(a_stream(app, old, new)) == [1]
    assert app.unacked == {new}


async def test_during_a_rebalance_nothing_is_taken() -> None:
    app = App(active=False)
    stream = a_stream(app, Message(1))
    waiting = asyncio.create_task(taken(stream))
    await asyncio.sleep(0.01)
    app.active = True
    stream.channel.queue.put_nowait(SimpleNamespace(message=Message(2)))
    assert await waiting == [2]


# --- handing over --------------------------------------------------------------------------------------


class Consumer(QuickConsumer):
    """One that is not connected. Counts how often Faust's own code waits."""

    def __init__(self, app: App) -> None:
        self._handed_over_by = app
        self.waits = 0

    @property
    def app(self) -> Any:
        return self._handed_over_by

    @app.setter
    def app(self, _: Any) -> None:
        raise NotImplementedError

    should_stop = False


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    async def first_of(self: Consumer, *waited: Any, timeout: Any = None) -> WaitResults:
        self.waits += 1
        tasks = [asyncio.ensure_future(one) for one in waited]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return WaitResults([], [task.result() for task in done], False)

    monkeypatch.setattr("faust.transport.drivers.aiokafka.Consumer.wait_first", first_of)
    return Consumer(App())


async def handed_over() -> str:
    return "handed over"


async def handed_over_later(room: asyncio.Event) -> str:
    await room.wait()
    return "handed over later"


async def test_a_record_is_handed_over_at_once_where_there_is_room(consumer: Consumer) -> None:
    found = await consumer.wait_first(handed_over(), asyncio.Event().wait())
    assert (found.results, found.stopped, consumer.waits) == (["handed over"], False, 0)


async def test_a_record_that_must_wait_is_handed_over_when_there_is_room(
    consumer: Consumer,
) -> None:
    room = asyncio.Event()
    waiting = asyncio.ensure_future(
        consumer.wait_first(handed_over_later(room), asyncio.Event().wait())
    )
    await asyncio.sleep(0)
    assert not waiting.done()
    room.set()
    assert (await waiting).results == ["handed over later"]
    assert consumer.waits == 1


async def test_a_rebalance_ends_the_wait_for_room(consumer: Consumer) -> None:
    rebalance = asyncio.Event()
    waiting = asyncio.ensure_future(
        consumer.wait_first(handed_over_later(asyncio.Event()), rebalance.wait())
    )
    await asyncio.sleep(0)
    rebalance.set()
    assert (await waiting).results == [True]


async def test_during_a_rebalance_faust_decides(consumer: Consumer) -> None:
    consumer.app.active = False
    assert (await consumer.wait_first(handed_over(), asyncio.Event().wait())).results == [
        "handed over"
    ]
    assert consumer.waits == 1


async def test_an_error_of_handing_over_is_raised(consumer: Consumer) -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    never = asyncio.Event().wait()
    with pytest.raises(ZeroDivisionError):
        await consumer.wait_first(fails(), never)


def test_the_rest_of_a_coroutine_gets_what_it_waits_for_and_what_interrupts_it() -> None:
    class Asking:
        def __await__(self) -> Generator[str, str, str]:
            return (yield "asked")

    async def work() -> list[str]:
        answers = [await Asking()]
        try:
            await Asking()
        except ZeroDivisionError:
            answers.append("interrupted")
        return answers

    started: Any = work()
    rest = rest_of(started, started.send(None))
    assert rest.send(None) == "asked"
    assert rest.send("answer") == "asked"
    with pytest.raises(StopIteration) as ended:
        rest.throw(ZeroDivisionError())
    assert ended.value.value == ["answer", "interrupted"]
