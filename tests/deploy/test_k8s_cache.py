"""The shared cache as it is declared, and as the server that is installed here runs it."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from fanfold.core import cache_keys
from fanfold.core.settings import Settings
from tests.support.containers import VALKEY_IMAGE
from tests.support.k8s import (
    MANIFESTS,
    OVERLAYS,
    Object,
    build,
    environment,
    named,
    of_kind,
    quantity,
    rendered,
    selects,
    workload,
)
from tests.support.k8s_schemas import ROOT, errors_of
from tests.support.k8s_secrets import made_by_script
from tests.support.secured_cache import SERVER, SecuredCache

COMPONENT = MANIFESTS / "components" / "valkey"
CLIENTS = ("feed-service", "fanout-service")


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return rendered(request.param)


def options(text: str) -> dict[str, list[str]]:
    lines = (shlex.split(line, comments=True) for line in text.splitlines())
    return {line[0]: line[1:] for line in lines if line}


def users() -> dict[str, list[str]]:
    """The rules of each user."""
    lines = (COMPONENT / "users.conf").read_text().splitlines()
    rules = (line.split() for line in lines if line.startswith("user "))
    return {name: given for _, name, *given in rules}


def key_patterns() -> set[str]:
    """The keys that there are: what each function of `cache_keys` makes, with a star for the id."""
    ids = {"post_id": UUID(int=0), "post_number": 0}
    made = {
        function(ids.get(next(iter(inspect.signature(function).parameters)), ""))
        for name, function in inspect.getmembers(cache_keys, inspect.isfunction)
        if name.endswith("_key")
    }
    return {f"{key.rstrip('0-')}*" for key in made}


def test_there_is_never_a_second_server(objects: tuple[Object, ...]) -> None:
    """A worker would tell the one what a feed process has from the other."""
    cache = workload(objects, SERVER)
    assert (cache.kind, cache.spec["replicas"]) == ("StatefulSet", 1)
    scaled = of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    assert SERVER not in {owner["spec"]["scaleTargetRef"]["name"] for owner in scaled}


def test_its_memory_fits_into_its_limit(objects: tuple[Object, ...]) -> None:
    container = workload(objects, SERVER).containers[0]
    written = environment(objects, container)["MAXMEMORY"]
    most = quantity(written.replace("gb", "Gi").replace("mb", "Mi"))
    limit = quantity(container["resources"]["limits"]["memory"])
    assert 0.5 * limit <= most <= 0.75 * limit
    # Its memory is full most of the time: what it may use is reserved.
    assert (
        container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
    )


def test_the_server_is_the_one_that_the_tests_run_on(objects: tuple[Object, ...]) -> None:
    assert workload(objects, SERVER).containers[0]["image"].partition("@")[0] == VALKEY_IMAGE


def test_it_keeps_nothing_and_evicts_as_on_one_machine(objects: tuple[Object, ...]) -> None:
    configured = options((COMPONENT / "valkey.conf").read_text())
    local = options((ROOT / "deploy/local/cache.conf").read_text())
    for name in ("save", "appendonly", "maxmemory-policy"):
        assert configured[name] == local[name]
    assert (configured["save"], configured["appendonly"]) == ([""], ["no"])
    volumes = workload(objects, SERVER).pod["volumes"]
    assert not [volume for volume in volumes if "persistentVolumeClaim" in volume]


def test_only_its_clients_use_it_each_as_a_user_of_its_own(objects: tuple[Object, ...]) -> None:
    port = named(objects, "Service", SERVER)["spec"]["ports"][0]["port"]
    certificate = named(objects, "Certificate", "fanfold-cache-server")["spec"]
    assert SERVER in certificate["dnsNames"]
    for service in ("post-service", "graph-service", *CLIENTS):
        (container,) = workload(objects, service).containers
        given = environment(objects, container)
        if service not in CLIENTS:
            assert "FANFOLD_CACHE" not in given
            continue
        assert given["FANFOLD_CACHE"] == f"valkeys://{SERVER}:{port}"
        assert f"{service}-cache" in given["FANFOLD_CACHE_PASSWORD"]
        assert given["FANFOLD_CACHE_CA"] == "/etc/fanfold/cache-ca/ca.crt"
        assert "/etc/fanfold/cache-ca" in {m["mountPath"] for m in container["volumeMounts"]}


def test_every_user_has_a_password_and_may_touch_the_keys_that_there_are() -> None:
    rules = users()
    assert rules.pop("default") == ["off"]
    secrets = {name for name in made_by_script() if name.endswith("-cache")}
    assert {f"{user.replace('_', '-')}-cache" for user in rules} == secrets
    for user, given in rules.items():
        assert {"on", f"#{user.upper()}", "resetchannels", "-@all"} <= set(given)
        keys = {rule[1:] for rule in given if rule.startswith("~")}
        assert keys == (set() if user == "exporter" else key_patterns()), user
        allowed = {rule[1:] for rule in given if rule.startswith("+")}
        assert not allowed & {"@all", "config", "flushall", "keys", "scan", "save", "debug"}


def test_a_managed_cache_needs_settings_only(tmp_path: Path) -> None:
    up = "../" * (len(tmp_path.resolve().parts) - 1)
    base, component = (
        f"{up}{(MANIFESTS / path).resolve().relative_to('/')}"
        for path in ("base", "components/managed-cache")
    )
    (tmp_path / "kustomization.yaml").write_text(
        f"resources: [{base}]\ncomponents: [{component}]\n"
    )
    objects = build(tmp_path)
    assert [errors for manifest in objects if (errors := errors_of(manifest))] == []
    policy = named(objects, "NetworkPolicy", "managed-cache-clients")["spec"]
    for service in CLIENTS:
        resource = workload(objects, service)
        given = environment(objects, resource.containers[0])
        cache = {
            name.removeprefix("FANFOLD_").lower(): value
            for name, value in given.items()
            if name.startswith("FANFOLD_CACHE")
        }
        settings = Settings.model_validate(cache)
        assert settings.cache_user is not None
        (port,) = policy["egress"][0]["ports"]
        assert settings.cache.endswith(f":{port['port']}")
        assert selects(policy["podSelector"], resource.labels)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredCache]:
    with SecuredCache(tmp_path_factory.mktemp("cache"), rendered("dev")) as running:
        yield running


def test_its_configuration_is_one_that_a_server_takes(cache: SecuredCache) -> None:
    told = options(cache.ask("exporter", "info").replace("#", "").replace(":", " "))
    assert told["maxmemory_policy"] == ["allkeys-lru"]
    assert told["maxmemory"] == [str(192 << 20)]
    assert told["aof_enabled"] == ["0"]


def test_a_client_does_what_its_rules_allow_and_nothing_else(cache: SecuredCache) -> None:
    post = "post:1"
    assert cache.ask("feed_service", "set", post, "x") == "OK\n"
    assert cache.ask("feed_service", "mget", post) == "x\n"
    for forbidden in (("get", post), ("set", post, "y"), ("flushall",), ("lrange", post, "0", "1")):
        assert "NOPERM" in cache.ask("fanout_service", *forbidden), forbidden
    assert cache.ask("fanout_service", "unlink", post) == "1\n"
    for forbidden in (("set", "other", "x"), ("flushall",), ("config", "get", "*"), ("keys", "*")):
        assert "NOPERM" in cache.ask("feed_service", *forbidden), forbidden
    assert "NOPERM" in cache.ask("exporter", "get", post)
    script = "return redis.call('GET', KEYS[1])"
    loaded = cache.ask("fanout_service", "script", "load", script).strip()
    assert re.search("NOPERM|can't run", cache.ask("fanout_service", "evalsha", loaded, "1", post))


def test_nobody_else_gets_in(cache: SecuredCache) -> None:
    assert "WRONGPASS" in cache.ask("feed_service", "ping", password="guessed")
    assert "WRONGPASS" in cache.ask("default", "ping")
    assert "PONG" not in cache.ask_without_tls("ping")


def test_its_probes_fail_when_it_hangs(cache: SecuredCache) -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert cache.probe(probe) == 0
    cache.pause()
    try:
        assert cache.probe("livenessProbe") != 0
    finally:
        cache.resume()
    assert cache.probe("livenessProbe") == 0
