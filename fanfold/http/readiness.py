"""Readiness: whether a service can do its work now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from fanfold.core.errors import Transient
from fanfold.core.ports.log import EventLog
from fanfold.http.problems import NotNow, WhatToChange

Check = Callable[[], Awaitable[None]]


class NotReady(NotNow):
    kind = "not-ready"
    title = "Not ready"


class ClockSkewed(NotNow):
    kind = "clock-skewed"
    title = "Clock skew"


def readiness(checks: Mapping[str, Check]) -> Check:
    """One check that makes all of these at once. Its 503 lists the name of every check that failed."""

    async def ready() -> None:
        failures = [
            failure
            for failure in await asyncio.gather(*(_failure(*check) for check in checks.items()))
            if failure is not None
        ]
        if failures:
            raise NotReady(" ".join(failure.detail for failure in failures), errors=failures)

    return ready


async def _failure(name: str, check: Check) -> WhatToChange | None:
    try:
        await check()
    except Transient:
        detail = f"No answer from {name}."
    except NotNow as problem:
        detail = problem.detail
    else:
        return None
    return WhatToChange(where="service", pointer=name, detail=detail)


def refuse_clock_skew(log: EventLog, *, max_skew_s: float) -> None:
    """Answer 503 while this machine's clock differs from the log's by more than `max_skew_s`: post ids would sort wrongly."""
    skew_ms = log.clock_skew_ms()
    if skew_ms is not None and abs(skew_ms) > max_skew_s * 1000:
        raise ClockSkewed(f"This server's clock is {skew_ms} ms from the log's. Retry elsewhere.")


def clocks_agree(log: EventLog, *, max_skew_s: float) -> Check:
    """The same as a check of readiness."""

    async def check() -> None:
        refuse_clock_skew(log, max_skew_s=max_skew_s)

    return check
