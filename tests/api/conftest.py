from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.app import MEMBERS, WriteSide, a_write_side


@pytest.fixture
async def api(request: pytest.FixtureRequest) -> AsyncIterator[WriteSide]:
    """The write side; with the members of an indirect parameter, if a test has one."""
    async with a_write_side(members=getattr(request, "param", MEMBERS)) as write_side:
        yield write_side
