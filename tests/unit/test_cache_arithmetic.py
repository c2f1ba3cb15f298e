"""What readers take in the shared cache, as ARCHITECTURE computes it from the measured sizes of entries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ARCHITECTURE = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text()
UNITS = {"KB": 1e3, "GB": 1e9, "TB": 1e12}
READERS = (1, 1_000_000, 100_000_000)


def entries() -> dict[str, int]:
    """Bytes by what was measured; tests/real/test_cache_entry_sizes.py compares them with a server."""
    table = ARCHITECTURE.partition("<!-- cache entries -->")[2].partition("<!-- /cache entries")[0]
    rows = re.findall(r"^\| `[^|]*` \| ([^|]+) \| ([0-9,]+) \|", table, re.MULTILINE)
    return {what: int(size.replace(",", "")) for what, size in rows}


def bytes_said(row: str) -> list[float]:
    (cells,) = re.findall(rf"^\| {re.escape(row)} \| (.*) \|$", ARCHITECTURE, re.MULTILINE)
    return [float(size) * UNITS[unit] for size, unit in re.findall(r"([0-9.]+) (\w\w)", cells)]


def test_readers_take_the_sum_of_their_entries() -> None:
    of = entries()
    feed, likes = of["a feed of 129 pointers"], of["100 recent likes"]
    own = of["a graph of 200 followees"] + feed + likes + of["20 own posts"]
    a_post = of["a post of 140 characters"] + of["a like count"]
    others = of["a name of 14 characters"] + 2 * a_post
    longer = of["a feed of 1000 pointers"] - feed + of["500 recent likes"] - likes
    for row, size in {
        "their own: a graph, 129 pointers, 100 likes, 20 own posts": own,
        "of others, **assumed** for each reader: one name, two posts and their counts": others,
        "together": own + others,
        "at most, with 1000 pointers and 500 likes each": own + others + longer,
    }.items():
        # Two digits are written.
        assert bytes_said(row) == pytest.approx([size * count for count in READERS], rel=0.04), row
