"""Pods that take more than their limits, under requests: Kubernetes ends them, and no more than that happens."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tests.support.eventually import eventually
from tests.support.k8s_cluster import NAMESPACE
from tests.support.whole_on_a_cluster import Installed

pytestmark = pytest.mark.timeout(900)

ON_ITS_WAY = "read 503 service-away"
"""What a process had begun to answer when it was ended."""

# Children that are each smaller than the service, and together larger than its limit: so the service is what the kernel ends.
_TAKE_MEMORY = """
import os, time
for _ in range(60):
    if os.fork() == 0:
        taken = bytearray(os.urandom(1 << 20) * 20)
        time.sleep(60)
        os._exit(0)
time.sleep(60)
"""
_TAKE_DISK = """
import os, time
with open("/tmp/much", "wb") as file:
    for _ in range(128):
        file.write(os.urandom(1 << 20))
    file.flush()
    time.sleep(240)
"""


@pytest.mark.parametrize("service", ["fanout-service", "feed-service"])
async def test_a_process_that_takes_more_memory_than_its_limit_is_ended_and_nothing_is_lost(
    fanfold: Installed, gateway: httpx2.AsyncClient, service: str
) -> None:
    before = fanfold.restarts()
    async with fanfold.load(gateway, f"memory-of-{service}", per_s=15) as load:
        pod = fanfold.pods(service)[0]["metadata"]["name"]
        await asyncio.to_thread(_python, fanfold, pod, _TAKE_MEMORY)
        await eventually(
            lambda: _was_ended(fanfold, service, pod), within_s=120, every_s=1, what="ended"
        )
        await fanfold.until_replicas(service, lambda count: count == 2, ready=True)
    assert fanfold.restarts(since=before) == {pod: 1}
    assert set(load.asked.reasons) <= {ON_ITS_WAY}


async def test_a_process_that_fills_its_disk_is_replaced_and_nothing_is_lost(
    fanfold: Installed, gateway: httpx2.AsyncClient
) -> None:
    async with fanfold.load(gateway, "disk", per_s=15) as load:
        pod = fanfold.pods("feed-service")[0]["metadata"]["name"]
        writing = asyncio.create_task(asyncio.to_thread(_python, fanfold, pod, _TAKE_DISK))
        await eventually(
            lambda: _is_gone(fanfold, pod), within_s=240, every_s=1, what="it is replaced"
        )
        await fanfold.until_replicas("feed-service", lambda count: count == 2, ready=True)
        await writing
    assert set(load.asked.reasons) <= {ON_ITS_WAY}


def _python(fanfold: Installed, pod: str, program: str) -> None:
    """Beside the service, in its container. It may be ended with it."""
    words = ("--namespace", NAMESPACE, "exec", pod, "--", "python", "-c", program)
    fanfold.cluster.kubectl(*words, check=False)


async def _was_ended(fanfold: Installed, service: str, name: str) -> bool:
    (pod,) = [pod for pod in fanfold.pods(service) if pod["metadata"]["name"] == name]
    (status,) = pod["status"]["containerStatuses"]
    return bool(status["lastState"].get("terminated", {}).get("reason") == "OOMKilled")


async def _is_gone(fanfold: Installed, name: str) -> bool:
    return name not in {pod["metadata"]["name"] for pod in fanfold.pods("feed-service")}
