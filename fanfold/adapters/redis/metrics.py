"""What the shared cache did for this process. The kind of a key is what stands before its first colon."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Sequence

from prometheus_client import Counter

from fanfold.adapters.redis.link import ServerError
from fanfold.core.errors import CacheUnavailable
from fanfold.core.ports.shared_cache import FeedList, Lease

LOOKUPS = Counter(
    "fanfold_shared_cache_lookups",
    "Keys asked of the shared cache: hit, miss (with a lease), or refused (another process has the lease).",
    ["kind", "result"],
)
FILLS_REFUSED = Counter(
    "fanfold_shared_cache_fills_refused",
    "Values read from the tables whose lease had ended, most of them because of a write meanwhile.",
    ["kind"],
)
FAILURES = Counter(
    "fanfold_shared_cache_failures",
    "Calls that the shared cache did not answer in time (unavailable), refused for want of memory (out_of_memory), or refused (refused).",
    ["call", "cause"],
)
OFF = Counter(
    "fanfold_shared_cache_off_seconds",
    "Time that this process passed the shared cache by: it is away, or its epoch is unknown (outage).",
    ["cause"],
)
EPOCHS = Counter(
    "fanfold_shared_cache_epochs",
    "Times that all that is cached became void: an outage that a writer told, or another server process.",
)


def count_lookups(keys: Sequence[str], found: Sequence[bytes | Lease | FeedList | None]) -> None:
    asked = Tally([key.partition(":")[0] for key in keys])
    misses = Tally(_kind(one.key) for one in found if isinstance(one, Lease))
    refused: Tally[str] = Tally()
    if None in found:
        refused.update(_kind(key) for key, one in zip(keys, found, strict=True) if one is None)
    for kind, count in asked.items():
        for result, of_them in (
            ("hit", count - misses[kind] - refused[kind]),
            ("miss", misses[kind]),
            ("refused", refused[kind]),
        ):
            if of_them:
                LOOKUPS.labels(kind, result).inc(of_them)


def count_refused_fills(keys: Iterable[str]) -> None:
    for kind, count in Tally(map(_kind, keys)).items():
        FILLS_REFUSED.labels(kind).inc(count)


def count_failure(call: str, error: CacheUnavailable) -> None:
    FAILURES.labels(call, _cause(error)).inc()


def _kind(key: str) -> str:
    return key.partition(":")[0]


def _cause(error: CacheUnavailable) -> str:
    if not isinstance(error, ServerError):
        return "unavailable"
    return "out_of_memory" if error.names("OOM") else "refused"
