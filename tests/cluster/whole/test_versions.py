"""Two versions of the project: back to the older one and forward again, under requests, each by its own manifests and scripts."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tests.support.image import VERSION
from tests.support.k8s import SERVICES
from tests.support.k8s_cluster import HOME
from tests.support.older_version import OLDER, OlderVersion
from tests.support.whole_on_a_cluster import OVERLAY, Installed, import_image, roll_out

pytestmark = pytest.mark.timeout(900)


async def test_a_rollback_and_an_upgrade_fail_no_request_and_every_feed_is_right(
    fanfold: Installed, gateway: httpx2.AsyncClient, older: OlderVersion
) -> None:
    archive = HOME / "older.tar"
    older.image.save(archive)
    import_image(archive)
    before = fanfold.restarts()

    async with fanfold.load(gateway, "versions") as load:
        await asyncio.to_thread(roll_out, older.overlay(OVERLAY), scripts=older.sources / "scripts")
        assert _versions(fanfold) == {OLDER}
        await asyncio.sleep(5)
        await asyncio.to_thread(roll_out, OVERLAY)
        assert _versions(fanfold) == {VERSION}
    assert load.asked.refused == {}
    assert fanfold.restarts(since=before) == {}


def _versions(fanfold: Installed) -> set[str]:
    """Of the images that the services run."""
    return {
        container["image"].rpartition(":")[2]
        for service in SERVICES
        for pod in fanfold.pods(service)
        for container in pod["spec"]["containers"]
    }
