"""The services with the rights that the manifests give them: they can do their work, and nothing else.

On engines that require TLS and authentication, configured like those of deploy/k8s.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fanfold.adapters.cassandra.grants import grant
from fanfold.adapters.cassandra.migrate import operator_session
from fanfold.adapters.kafka.group import read_backlog
from fanfold.core.errors import Fault, Unavailable
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.logs import a_follow, a_post
from tests.support.real_stack import environment, ready, service
from tests.support.secured_cluster import COMMAND_LINE, Cluster, log_of
from tests.support.secured_engines import (
    SCRAM_PASSWORD,
)
from tests.support.stacks import Api


@pytest.mark.timeout(240)
async def test_the_services_do_their_work_under_the_rules_of_the_manifests(
    cluster: Cluster,
) -> None:
    by_password = {
        "kafka_bootstrap": f"127.0.0.1:{cluster.kafka.password_port}",
        "kafka_cert": None,
        "kafka_key": None,
        "kafka_user": "fanout-service-kafka",
        "kafka_password": SCRAM_PASSWORD,
    }
    async with serving(cluster) as api:
        # One worker after the other: with a certificate, and with a password.
        for worker_by, author in (({}, "ann"), (by_password, "ben")):
            async with worker(cluster, **worker_by):
                await the_whole_life_of_a_post(api, by=author, to="eve")


async def the_whole_life_of_a_post(api: Api, *, by: str, to: str) -> None:
    for user in (by, to):
        answer = await api("PUT", f"/users/{user}", actor=user, json={"display_name": user})
        assert answer.status_code == 200, answer.text
    followed = await api("PUT", f"/users/{to}/following/{by}", actor=to)
    assert followed.status_code == 204, followed.text
    posted = await api(
        "POST",
        "/posts",
        actor=by,
        json={"content": f"{by}'s"},
        headers={"Idempotency-Key": f"{by}-1"},
    )
    assert posted.status_code == 201, posted.text
    post_id = posted.json()["post_id"]

    async def delivered() -> bool:
        status = await api("GET", f"/posts/{post_id}/fanout", actor=by)
        return status.status_code == 200 and status.json()["status"] == "done"

    await eventually(delivered, within_s=60, what="the post is delivered")
    liked = await api("PUT", f"/posts/{post_id}/like", actor=to)
    assert liked.status_code == 204, liked.text

    async def shown() -> bool:
        feed = await api("GET", f"/users/{to}/feed", actor=to)
        assert feed.status_code == 200, feed.text
        items = feed.json()["items"]
        return any(item["post_id"] == post_id and item["like_count"] == 1 for item in items)

    await eventually(shown, within_s=60, what="the feed shows it, and the like")


@asynccontextmanager
async def serving(cluster: Cluster) -> AsyncIterator[Api]:
    async with AsyncExitStack() as stack:
        clients = {}
        running = [
            stack.enter_context(service(name, cluster.of(name), cluster.directory))
            for name in ("post_service", "graph_service", "feed_service")
        ]
        await asyncio.gather(*(ready(process) for process in running))
        for name, process in zip(("post", "graph", "feed"), running, strict=True):
            clients[name] = await stack.enter_async_context(
                httpx2.AsyncClient(base_url=process.url, timeout=30)
            )
        yield Api(clients)


@asynccontextmanager
async def worker(cluster: Cluster, **others: Any) -> AsyncIterator[None]:
    settings = cluster.of("fanout_service", worker_id="fanout-service-0", **others)
    with service("fanout_service", settings, cluster.directory) as running:
        await ready(running)
        yield


async def test_the_command_line_sees_what_waits(cluster: Cluster) -> None:
    backlog = await read_backlog(cluster.of("operator"), most_commands=10)
    assert backlog.all_commands


async def test_the_nightly_sweep_has_the_operators_rights(cluster: Cluster) -> None:
    swept = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", COMMAND_LINE, "activity", "sweep", "--json"],
        env=environment(cluster.of("operator")),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(swept.stdout)["finished"]


@pytest.mark.parametrize(
    ("user", "event"),
    [
        ("feed-service-kafka", a_post(by="mallory")),
        ("graph-service-kafka", a_post(by="mallory")),
        ("post-service-kafka", a_follow(by="mallory")),
        ("prepare-kafka", a_post(by="mallory")),
        ("keda-kafka", a_follow(by="mallory")),
    ],
)
async def test_a_user_may_not_append_what_its_rules_do_not_allow(
    cluster: Cluster, user: str, event: Any
) -> None:
    async with log_of(cluster.settings(user, "operator", request_timeout_s=5)) as log:
        # A user that may append nothing at all never becomes a producer.
        with pytest.raises(Unavailable, match=r"Authorization|TimeoutError"):
            await log.append(event)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("feed_service", "UPDATE posts SET deleted = true WHERE post_id = 0190a5c2-7b1e-7000-8000-000000000001"),
        ("post_service", "UPDATE users SET has_left = true WHERE user_id = 'eve'"),
        ("post_service", "DELETE FROM user_timeline WHERE user_id = 'eve'"),
        ("graph_service", "UPDATE posts SET deleted = true WHERE post_id = 0190a5c2-7b1e-7000-8000-000000000001"),
        ("graph_service", "DELETE FROM followers_by_user WHERE user_id = 'eve' AND generation = 0 AND bucket = 0"),
        ("fanout_service", "UPDATE topic_partitions SET partitions = 1 WHERE topic = 'fanfold.posts.v1'"),
        ("operator", "UPDATE posts SET deleted = true WHERE post_id = 0190a5c2-7b1e-7000-8000-000000000001"),
        ("post_service", "DROP TABLE posts"),
        ("fanout_service", "ALTER TABLE posts ADD more text"),
        ("graph_service", "SELECT role, salted_hash FROM system_auth.roles"),
    ],
)  # fmt: skip
async def test_a_role_may_not_run_what_its_grants_do_not_allow(
    cluster: Cluster, role: str, statement: str
) -> None:
    with pytest.raises((Fault, Unavailable), match="Unauthorized"):
        async with operator_session(cluster.of(role), keyspace="fanfold") as cql:
            await cql.run(statement)


async def test_a_certificate_of_another_ca_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    foreign = Authority(tmp_path / "pki", name="somebody's").identity("post-service-kafka")
    settings = cluster.of(
        "post_service", kafka_cert=foreign.cert, kafka_key=foreign.key, request_timeout_s=2
    )
    async with log_of(settings) as log:
        with pytest.raises(Unavailable):
            await log.ping()


async def test_an_engine_with_a_certificate_of_another_ca_is_refused(
    cluster: Cluster, tmp_path: Path
) -> None:
    other_ca = Authority(tmp_path / "pki", name="somebody's").ca
    settings = cluster.of(
        "post_service", kafka_ca=other_ca, cassandra_ca=other_ca, request_timeout_s=2
    )
    async with log_of(settings) as log:
        with pytest.raises(Unavailable):
            await log.ping()
    with pytest.raises(Unavailable):
        async with operator_session(settings, keyspace=None):
            pass


async def test_a_node_whose_certificate_has_another_name_is_refused(cluster: Cluster) -> None:
    settings = cluster.of("post_service", cassandra_tls_name="fanfold-cassandra-dc1-service")
    with pytest.raises(Unavailable):
        async with operator_session(settings, keyspace=None):
            pass


async def test_a_wrong_password_is_refused(cluster: Cluster) -> None:
    with pytest.raises(Unavailable, match="Authentication"):
        async with operator_session(
            cluster.of("post_service", cassandra_password="guessed"), keyspace=None
        ):
            pass


async def test_granting_again_changes_nothing_and_an_unknown_role_is_refused_by_name(
    cluster: Cluster,
) -> None:
    superuser = cluster.settings("prepare-kafka", "cassandra")
    write = ["operator:activity_sweeps", "operator:revocations"]
    write += ["feed_service:feed_reads", "feed_service:tickets"]
    assert await grant(superuser, read=["operator"], write=write) == [
        "operator may read fanfold",
        "operator may write fanfold.activity_sweeps",
        "operator may write fanfold.revocations",
        "feed_service may read fanfold",
        "feed_service may write fanfold.feed_reads",
        "feed_service may write fanfold.tickets",
    ]
    with pytest.raises(Fault, match="nobody_of_that_name"):
        await grant(superuser, read=["nobody_of_that_name"], write=[])


async def test_rights_no_longer_wanted_are_revoked(cluster: Cluster) -> None:
    superuser = cluster.settings("prepare-kafka", "cassandra")
    async with operator_session(superuser, keyspace="fanfold") as cql:
        await cql.run("CREATE ROLE IF NOT EXISTS formerly_trusted")
        await cql.run("GRANT ALL PERMISSIONS ON KEYSPACE fanfold TO formerly_trusted")
        await cql.run("GRANT MODIFY ON TABLE fanfold.posts TO formerly_trusted")
        await cql.run("GRANT MODIFY ON TABLE fanfold.users TO formerly_trusted")
        changes = await grant(superuser, read=[], write=["formerly_trusted:users"])
        held = await cql.run(
            "SELECT resource, permissions FROM system_auth.role_permissions WHERE role = 'formerly_trusted'"
        )
    assert {resource: set(rights) for resource, rights in held if rights} == {
        "data/fanfold": {"SELECT"},
        "data/fanfold/users": {"MODIFY"},
    }
    assert "formerly_trusted may no longer MODIFY fanfold.posts" in changes
    # Nothing is left to revoke.
    assert await grant(superuser, read=[], write=["formerly_trusted:users"]) == [
        "formerly_trusted may read fanfold",
        "formerly_trusted may write fanfold.users",
    ]
