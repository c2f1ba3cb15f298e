"""`fanfold graph import` on Kafka and Cassandra, killed in the middle: nothing is lost, nothing counts twice."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import pytest

from fanfold.adapters.cassandra.stores import cassandra_stores
from fanfold.core.clock import SystemClock
from fanfold.core.settings import Settings
from tests.support.engines import RealEngines, prepared, settings_for
from tests.support.eventually import eventually
from tests.support.graph_import import a_list
from tests.support.logs import delete_topics
from tests.support.power_law import follower_graph
from tests.support.real_stack import environment, lag, ready, service

pytestmark = pytest.mark.real

USERS = 600
COMMAND = "from fanfold.ops.command_line import main; main()"


def importing(settings: Settings, path: Path) -> Popen[bytes]:
    return Popen(
        [sys.executable, "-c", COMMAND, "graph", "import", str(path), "--json"],
        env=environment(settings),
        stdout=PIPE,
        stderr=DEVNULL,
    )


def lines_done(path: Path) -> int:
    checkpoint = path.with_name(f"{path.name}.checkpoint")
    if not checkpoint.exists():
        return 0
    return int(json.loads(checkpoint.read_text())["counts"]["lines"])


async def test_an_import_killed_in_the_middle_goes_on_and_the_counts_are_exact(
    engines: RealEngines, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    ids = [f"user-{n}" for n in range(USERS)]
    graph = follower_graph(ids, mean_followers=10, largest_share=0.5, seed=seed)
    edges = [(follower, followee) for followee, found in graph.items() for follower in found]
    random.Random(seed).shuffle(edges)
    lines = ["follower,followee", *(f"{follower},{followee}" for follower, followee in edges)]
    path = a_list(tmp_path, [*lines, "user-1,user-1", "no edge at all"])
    settings = await prepared(settings_for(engines, worker_id="one"))
    try:
        with service("fanout_service", settings, tmp_path) as worker:
            await ready(worker)
            for share in (0.2, 0.6):
                first = importing(settings, path)

                async def so_far(least: int = int(share * len(lines))) -> bool:
                    return lines_done(path) >= least

                await eventually(so_far, within_s=60, every_s=0.01, what="it has come so far")
                first.kill()
                first.communicate()
            assert lines_done(path) < len(lines), "it was killed too late to show anything"

            last = importing(settings, path)
            summary = json.loads(last.communicate()[0])
            assert last.returncode == 3, "two lines were rejected"
            assert (summary["appended"], summary["rejected"]) == (len(edges), 2)
            assert path.with_name("edges.csv.rejected").read_text().count("# line") == 2

            async def handled() -> bool:
                return await lag(settings) == 0

            await eventually(handled, within_s=60, what="the worker has handled everything")
        async with cassandra_stores(settings, clock=SystemClock()) as stores:
            users = await stores.users.get_many(ids)
            follows = {user_id: await stores.follows.following(user_id) for user_id in ids}
        seen = {user_id for edge in edges for user_id in edge}
        audience = Counter(followee for _, followee in edges)
        assert {user_id for user_id, user in users.items() if user.display_name} == seen
        assert {u: user.follower_count for u, user in users.items()} == {
            user_id: audience[user_id] for user_id in seen
        }
        active = {
            (user_id, follow.followee_id)
            for user_id, found in follows.items()
            for follow in found.values()
            if follow.active and follow.materialised
        }
        assert active == set(edges)
    finally:
        await delete_topics(settings)
