"""Whatever a user repeats all day leaves nothing that grows."""

from __future__ import annotations

import pytest

from tests.support.churn import Churn, churned, every_kind, rows_in_memory
from tests.support.fanout import a_pipeline, a_post

FEW = 1_000
MANY = 20_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "churn", every_kind(), ids=["follows", "likes", "mutes", "blocks", "sleep"]
)
async def test_twenty_thousand_changes_of_mind_leave_as_many_rows_as_a_thousand(
    churn: Churn,
) -> None:
    async with a_pipeline() as few, a_pipeline() as many:
        for pipeline, changes in ((few, FEW), (many, MANY)):
            await pipeline.handle(a_post(by="author"))
            await churned(pipeline.worker(), churn, changes, first_offset=0)
            assert await pipeline.dead_letters() == []
        assert sum(rows_in_memory(few.stores).values()) < 20
        assert rows_in_memory(many.stores) == rows_in_memory(few.stores)
