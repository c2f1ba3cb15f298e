"""What operators see, put together from the log, the tables and the processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from console_service.overview import FIGURES, figures_of, totals
from console_service.processes import READY, Process
from console_service.samples import Samples, sampling
from console_service.work import read_status
from fanfold.core.clock import Clock, rfc3339
from fanfold.core.ports.log_view import LogView

_DIGITS = 4


class Console:
    """What the routes answer, as JSON. Nothing is changed, and none of it raises."""

    def __init__(self, view: LogView, processes: Sequence[Process], samples: Samples) -> None:
        self._view = view
        self._processes = processes
        self._samples = samples

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


@asynccontextmanager
async def open_console(
    view: LogView, processes: Sequence[Process], *, clock: Clock
) -> AsyncIterator[Console]:
    """A console that samples until the block ends."""
    async with sampling(view, processes, clock=clock) as samples:
        yield Console(view, processes, samples)
