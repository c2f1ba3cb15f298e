"""What the operator does in the runbooks, with only the rights that the manifests give."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from tests.support.logs import a_follow, everything
from tests.support.real_stack import environment
from tests.support.secured_cluster import COMMAND_LINE, Cluster, log_of

pytestmark = pytest.mark.real


async def fanfold(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", COMMAND_LINE, *arguments],
        env=environment(cluster.of("operator")),
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_operator_may_replay_dead_letters_and_the_log(cluster: Cluster) -> None:
    async with log_of(cluster.of("graph_service")) as log:
        await log.append(a_follow(by="late"))
    async with log_of(cluster.of("fanout_service")) as log:
        (record, *_) = await everything(log, 1)
        await log.dead_letter(record, "a bug")

    replayed = await fanfold(cluster, "dead-letters", "replay", "--json")
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout)["replayed"] == 1
    rewound = await fanfold(cluster, "topics", "replay", "--from-start")
    assert rewound.returncode == 0, rewound.stderr
