"""What a loaded cluster holds in the end, against what its clients know, against the oracle, and against its own API."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

import httpx2

from fanfold.core.read_settings import read_settings
from fanfold.core.settings import Settings
from tests.support.api_calls import complete_page
from tests.support.cluster_load import ClusterLoad
from tests.support.comparison import Comparison
from tests.support.eventually import eventually
from tests.support.local_system import LocalSystem
from tests.support.oracle import Oracle
from tests.support.real_stack import read_kafka
from tests.support.reconnecting_client import ReconnectingClient
from tests.support.stacks import Api

_RUNS_ON_S = 3
"""Before the block and after it, so that the load also meets the system without the fault."""
_HEAD = {"ranking": "chronological", "limit": 20}


@dataclass(frozen=True)
class Verdict:
    """Exact numbers; each but `posts` and `writes` is to be 0."""

    posts: int
    writes: int
    lost: int
    duplicate: int
    ghost: int
    lost_writes: int
    """Deletions, likes and follows that were acknowledged, and that the log does not hold."""
    wrong: list[str]
    """Feeds, counts and posts that are not what the oracle computes from the log."""
    wrong_pages: list[str]
    silent: list[str]
    unanswered: int

    def assert_nothing_went_wrong(self, *, gateway_failed: bool) -> None:
        expected = {
            **dict.fromkeys(("lost", "duplicate", "ghost", "lost_writes"), 0),
            "wrong": [],
            "wrong_pages": [],
            "silent": [],
        }
        found = asdict(self)
        assert {name: found[name] for name in expected} == expected
        assert self.posts > 20, "an empty run proves nothing"
        # A gateway that is gone answers nothing; through one that lives, every request is answered.
        assert gateway_failed or self.unanswered == 0


@asynccontextmanager
async def nothing_goes_wrong(
    cluster: LocalSystem, gateway: httpx2.AsyncClient, name: str, *, gateway_failed: bool = False
) -> AsyncIterator[ClusterLoad]:
    """A load of that name during the block; then wait until the cluster is whole, print the numbers, and assert them."""
    load = ClusterLoad(gateway, name.replace(" ", "-"))
    await load.prepare()
    await quiet(cluster)
    async with load.running():
        await asyncio.sleep(_RUNS_ON_S)
        yield load
        await asyncio.sleep(_RUNS_ON_S)
    await quiet(cluster)
    verdict = await judged(cluster, gateway, load)
    print(f"{name}: {verdict}\n{load.asked}")
    verdict.assert_nothing_went_wrong(gateway_failed=gateway_failed)


async def quiet(cluster: LocalSystem) -> None:
    """Return when everything runs, has its copies, and has handled all events."""

    async def idle() -> bool:
        return await asyncio.to_thread(cluster.is_idle)

    await eventually(idle, within_s=180, every_s=1, what="healthy, and no lag")


async def whole(cluster: LocalSystem) -> None:
    """Return when everything runs and is ready, and nothing lacks a copy: when the next process may be restarted."""

    async def healthy() -> bool:
        return bool((await asyncio.to_thread(cluster.status))["healthy"])

    await eventually(healthy, within_s=180, every_s=0.5, what="healthy")


async def ready(cluster: LocalSystem, names: Sequence[str]) -> None:
    """Return when these processes run and are ready."""

    async def are_ready() -> bool:
        looks = (asyncio.to_thread(cluster.is_ready, name) for name in names)
        return all(await asyncio.gather(*looks))

    await eventually(are_ready, within_s=180, every_s=0.5, what=f"{names} are ready")


async def judged(cluster: LocalSystem, gateway: httpx2.AsyncClient, load: ClusterLoad) -> Verdict:
    """Call it when the cluster is quiet."""
    settings = read_settings(**cluster.plan.system().settings)
    threshold = int(cluster.environment["FANFOLD_PULL_THRESHOLD"])
    return await judged_by_its_log(settings, threshold, gateway, load)


async def judged_by_its_log(
    settings: Settings, threshold: int, gateway: httpx2.AsyncClient, load: ClusterLoad
) -> Verdict:
    """Call it when all events are handled."""
    api = Api(dict.fromkeys(("post", "graph", "feed"), gateway))
    for watcher in load.watchers:
        await _ends_equal(api, watcher)
    oracle = Oracle(threshold).fold(await read_kafka(settings))
    theirs = [post_id for author in load.users for post_id in oracle.by_author[author]]
    compared = await Comparison(api, oracle).run(load.users, theirs)
    return verdict_of(load, oracle, compared.wrong)


def verdict_of(load: ClusterLoad, oracle: Oracle, wrong: list[str]) -> Verdict:
    """What the oracle has of the load's users, against what they know; `wrong` is what the API shows differently from the oracle."""
    created: dict[str, set[str]] = defaultdict(set)
    for author in load.users:
        for post_id in oracle.by_author[author]:
            created[oracle.posts[post_id]["content"]].add(post_id)
    known = {post_id for post_ids in created.values() for post_id in post_ids}
    acknowledged = load.acknowledged
    return Verdict(
        posts=len(acknowledged),
        writes=len(load.deleted) + len(load.likes) + len(load.follows),
        lost=sum(post_id not in created[content] for content, post_id in acknowledged.items()),
        duplicate=sum(len(post_ids) > 1 for post_ids in created.values()),
        ghost=len(known - set(acknowledged.values())),
        lost_writes=_lost_writes(load, oracle),
        wrong=wrong,
        wrong_pages=load.wrong_pages,
        silent=load.asked.silent,
        unanswered=load.asked.unanswered,
    )


def _lost_writes(load: ClusterLoad, oracle: Oracle) -> int:
    deletions = (oracle.posts.get(post_id, {}).get("deleted", False) for post_id in load.deleted)
    likes = (
        (reader in oracle.likers[post_id]) == likes
        for (reader, post_id), likes in load.likes.items()
    )
    follows = (
        (author in oracle.following[reader]) == follows
        for (reader, author), follows in load.follows.items()
    )
    return [*deletions, *likes, *follows].count(False)


async def _ends_equal(api: Api, watcher: ReconnectingClient) -> None:
    """What a live feed's client holds is what the feed says."""

    async def equal() -> bool:
        page = await complete_page(api, watcher.user_id, _HEAD)
        shown: bool = watcher.items() == page["items"]
        return shown

    await eventually(equal, within_s=60, every_s=0.5, what=f"the live feed of {watcher.user_id}")
    await watcher.cut()
    assert watcher.levels > 1, "something happened to it"
