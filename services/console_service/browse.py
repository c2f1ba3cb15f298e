"""Pages of a topic's records, newest first. The offsets before which a page ends are the cursor of the next one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import LogView, Span

MOST_LOOKED_AT = 2_000
"""Records that a page reads, whatever it chooses from them."""
_LEAST_OF_A_PARTITION = 20
"""Of one partition, however many there are."""

CURSOR_PATTERN = r"^[0-9]{1,4}:[0-9]{1,18}(,[0-9]{1,4}:[0-9]{1,18})*$"
LONGEST_CURSOR = 4_000


@dataclass(frozen=True, slots=True)
class Page:
    """Records, newest first; `cursor` leads to older ones, and is None where there are none. A page may have few records, or none, and a cursor."""

    records: tuple[Record, ...]
    looked_at: int
    cursor: str | None


async def newest(
    view: LogView,
    topic: str,
    *,
    limit: int,
    cursor: str | None = None,
    until_ms: int | None = None,
    chosen: Callable[[Record], bool] = lambda _: True,
) -> Page:
    """A page of the records that are `chosen`. With a cursor `until_ms` is not asked for again. Raises `Unavailable`."""
    whole = await view.spans(topic, until_ms=None if cursor else until_ms)
    if cursor:
        ends = parse_cursor(cursor)
        whole = {
            number: Span(span.first, min(span.end, ends.get(number, span.first)))
            for number, span in whole.items()
        }
    most = max(_LEAST_OF_A_PARTITION, MOST_LOOKED_AT // max(1, len(whole)))
    looked_at = {
        number: Span(max(span.first, span.end - most), span.end) for number, span in whole.items()
    }
    records = await view.records(topic, looked_at)
    return page_of(records, whole, looked_at, limit=limit, chosen=chosen)


def page_of(
    records: Sequence[Record],
    whole: Mapping[int, Span],
    looked_at: Mapping[int, Span],
    *,
    limit: int,
    chosen: Callable[[Record], bool],
) -> Page:
    """The page of what was read: `records` are those of `looked_at`, the end of `whole`."""
    ends = {number: span.end for number, span in whole.items()}
    horizon = _horizon(records, whole, looked_at)
    page: list[Record] = []
    passed = 0
    for record in sorted(records, key=_age, reverse=True):
        if len(page) == limit or _age(record) < horizon:
            break
        passed += 1
        ends[record.partition] = record.offset
        if chosen(record):
            page.append(record)
    if passed == len(records):
        # Also past offsets that hold no record.
        ends = {number: span.first for number, span in looked_at.items()}
    older = {n: end for n, end in ends.items() if end > whole[n].first}
    cursor = ",".join(f"{number}:{end}" for number, end in sorted(older.items())) or None
    return Page(tuple(page), passed, cursor)


def parse_cursor(cursor: str) -> dict[int, int]:
    """The end of each partition; a partition that is missing has no older records. Raises `ValueError`."""
    if re.fullmatch(CURSOR_PATTERN, cursor) is None:
        raise ValueError("no cursor of this route")
    return {
        int(number): int(end) for number, _, end in (p.partition(":") for p in cursor.split(","))
    }


def _horizon(
    records: Sequence[Record], whole: Mapping[int, Span], looked_at: Mapping[int, Span]
) -> tuple[int, int, int]:
    """Nothing older may be shown yet: a partition may have something between that was not read."""
    oldest: dict[int, tuple[int, int, int]] = {}
    for record in records:
        oldest[record.partition] = min(_age(record), oldest.get(record.partition, _age(record)))
    unread = [age for n, age in oldest.items() if looked_at[n].first > whole[n].first]
    return max(unread, default=(0, 0, 0))


def _age(record: Record) -> tuple[int, int, int]:
    return record.appended_at_ms, record.partition, record.offset
