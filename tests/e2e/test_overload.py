"""Overload of a process that has no core time left: feed reads on the embedded stack wait for no engine.

`python -m tests.support.overload` does the same for a minute.
"""

from __future__ import annotations

import pytest

from tests.support.overload import SHARE_OF_A_CORE, overload_of_the_whole_api

SECONDS = 8


@pytest.mark.slow
@pytest.mark.alone
async def test_at_three_times_what_its_core_can_do_a_process_keeps_the_time_of_the_requests_that_it_admits() -> (
    None
):
    # Another process that takes the cores for a while makes anything late: one undisturbed run of four is what counts.
    for _ in range(3):
        if not (await overload_of_the_whole_api(SECONDS)).broken_promises(share=SHARE_OF_A_CORE):
            return
    seen = await overload_of_the_whole_api(SECONDS)
    assert seen.broken_promises(share=SHARE_OF_A_CORE) == []
