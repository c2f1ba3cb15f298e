"""How much of the shared cache's memory each kind of entry takes, as a metric."""

from __future__ import annotations

from prometheus_client import Gauge

from fanfold.core.cache_keys import KINDS
from fanfold.core.clock import Clock
from fanfold.core.metric_labels import start_at_zero
from fanfold.core.ports.shared_cache import SharedCache

SAMPLED_EVERY_S = 15.0
_SAMPLES = 20
"""Of so many the metric is an average, in which older ones count less and less."""

MEMORY = Gauge(
    "fanfold_shared_cache_memory_bytes",
    "Memory of the shared cache's server that the entries of a kind take, estimated from a hundred random entries four times a minute.",
    ["kind"],
)
start_at_zero(MEMORY, KINDS)


async def watch_memory(cache: SharedCache, clock: Clock) -> None:
    """Keep the metric up to date until cancelled. While the cache is away, it stays as it is."""
    average = dict.fromkeys(KINDS, 0.0)
    samples = 0
    while True:
        if (found := await cache.memory()) is not None:
            samples = min(samples + 1, _SAMPLES)
            for kind in KINDS:
                average[kind] += (found.get(kind, 0) - average[kind]) / samples
                MEMORY.labels(kind).set(average[kind])
        await clock.sleep(SAMPLED_EVERY_S)
