"""The component `audit`, on top of the overlay for production: everything that holds of that, and what it adds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from fanfold.ops.audit.command import seconds
from tests.deploy import test_k8s_network as network
from tests.deploy import test_k8s_pods as pods
from tests.support.k8s import (
    MANIFESTS,
    Object,
    build,
    environment,
    named,
    of_kind,
    rendered,
    selects,
    workload,
)
from tests.support.k8s_schemas import errors_of

RULES: list[Callable[[tuple[Object, ...]], None]] = [
    pods.test_every_pod_is_what_restricted_pod_security_asks_for,
    pods.test_only_pods_that_call_the_api_server_have_a_token_for_it,
    pods.test_every_probe_and_service_names_a_port_that_exists,
    pods.test_requests_are_made_and_limits_are_not_below_them,
    pods.test_every_environment_name_of_ours_is_a_setting,
    pods.test_every_container_of_ours_starts_with_settings_that_are_whole,
    pods.test_every_container_of_ours_runs_a_command_that_exists,
    pods.test_every_secret_and_every_key_that_is_used_is_provided,
    pods.test_every_volume_that_is_mounted_is_there_and_none_is_left_over,
    pods.test_a_private_key_is_read_by_nobody_else,
    pods.test_images_labels_and_the_package_are_of_one_version,
    network.test_nothing_is_allowed_but_what_is_named,
    network.test_every_policy_is_about_pods_that_there_are,
    network.test_every_pod_that_needs_an_engine_reaches_it_and_is_let_in,
    network.test_no_service_calls_another,
    network.test_every_disruption_budget_and_every_spread_is_about_its_own_pods,
]


@cache
def with_audit() -> tuple[Object, ...]:
    """The overlay with one line more."""
    with TemporaryDirectory() as directory:
        overlay = Path(directory) / "prod"
        shutil.copytree(MANIFESTS / "overlays" / "prod", overlay)
        whole = overlay / "kustomization.yaml"
        line = "- ../../components/release\n"
        text = whole.read_text().replace(line, f"- ../../components/audit\n{line}")
        whole.write_text(text.replace("../..", os.path.relpath(MANIFESTS, overlay)))
        return build(overlay)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__.removeprefix("test_"))
def test_a_rule_of_the_installation_holds_with_the_audit_too(
    rule: Callable[[tuple[Object, ...]], None],
) -> None:
    rule(with_audit())
    assert len(with_audit()) > len(rendered("prod"))


def test_the_audit_runs_on_with_its_metrics_where_the_monitoring_may_read_them() -> None:
    objects = with_audit()
    assert {o["metadata"]["name"]: errors for o in objects if (errors := errors_of(o))} == {}
    resource = workload(objects, "audit")
    (container,) = resource.containers
    arguments = container["args"]
    assert seconds(arguments[arguments.index("--every") + 1]) > 0
    (port,) = container["ports"]
    assert str(port["containerPort"]) == environment(objects, container)["FANFOLD_METRICS_PORT"]
    monitor = named(objects, "PodMonitor", "audit")["spec"]
    assert selects(monitor["selector"], resource.labels)
    assert [endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]] == [port["name"]]
    (rule,) = network.policies_of(objects, dict(resource.labels), "Ingress")
    assert "monitoring" in str(rule["from"])
    assert [allowed["port"] for allowed in rule["ports"]] == [port["name"]]
    alerts = str(of_kind(objects, "PrometheusRule"))
    assert "fanfold_audit_wrong_ratio" in alerts


def test_the_audit_compares_the_shared_cache_and_writes_as_nobody() -> None:
    objects = with_audit()
    resource = workload(objects, "audit")
    labels = dict(resource.labels)
    assert network.may_reach(objects, labels, network.CACHE, 6379)
    assert network.lets_in(objects, network.CACHE, labels, 6379)
    (container,) = resource.containers
    given = environment(objects, container)
    feeds = environment(objects, workload(objects, "feed-service").containers[0])
    shared = {name for name in feeds if name.startswith(("FANFOLD_CACHE", "FANFOLD_CASSANDRA"))}
    assert {name: given[name] for name in shared} == {name: feeds[name] for name in shared}
    assert "--repair" not in container["args"]
