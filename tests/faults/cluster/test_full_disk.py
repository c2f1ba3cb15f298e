"""The disk of the only broker, or of the only Cassandra node, is full for a while, under load.

The disk is a file system in memory of its own, which takes root to mount: where that is refused, the tests are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.plan import CASSANDRA, KAFKA
from tests.support.cluster_verdict import nothing_goes_wrong, ready
from tests.support.local_system import LocalSystem
from tests.support.local_system_fixtures import a_system_for_a_load, client_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

SPARE_MIB = 40
FULL_S = 20


@pytest.fixture(scope="module")
def system() -> Iterator[LocalSystem]:
    with a_system_for_a_load("full", workers=1) as running:
        yield running


@contextlib.contextmanager
def a_small_disk(system: LocalSystem, name: str) -> Iterator[Path]:
    """The data of a process are on a disk of their own with a little room. It is restarted before and afterwards."""
    data = system.plan.data_of(name)
    aside = data.with_name(f"{name}-aside")
    system.stop(name)
    data.rename(aside)
    data.mkdir()
    used = subprocess.run(["du", "-sm", aside], capture_output=True, text=True, check=True).stdout
    size = f"size={int(used.split()[0]) + SPARE_MIB}m"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", data],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        if mounted.returncode:
            pytest.skip(f"no file system of its own for a full disk: {mounted.stderr.strip()}")
        # What is sparse stays so: an index of Kafka holds ten megabytes of nothing.
        subprocess.run(["cp", "-a", "--sparse=always", f"{aside}/.", data], check=True)
        system.start(name)
        yield data
        system.stop(name)
        shutil.rmtree(aside)
        subprocess.run(["cp", "-a", "--sparse=always", f"{data}/.", aside], check=True)
    finally:
        system.stop(name)
        if not mounted.returncode:
            subprocess.run(["umount", data], check=True)
        data.rmdir()
        aside.rename(data)
        system.start(name)


def fill(ballast: Path) -> None:
    """Take what is free of the disk that this file is on, to the last page."""
    with ballast.open("ab", buffering=0) as file:
        for size in (1024 * 1024, 4096):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


@pytest.mark.parametrize("name", [KAFKA, CASSANDRA])
async def test_a_full_disk_loses_nothing_and_with_room_everything_goes_on(
    system: LocalSystem, name: str
) -> None:
    with a_small_disk(system, name) as disk:
        await ready(system, system.plan.names)
        async with (
            client_of(system) as gateway,
            nothing_goes_wrong(system, gateway, f"full disk of {name}") as load,
        ):
            until_s = time.monotonic() + FULL_S
            while time.monotonic() < until_s:
                await asyncio.to_thread(fill, disk / "ballast")
                await asyncio.sleep(0.5)
            refused = load.asked.refused
            assert refused["503"] > 10, "it was full"
            began_s = time.monotonic()
            (disk / "ballast").unlink()
            await ready(system, [name])
            print(f"{name} is back after {time.monotonic() - began_s:.1f} s; {refused}")
