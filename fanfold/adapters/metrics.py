"""What the engines did for this process; the same metrics on both stacks.

The kind of a key of the shared cache is what stands before its first colon.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from prometheus_client import Counter, Gauge

from fanfold.core.cache_keys import KINDS, kind_of
from fanfold.core.metric_labels import start_at_zero
from fanfold.core.ports.shared_cache import FeedList, Lease

STATEMENTS = Gauge(
    "fanfold_cassandra_statements_in_flight",
    "Statements and batches that this process has sent to Cassandra and that are not answered; 0 on the embedded stack.",
)

LOOKUPS = Counter(
    "fanfold_shared_cache_lookups",
    "Keys looked up in the shared cache: hit, miss (with a lease), or refused (another process has the lease).",
    ["kind", "result"],
)
FILLS_REFUSED = Counter(
    "fanfold_shared_cache_fills_refused",
    "Values read from the tables and not cached, because their lease had ended; most often because of a write meanwhile.",
    ["kind"],
)
FAILURES = Counter(
    "fanfold_shared_cache_failures",
    "Calls that the shared cache did not answer in time (unavailable), refused because it has no memory left (out_of_memory), or refused for another reason (refused).",
    ["call", "cause"],
)
_ALL_FOUND = {bytes}
FAILURE_CAUSES = ("unavailable", "out_of_memory", "refused")
CALLS = ("look_up", "fill", "feed", "fill_feed", "extend_feed", "marks", "memory", "forget", "push")
OFF = Counter(
    "fanfold_shared_cache_off_seconds",
    "Time during which this process bypassed the shared cache, because it is away or its epoch is unknown (outage).",
    ["cause"],
)
EPOCHS = Counter(
    "fanfold_shared_cache_epochs",
    "How often everything cached became invalid: a writer announced an outage, or the server process is another one.",
)
start_at_zero(LOOKUPS, KINDS, ("hit", "miss", "refused"))
start_at_zero(FILLS_REFUSED, KINDS)
start_at_zero(FAILURES, CALLS, FAILURE_CAUSES)
start_at_zero(OFF, ("away", "outage"))


def count_lookups(keys: Sequence[str], found: Sequence[bytes | Lease | FeedList | None]) -> None:
    by_result: dict[str, Mapping[str, int]] = {"hit": (hits := _by_kind(keys))}
    if set(map(type, found)) != _ALL_FOUND:
        misses = Tally(kind_of(one.key) for one in found if isinstance(one, Lease))
        refused = Tally(kind_of(key) for key, one in zip(keys, found, strict=True) if one is None)
        by_result = {"hit": Tally(hits) - misses - refused, "miss": misses, "refused": refused}
    for result, by_kind in by_result.items():
        for kind, count in by_kind.items():
            _lookups(kind, result).inc(count)


@cache
def _lookups(kind: str, result: str) -> Counter:
    """Finding it by its labels takes as long as counting."""
    return LOOKUPS.labels(kind, result)


def _by_kind(keys: Sequence[str]) -> dict[str, int]:
    # Looking at each key would cost more than parsing its value. Most questions are about keys of one kind.
    joined, tally = "\n".join(["", *keys]), dict[str, int]()
    left = len(keys)
    for kind in (kind_of(keys[0]), *KINDS) if keys else ():
        if kind not in tally and (count := joined.count(f"\n{kind}:")):
            tally[kind] = count
            left -= count
            if not left:
                return tally
    return Tally(map(kind_of, keys))


def count_refused_fills(keys: Iterable[str]) -> None:
    for kind, count in Tally(map(kind_of, keys)).items():
        FILLS_REFUSED.labels(kind).inc(count)
