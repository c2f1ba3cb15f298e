from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from fanfold.core.settings import Settings
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.redis_node import running_node, url_of
from tests.support.stacks import Stack, embedded_stack


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.real)])
async def stack(
    request: pytest.FixtureRequest, tmp_path: Path, stack_settings: dict[str, float]
) -> AsyncIterator[Stack]:
    """The whole system on each stack; a test module overrides `stack_settings`. A test may also ask for "embedded, cached" or "real, without a cache".

    The real stack has a cache server of its own.
    """
    if request.param.startswith("embedded"):
        cache = "memory" if request.param == "embedded, cached" else "none"
        settings = Settings().model_copy(update={"cache": cache, **stack_settings})
        async with embedded_stack(settings, tmp_path / "log.sqlite") as embedded:
            yield embedded
        return
    from tests.support.real_stack import real_stack

    engines: RealEngines = request.getfixturevalue("engines")
    with nullcontext() if "without" in request.param else running_node() as node:
        cache = "none" if node is None else url_of(node)
        settings = settings_for(engines, cache=cache, **stack_settings)
        await prepared(settings)
        async with real_stack(settings, tmp_path) as real:
            real.cache = node
            yield real
