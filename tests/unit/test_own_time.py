"""The clock of tests that bound a time while other tests run beside them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fanfold.http.cpu_share import Cores
from tests.support.own_time import own_s


@pytest.fixture
def nothing_stolen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cores, "read", lambda: Cores(0.0, 0.0))


@pytest.mark.usefixtures("nothing_stolen")
def test_waiting_and_working_count() -> None:
    began_s = own_s()
    time.sleep(0.05)
    until_s = time.thread_time() + 0.05
    while time.thread_time() < until_s:
        pass
    assert own_s() - began_s > 0.099


def test_what_the_host_takes_away_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cores, "read", lambda: Cores(ran_s=8.0, stolen_s=0.0))
    began_s = own_s()
    monkeypatch.setattr(Cores, "read", lambda: Cores(ran_s=8.0, stolen_s=3600.0))
    assert own_s() - began_s < -3000


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/thread-self/schedstat").exists(), reason="this kernel counts no waits"
)
def test_waiting_for_a_core_does_not_count() -> None:
    (core, *_), allowed = os.sched_getaffinity(0), os.sched_getaffinity(0)
    busy = [sys.executable, "-c", "while True: pass"]
    os.sched_setaffinity(0, {core})
    rivals = [subprocess.Popen(busy) for _ in range(3)]
    try:
        began_s, wall_s, cpu_s = own_s(), time.monotonic(), time.thread_time()
        while time.thread_time() < cpu_s + 0.2:
            pass
        own, wall = own_s() - began_s, time.monotonic() - wall_s
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()
        os.sched_setaffinity(0, allowed)
    assert own < 0.3
    assert wall > 0.4
