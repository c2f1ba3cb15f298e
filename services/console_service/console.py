"""What operators see, put together from the log, the tables and the processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any
from uuid import UUID

from console_service.browse import newest
from console_service.explain.explanations import Explanations
from console_service.overview import FIGURES, figures_of, totals
from console_service.processes import Process
from console_service.records import dead_letter_rows, event_rows, is_dead_letter
from console_service.samples import Samples, sampling
from console_service.sizes import Sizes
from console_service.work import read_status
from fanfold.core.clock import Clock, rfc3339
from fanfold.core.errors import LogUnavailable
from fanfold.core.events import DEAD_LETTERS, event_name
from fanfold.core.ports import Jobs
from fanfold.core.ports.engines import Tables
from fanfold.core.ports.log import Record
from fanfold.core.ports.log_view import LogView
from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics
from fanfold.http.ask import READY

_DIGITS = 4


class Console:
    """What the routes answer, as JSON. Nothing is changed. `work` and `overview` never raise; the others raise `Unavailable`."""

    def __init__(
        self,
        view: LogView,
        processes: Sequence[Process],
        samples: Samples,
        *,
        jobs: Jobs,
        sizes: Sizes,
        explain: Explanations,
    ) -> None:
        self._view = view
        self._processes = processes
        self._samples = samples
        self._jobs = jobs
        self._sizes = sizes
        self.explain = explain

    @property
    def log(self) -> str:
        """The log's name in what a person reads."""
        return self._view.name

    async def work(self) -> dict[str, Any]:
        """What waits for the workers: `Status` as JSON, with the name of the log."""
        status = await read_status(self._view)
        return {"log": self._view.name, "healthy": status.healthy, **status.as_json()}

    async def overview(self) -> dict[str, Any]:
        """Health, and every figure for the last fifteen minutes, oldest first; its last value is the present one."""
        samples, answers = await asyncio.gather(
            self._samples.up_to_now(),
            asyncio.gather(*(process.readiness() for process in self._processes)),
        )
        status = self._samples.status
        processes = [
            {"name": process.name, "readiness": answer, "healthy": answer == READY}
            for process, answer in zip(self._processes, answers, strict=True)
        ]
        series = figures_of(samples)
        return {
            "log": self._view.name,
            "at": rfc3339(samples[-1].at_ms),
            "healthy": status.healthy and all(process["healthy"] for process in processes),
            "log_unknown": status.work_unknown,
            "all_fanouts": status.work is None or status.work.all_fanouts,
            "processes": processes,
            "at_ms": [sample.at_ms for sample in samples],
            "figures": [
                {
                    "name": figure.name,
                    "title": figure.title,
                    "unit": figure.unit,
                    "values": [
                        value if value is None else round(value, _DIGITS)
                        for value in series[figure.name]
                    ],
                }
                for figure in FIGURES
            ],
            "totals": totals(samples[-1].readings),
        }

    async def fan_outs(self, limit: int) -> dict[str, Any]:
        """Fan-outs in progress, those with most slices left first. `more`: there are others."""
        status = await read_status(self._view)
        if status.work is None:
            raise LogUnavailable(status.work_unknown)
        shown = status.work.fanouts[:limit]
        plans = await asyncio.gather(*(self._jobs.plan(UUID(f.post_id)) for f in shown))
        return {
            "items": [
                {
                    **asdict(fanout),
                    "slices_total": plan.slices_total if plan else None,
                    "planned": plan.planned if plan else None,
                    "started_at": rfc3339(plan.started_at_ms) if plan else None,
                }
                for fanout, plan in zip(shown, plans, strict=True)
            ],
            "more": len(status.work.fanouts) > limit or not status.work.all_fanouts,
        }

    async def dead_letters(self, limit: int, cursor: str | None) -> dict[str, Any]:
        """A page of dead letters, the latest first."""
        page = await newest(
            self._view, DEAD_LETTERS, limit=limit, cursor=cursor, chosen=is_dead_letter
        )
        return dead_letter_rows(page, replays=self._view.replays)

    async def events(
        self,
        topic: str,
        *,
        limit: int,
        cursor: str | None,
        until_ms: int | None,
        key: str | None,
        type_: str | None,
    ) -> dict[str, Any]:
        """A page of a topic's events, the latest first; with `until_ms`, of those until then. And the names of all topics."""

        def chosen(record: Record) -> bool:
            return (not key or record.key == key.encode()) and type_ in {
                None,
                "",
                event_name(record.headers),
            }

        page = await newest(
            self._view, topic, limit=limit, cursor=cursor, until_ms=until_ms, chosen=chosen
        )
        return {"topics": list(load_topics()), **event_rows(page)}

    async def sizes(self) -> dict[str, Any]:
        """Authors by followers, against the threshold."""
        return await self._sizes.graph()


@asynccontextmanager
async def open_console(
    view: LogView, processes: Sequence[Process], tables: Tables, *, settings: Settings, clock: Clock
) -> AsyncIterator[Console]:
    """A console that samples until the block ends."""
    sizes = Sizes(
        tables.stores.users,
        clock,
        threshold=settings.pull_threshold,
        hysteresis=settings.pull_hysteresis,
    )
    async with sampling(view, processes, clock=clock) as samples:
        yield Console(
            view,
            processes,
            samples,
            jobs=tables.stores.jobs,
            sizes=sizes,
            explain=Explanations(tables, settings=settings, clock=clock),
        )
