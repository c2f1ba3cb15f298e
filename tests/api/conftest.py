from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.app import WriteSide, a_write_side


@pytest.fixture
async def api() -> AsyncIterator[WriteSide]:
    async with a_write_side() as write_side:
        yield write_side
