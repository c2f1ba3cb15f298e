"""Pages of records: together they are all that was chosen, newest first, whatever lies in which partition."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_service import browse
from console_service.browse import MOST_LOOKED_AT, newest
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import Backlog, Span
from tests.support.examples import examples


class AView:
    """A topic in memory, and what was read of it."""

    name = "a topic"
    replays = False

    def __init__(self, partitions: Mapping[int, list[Record]]) -> None:
        self._partitions = partitions
        self.read = 0

    async def backlog(self, *, most_commands: int) -> Backlog:
        raise NotImplementedError(most_commands)

    async def spans(self, topic: str, *, until_ms: int | None = None) -> dict[int, Span]:
        return {
            number: Span(0, sum(until_ms is None or r.appended_at_ms <= until_ms for r in records))
            for number, records in self._partitions.items()
        }

    async def records(self, topic: str, spans: Mapping[int, Span]) -> list[Record]:
        found = [r for n, span in spans.items() for r in self._partitions[n][slice(*span)]]
        self.read += len(found)
        return found


def a_record(partition: int, offset: int, at_ms: int) -> Record:
    return Record("t", partition, offset, b"even" if at_ms % 2 == 0 else b"odd", b"{}", {}, at_ms)


def a_view(times: list[list[int]]) -> AView:
    return AView(
        {
            number: [a_record(number, n, at_ms) for n, at_ms in enumerate(sorted(partition))]
            for number, partition in enumerate(times)
        }
    )


async def all_pages(
    view: AView, *, limit: int, until_ms: int | None = None, key: bytes | None = None
) -> list[Record]:
    found: list[Record] = []
    cursor: str | None = None
    for _ in range(1000):
        page = await newest(
            view,
            "t",
            limit=limit,
            cursor=cursor,
            until_ms=until_ms,
            chosen=lambda record: key in {None, record.key},
        )
        assert len(page.records) <= limit
        found += page.records
        cursor = page.cursor
        if cursor is None:
            return found
    raise AssertionError("the pages have no end")


@examples(60)
@given(
    times=st.lists(st.lists(st.integers(0, 40), max_size=30), min_size=1, max_size=4),
    limit=st.integers(1, 7),
    most=st.integers(1, 4),
    key=st.sampled_from([None, b"odd"]),
    until_ms=st.none() | st.integers(0, 40),
)
async def test_the_pages_together_are_what_was_chosen_newest_first(
    times: list[list[int]], limit: int, most: int, key: bytes | None, until_ms: int | None
) -> None:
    before = browse.MOST_LOOKED_AT, browse._LEAST_OF_A_PARTITION
    browse.MOST_LOOKED_AT, browse._LEAST_OF_A_PARTITION = most, most
    try:
        found = await all_pages(a_view(times), limit=limit, until_ms=until_ms, key=key)
    finally:
        browse.MOST_LOOKED_AT, browse._LEAST_OF_A_PARTITION = before
    wanted = sorted(
        at_ms
        for partition in times
        for at_ms in partition
        if (until_ms is None or at_ms <= until_ms) and (key is None or at_ms % 2 == 1)
    )
    assert [record.appended_at_ms for record in found] == wanted[::-1]
    assert len({record.position for record in found}) == len(found)
    of_one = [r for r in found if r.partition == 0]
    assert all(newer.offset > older.offset for newer, older in pairwise(of_one))


@pytest.mark.slow
async def test_a_page_reads_a_bounded_number_of_records_whatever_it_chooses() -> None:
    view = a_view([list(range(0, 20_000, 2)) for _ in range(12)])
    page = await newest(view, "t", limit=100, chosen=lambda record: record.key == b"odd")
    assert page.records == ()
    assert page.cursor is not None
    assert 0 < page.looked_at <= view.read <= MOST_LOOKED_AT
