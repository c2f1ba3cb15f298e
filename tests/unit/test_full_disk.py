"""A full disk: the log refuses appends, and `/readyz` says so; both end when there is room again."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx2
import pytest

from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.core.errors import LogUnavailable
from fanfold.http.app import make_app
from fanfold.http.readiness import readiness
from tests.support.clock import ManualClock
from tests.support.logs import a_post


@contextmanager
def a_full_disk(directory: Path) -> Iterator[None]:
    """No file of this process can grow beyond the largest of this directory, as on a disk without a free page."""
    largest = max(path.stat().st_size for path in directory.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def total_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


@asynccontextmanager
async def a_client(log: SqliteLog) -> AsyncIterator[httpx2.AsyncClient]:
    app = make_app(title="test", routers=[], ready=readiness({"the log": log.ping}))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_a_log_on_a_full_disk_is_not_ready_and_is_again_when_there_is_room(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with (
        SqliteLog(tmp_path / "log.db", clock=clock, source="test") as log,
        a_client(log) as client,
    ):
        assert (await client.get("/readyz")).status_code == 200
        with a_full_disk(tmp_path):
            clock.advance(1)
            with pytest.raises(LogUnavailable):
                await log.append(a_post())
            full = await client.get("/readyz")
            live = await client.get("/livez")
        clock.advance(1)
        with_room = await client.get("/readyz")
        await log.append(a_post())
    assert (full.status_code, full.json()["detail"]) == (503, "No answer from the log.")
    assert live.status_code == 200
    assert with_room.status_code == 200


async def test_where_the_probe_finds_room_the_longest_post_does_too(tmp_path: Path) -> None:
    async with SqliteLog(tmp_path / "log.db", clock=ManualClock(), source="test") as log:
        await log.ping()
        before = total_bytes(tmp_path)
        await log.append(a_post(content="😀" * 4096))
        grown = total_bytes(tmp_path) - before
    assert 0 < grown <= 32 * 1024 + 8192


async def test_many_questions_within_a_second_are_one_write(tmp_path: Path) -> None:
    clock = ManualClock()
    async with SqliteLog(tmp_path / "log.db", clock=clock, source="test") as log:
        await log.ping()
        size = (tmp_path / "log.db-wal").stat().st_size
        for _ in range(100):
            await log.ping()
        assert (tmp_path / "log.db-wal").stat().st_size == size
        clock.advance(1)
        await log.ping()
        assert (tmp_path / "log.db-wal").stat().st_size > size
