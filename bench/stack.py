"""The tools of a section of the bench: running engines, a way to start services, and progress messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanfold.adapters.cassandra.stores import cassandra_stores
from fanfold.adapters.kafka.log import KafkaLog
from fanfold.core.clock import SystemClock
from fanfold.core.ports import Stores
from fanfold.core.ports.log import EventLog
from fanfold.core.settings import Settings
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.jars import JarNode
from tests.support.real_stack import Service, ready, service

# The bench itself writes and reads in bulk during a measurement, and may wait long for it.
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Bench:
    """One run. `say` reports progress; `quick` asks for a smoke run whose figures mean nothing."""

    engines: RealEngines
    directory: Path
    rounds: int
    quick: bool
    say: Callable[[str], None]

    def pick(self, full: Any, quick: Any) -> Any:
        return quick if self.quick else full

    def pid_of(self, engine: str) -> int:
        node = getattr(self.engines, engine)
        if not isinstance(node, JarNode) or node.process is None:
            raise RuntimeError(f"{engine} is not a process of this bench")
        return node.process.pid

    @property
    def engine_pids(self) -> Mapping[str, int]:
        return {name: self.pid_of(name) for name in ("kafka", "cassandra")}

    async def new_system(self, **overrides: Any) -> Settings:
        """New topics and a new keyspace."""
        return await prepared(settings_for(self.engines, **overrides))


@dataclass(frozen=True, slots=True)
class System:
    """Running services, and the bench's own access to the log and the tables."""

    settings: Settings
    log: EventLog
    stores: Stores
    services: Mapping[str, Service]

    def pid(self, name: str) -> int:
        return self.services[name].process.pid


@asynccontextmanager
async def running(
    bench: Bench, settings: Settings, *modules: str, workers: int = 1
) -> AsyncIterator[System]:
    """Start these services as processes. Several workers are `fanout_service-1`, `fanout_service-2`, and so on."""
    own = settings.model_copy(update={"cassandra_timeout_s": PATIENCE_S})
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        started = {}
        for module in modules:
            names = [module] if workers == 1 else [f"{module}-{i + 1}" for i in range(workers)]
            for name in names if module == "fanout_service" else [module]:
                # The same name at each start, so that the group returns its partitions at once.
                named = settings.model_copy(update={"worker_id": name})
                started[name] = stack.enter_context(service(module, named, bench.directory))
        await asyncio.gather(*(ready(process) for process in started.values()))
        log = await stack.enter_async_context(KafkaLog(own, clock=clock, source="fanfold/bench"))
        stores = await stack.enter_async_context(cassandra_stores(own, clock=clock))
        yield System(settings, log, stores, started)
