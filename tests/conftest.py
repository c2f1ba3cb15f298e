"""The engines of a session, and how the tests are ordered and reported: see `tests/support/tiers.py`."""

from __future__ import annotations

import gc
import importlib.util
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import psutil
import pytest

from tests.support import examples, tiers
from tests.support.engines import RealEngines, running_engines
from tests.support.first_imports import FirstImports
from tests.support.redis_cluster import running_cluster
from tests.support.redis_node import running_redis

examples.register_profiles()
# httpx asks with every request to an application whether trio runs, by an import. Without this, each one would be looked for on disk.
if importlib.util.find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]


@pytest.fixture(scope="session")
def engines() -> Iterator[RealEngines]:
    """The real Kafka and Cassandra; the first test that asks for them waits until they answer."""
    with running_engines() as pair:
        yield pair


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis or Valkey, empty at first."""
    with running_redis() as url:
        yield url


@pytest.fixture(scope="session")
def cluster_url() -> Iterator[str]:
    """A real cluster of three servers, empty at first."""
    with running_cluster() as cluster:
        yield cluster.url


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the generated clients, in Python and TypeScript."""
    from tests.support.generated_clients import generate

    return generate(tmp_path_factory.mktemp("clients"))


@pytest.fixture(autouse=True)
def _engines_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    asked = "engines" in request.fixturenames
    pair: RealEngines | None = request.getfixturevalue("engines") if asked else None
    yield
    if pair is not None:
        pair.revive()


@pytest.fixture(autouse=True)
def _fewer_examples_on_engines(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("real") is None:
        yield
        return
    with examples.fewer_on_engines(request.function):
        yield


def _interrupt_all(number: int, frame: FrameType | None) -> None:
    """A CI that gives up sends SIGTERM: leave as on Ctrl-C, through the finalizers that stop the engines, in every process."""
    for child in psutil.Process().children():
        if "execnet" in " ".join(child.cmdline()):
            child.send_signal(signal.SIGINT)
    signal.default_int_handler(number, frame)


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGTERM, _interrupt_all)
    given = getattr(config, "workerinput", None)
    order = tiers.Order(in_several_processes=given is not None)
    config.pluginmanager.register(order, "tier-order")
    # With several processes, only the one that starts the others reports.
    if given is not None:
        config.pluginmanager.register(FirstImports(given), "first-imports")
    else:
        config.pluginmanager.register(tiers.Report(config), "tier-report")


# aiokafka drops a connection that it was making while its client was closed. The collector finds it in any later test: once in ten runs of the suite.
_DROPPED_CONNECTIONS = (
    "ignore:unclosed transport <_SelectorSocketTransport:ResourceWarning",
    "ignore:unclosed <socket.socket:ResourceWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("real"):
            for dropped in _DROPPED_CONNECTIONS:
                item.add_marker(pytest.mark.filterwarnings(dropped))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    # Nearly all that collection makes is kept: to look for garbage meanwhile took a sixth of its time.
    gc.disable()
    try:
        return (yield)
    finally:
        # What was imported stays. Without this, each full collection would go through all of it: a tenth of the fast tests' time.
        gc.collect()
        gc.freeze()
        gc.enable()
