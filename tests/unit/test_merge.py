"""Which pages the merge fetches, and when. That it is exact is a property (tests/property/test_merge.py)."""

from __future__ import annotations

import asyncio
from uuid import UUID

from fanfold.core.ids import first_post_id_at
from feed_service.candidates import Candidate, Page
from feed_service.query.merge import Merge, Source


def post(ms: int, *, by: str = "bob", source: str = "push") -> Candidate:
    return Candidate(-first_post_id_at(ms).int, by, source)  # type: ignore[arg-type]


def everyone(_: Candidate) -> bool:
    return True


class Pages:
    """A source in pages that records the requests."""

    def __init__(self, *pages: list[Candidate]) -> None:
        self.pages = list(pages)
        self.asked: list[UUID | None] = []

    async def __call__(self, before: UUID | None) -> Page:
        self.asked.append(before)
        return Page(self.pages.pop(0), more=bool(self.pages))


async def test_an_equal_post_is_kept_from_the_first_source() -> None:
    pushed, pulled = post(1, source="push"), post(1, source="pull")
    for _ in range(2):
        merge = Merge([Source([pushed], None), Source([pulled], None)])
        assert await merge.take(5, everyone) == [pushed]


async def test_nothing_more_is_fetched_than_is_needed() -> None:
    pages = Pages([post(9), post(8)], [post(7)])
    merge = Merge([Source((), pages)])
    assert await merge.take(2, everyone) == [post(9), post(8)]
    assert pages.asked == [None]
    assert await merge.take(2, everyone) == [post(7)]
    assert pages.asked == [None, post(8).post_id]
    assert await merge.take(2, everyone) == []


async def test_nothing_is_fetched_past_the_requested_end() -> None:
    pages = Pages([post(9), post(8), post(7)], [post(6)])
    merge = Merge([Source((), pages)], until=post(8).post_id)
    assert await merge.take(5, everyone) == [post(9)]
    assert pages.asked == [None]


async def test_nothing_is_emitted_before_every_source_shows_its_head() -> None:
    older, newer = Pages([post(5)]), Pages([], [post(6)])
    merge = Merge([Source((), older), Source((), newer)])
    assert await merge.take(2, everyone) == [post(6), post(5)]


async def test_empty_sources_are_asked_at_the_same_time() -> None:
    both_asked = asyncio.Barrier(2)

    async def fetch(_: UUID | None) -> Page:
        await both_asked.wait()
        return Page((), more=False)

    async with asyncio.timeout(5):
        assert await Merge([Source((), fetch), Source((), fetch)]).take(1, everyone) == []


async def test_a_post_that_is_not_kept_is_skipped_and_not_counted() -> None:
    merge = Merge([Source([post(3), post(2, by="eve"), post(1)], None)])
    taken = await merge.take(2, lambda candidate: candidate.author_id != "eve")
    assert taken == [post(3), post(1)]


async def test_a_closed_author_s_source_yields_nothing_more() -> None:
    loud = Source([post(9, by="loud"), post(8, by="loud")], None, author_id="loud")
    merge = Merge([Source([post(7)], None), loud])
    assert await merge.take(1, everyone) == [post(9, by="loud")]
    merge.close(["loud"])
    assert await merge.take(9, everyone) == [post(7)]


async def test_a_cached_page_is_read_from_its_middle_and_then_continued() -> None:
    newest = Page([post(9), post(8)], more=True)
    pages = Pages([post(7)])
    source = Source.of_page(newest, before=post(9).post_id, fetch=pages)
    assert await Merge([source]).take(5, everyone) == [post(8), post(7)]
    assert pages.asked == [post(8).post_id]


async def test_a_cached_page_that_is_too_new_is_continued_from_the_requested_post() -> None:
    pages = Pages([post(3)])
    source = Source.of_page(Page([post(9)], more=True), before=post(5).post_id, fetch=pages)
    assert await Merge([source]).take(5, everyone) == [post(3)]
    assert pages.asked == [post(5).post_id]
