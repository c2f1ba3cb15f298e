"""A log's file is closed when no thread reads it any more."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from fanfold.adapters.sqlite.in_thread import in_thread


async def test_a_cancelled_caller_waits_for_its_thread() -> None:
    began, may_end, ended = Event(), Event(), Event()

    def ask() -> None:
        began.set()
        may_end.wait()
        ended.set()

    caller = asyncio.create_task(in_thread(ask))
    await asyncio.to_thread(began.wait)
    caller.cancel()
    for _ in range(100):
        await asyncio.sleep(0)
    waits = not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert waits
    assert ended.is_set()
