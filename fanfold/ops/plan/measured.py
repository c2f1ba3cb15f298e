"""Costs from a results file of `make bench`: which row of which section is which cost. Pure.

A section, a row or a column that is missing is no error: the cost is then stated, not measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Section = Mapping[str, Any]
Points = list[list[float]]


class Found(NamedTuple):
    """A measured cost: a number or points, and its section's letter."""

    section: str
    value: Any


def measured_costs(sections: Sequence[Section]) -> dict[str, Found]:
    """By the names of `Costs`, in its units. Points of several sections are one curve."""
    by_letter = {section.get("section"): section for section in sections}
    found: dict[str, Found] = {}
    for letter, read in _READERS.items():
        for name, value in read(by_letter[letter]) if letter in by_letter else ():
            before = found.get(name)
            if before and isinstance(value, list):
                found[name] = Found(f"{before.section} and {letter}", sorted(before.value + value))
            else:
                found[name] = Found(letter, value)
    return found


def _number(cell: Any) -> float | None:
    """The median of a figure, or the plain number."""
    if isinstance(cell, Mapping):
        cell = cell.get("median")
    return float(cell) if isinstance(cell, int | float) else None


def _row(section: Section, what: str) -> dict[str, float]:
    """The numbers of the first row whose name begins so, by column."""
    for row in section.get("rows", ()):
        if str(row.get("what", "")).startswith(what):
            numbers = {name: _number(cell) for name, cell in row.items()}
            return {name: number for name, number in numbers.items() if number is not None}
    return {}


def _by_size(row: Mapping[str, float], pattern: str) -> Points:
    """A number for each size in a column's name."""
    found = ((re.search(pattern, name), number) for name, number in row.items())
    return [[float(size[1].replace(",", "")), number] for size, number in found if size]


def _deliveries(section: Section) -> Iterator[tuple[str, Any]]:
    audience = r"posts to ([\d,]+) followers"
    for engine in ("worker", "cassandra"):
        if points := _by_size(_row(section, f"CPU a delivery, {engine}"), audience):
            yield f"post_{engine}_us", [[size, size * cost] for size, cost in points]
    # The slowest of the large audiences: the others are limited by what a post costs, not a delivery.
    rates = [
        rate for size, rate in _by_size(_row(section, "deliveries/s"), audience) if size >= 1000
    ]
    if rates:
        yield "deliveries_per_s", min(rates)


def _feeds(section: Section) -> Iterator[tuple[str, Any]]:
    celebrities = r"^(\d+) celebrities"
    points = _by_size(_row(section, "CPU of feed_service a feed at saturation"), celebrities)
    if len(points) > 1:
        (fewest, base), (most, cost) = points[0], points[-1]
        yield "feed_us", base
        yield "celebrity_us", max(0.0, cost - base) / (most - fewest)
    if server := _row(section, "CPU of Cassandra a feed at saturation"):
        yield "feed_cassandra_us", max(server.values())
    if p99 := list(_p99_by_load(section)):
        yield "feed_p99_ms", p99


def _p99_by_load(section: Section) -> Iterator[list[float]]:
    """The 99th percentile by the share of the rate at saturation, of every kind of reader."""
    highest = _row(section, "feeds/s, 32 connections")
    for row in section.get("rows", ()):
        rate = re.match(r"p99 at (\d+)/s", str(row.get("what", "")))
        if rate:
            for name, most in highest.items():
                p99 = _number(row.get(name))
                if p99 is not None:
                    yield [float(rate[1]) / most, p99]


def _open_world(section: Section) -> Iterator[tuple[str, Any]]:
    column = "relevance, filled"
    wanted = {
        "feed_us": "CPU of feed_service a first read at saturation",
        "feed_cassandra_us": "CPU of Cassandra a first read",
        "cache_read_us": "CPU of the cache a first read",
    }
    for name, what in wanted.items():
        if cost := _row(section, what).get(column):
            yield name, cost


def _visible(section: Section) -> Iterator[tuple[str, Any]]:
    if first := _row(section, "1 followers").get("first p99"):
        yield "first_visible_ms", first


def _two_workers(section: Section) -> Iterator[tuple[str, Any]]:
    if usual := _row(section, "until the last of 10 has it, p50: ms").get("usual"):
        yield "small_post_ms", usual


def _growth(section: Section) -> Iterator[tuple[str, Any]]:
    pulled = [row for row in section.get("rows", ()) if str(row.get("what")).startswith("pulled")]
    for name, column in (
        ("pulled_worker_us", "CPU a post, worker: ms"),
        ("pulled_cassandra_us", "CPU a post, cassandra: ms"),
        ("event_kafka_us", "CPU a post, kafka: ms"),
    ):
        costs = [cost for row in pulled if (cost := _number(row.get(column)))]
        if costs:
            yield name, max(costs) * 1000
    memory = [_number(row.get("peak memory of the worker, MB")) for row in section.get("rows", ())]
    if most := max((peak for peak in memory if peak), default=None):
        yield "worker_mb", most


def _storage(section: Section) -> Iterator[tuple[str, Any]]:
    if size := _row(section, "100 pointers").get("bytes a delivery"):
        yield "pointer_bytes", size


def _others_writes(section: Section) -> Iterator[tuple[str, Any]]:
    shares: dict[tuple[int, str], float] = {}
    idle: dict[int, float] = {}
    for row in section.get("rows", ()):
        what, share = str(row.get("what", "")), _number(row.get("one process"))
        if share is None:
            continue
        if writes := re.match(r"([\d,]+) (posts|likes|follows) a second", what):
            shares[int(writes[1].replace(",", "")), writes[2]] = share
        elif pulled := re.match(r"idle, ([\d,]+) pulled", what):
            idle[int(pulled[1].replace(",", ""))] = share
    if 0 not in idle:
        return
    most = max(idle)
    # In percent of a core, beside what the process does anyway: 1 % of a core is 10,000 µs a second.
    for (rate, kind), share in shares.items():
        yield f"others_{kind.removesuffix('s')}_us", max(0.0, share - idle[most]) * 10_000 / rate
    if most:
        yield "pulled_author_us", max(0.0, idle[most] - idle[0]) * 10_000 / most


def _common(section: Section) -> Iterator[tuple[str, Any]]:
    kinds = {"a like": "like", "a follow": "follow", "a pulled post": "pulled"}
    kinds |= {"a sleeper with 200": "sleep", "woken, with 200": "wake"}
    for engine in ("worker", "cassandra"):
        column = f"CPU, {engine}: ms"
        for what, kind in kinds.items():
            if cost := _row(section, what).get(column):
                yield f"{kind}_{engine}_us", cost * 1000
        posts = [
            [float(size[1].replace(",", "")), cost * 1000]
            for row in section.get("rows", ())
            if (size := re.match(r"a post to ([\d,]+) followers", str(row.get("what"))))
            if (cost := _number(row.get(column)))
        ]
        if posts:
            yield f"post_{engine}_us", posts


# In this order, the later section wins: the open world's first pages are what a large network serves, and the common events are
# measured one kind at a time.
_READERS: dict[str, Callable[[Section], Iterator[tuple[str, Any]]]] = {
    "a": _deliveries,
    "b": _feeds,
    "g": _open_world,
    "h": _others_writes,
    "c": _visible,
    "f": _two_workers,
    "d": _growth,
    "i": _common,
    "e": _storage,
}
