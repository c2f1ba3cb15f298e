"""Alerts and the dashboard ask for metrics that the services have, and find the pods that have them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.k8s import (
    SERVICES,
    Object,
    environment,
    named,
    of_kind,
    quantity,
    rendered,
    selects,
    workload,
)
from tests.support.metrics_page import registered

CACHE = "fanfold-cache"
OURS = re.compile(r"\b(?:fanfold|http_server)_[a-z0-9_]+")
OTHERS = re.compile(r"\b(?:kafka|kube|kubelet|redis)_[a-z0-9_]+")
# From Strimzi's exporter, kube-state-metrics, the kubelet and redis_exporter, as their documentation and sources name them.
KNOWN_OTHERS = {
    "kafka_consumergroup_lag",
    "kafka_consumergroup_current_offset",
    "kafka_topic_partition_under_replicated_partition",
    "kube_statefulset_replicas",
    "kube_statefulset_status_replicas_ready",
    "kube_cronjob_status_last_successful_time",
    "kube_cronjob_spec_suspend",
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "redis_evicted_keys_total",
    "redis_expired_keys_total",
    "redis_memory_max_bytes",
    "redis_memory_used_bytes",
    "redis_memory_used_rss_bytes",
    "redis_rejected_connections_total",
    "redis_uptime_in_seconds",
}


@pytest.fixture(scope="module")
def objects() -> tuple[Object, ...]:
    return rendered("prod")


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    """The name of every sample that a service can have."""
    return {
        f"{name}{suffix}"
        for name, metric in registered().items()
        for suffix in (("_bucket", "_count", "_sum") if metric.buckets else ("",))
    }


def expressions(objects: tuple[Object, ...]) -> Iterator[tuple[str, str]]:
    (rules,) = of_kind(objects, "PrometheusRule")
    for group in rules["spec"]["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in _dashboard(objects)["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def _dashboard(objects: tuple[Object, ...]) -> Object:
    board = named(objects, "ConfigMap", "fanfold-dashboard")
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    dashboard: Object = json.loads(board["data"]["fanfold.json"])
    return dashboard


def test_every_metric_that_is_asked_for_exists(
    objects: tuple[Object, ...], metrics: set[str]
) -> None:
    for title, expression in expressions(objects):
        assert set(OURS.findall(expression)) <= metrics, title
        assert set(OTHERS.findall(expression)) <= KNOWN_OTHERS, title
        assert OURS.search(expression) or OTHERS.search(expression) or "up{" in expression, title


def test_every_expression_is_closed(objects: tuple[Object, ...]) -> None:
    for title, expression in expressions(objects):
        for opening, closing in ("()", "{}", "[]"):
            assert expression.count(opening) == expression.count(closing), title


def test_every_alert_says_how_urgent_it_is_and_where_help_is(objects: tuple[Object, ...]) -> None:
    (rules,) = of_kind(objects, "PrometheusRule")
    for group in rules["spec"]["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
            assert rule["annotations"].keys() == {"summary", "runbook"}, rule["alert"]


def test_a_worker_that_is_stuck_is_seen_from_outside(objects: tuple[Object, ...]) -> None:
    """It may not be alive to say so itself."""
    stuck = dict(expressions(objects))["FanfoldWorkersStuck"]
    assert OURS.search(stuck) is None
    assert "kafka_consumergroup_lag" in stuck
    (kafka,) = of_kind(objects, "Kafka")
    exporter = kafka["spec"]["kafkaExporter"]
    assert re.fullmatch(exporter["groupRegex"], "fanfold.fanout")
    assert re.fullmatch(exporter["topicRegex"], "fanfold.posts.v1")


def test_every_service_is_scraped_once_where_it_serves_its_metrics(
    objects: tuple[Object, ...],
) -> None:
    scraped: list[str] = []
    for monitor in of_kind(objects, "ServiceMonitor"):
        for service in of_kind(objects, "Service"):
            if selects(monitor["spec"]["selector"], service["metadata"]["labels"]):
                scraped.append(service["metadata"]["name"])
                ports = {port["name"] for port in service["spec"]["ports"]}
                assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports
        assert {endpoint["path"] for endpoint in monitor["spec"]["endpoints"]} == {"/metrics"}
    for monitor in of_kind(objects, "PodMonitor"):
        for name in SERVICES:
            resource = workload(objects, name)
            if selects(monitor["spec"]["selector"], resource.labels):
                scraped.append(name)
                ports = {port["name"] for port in resource.containers[0]["ports"]}
                assert {e["port"] for e in monitor["spec"]["podMetricsEndpoints"]} <= ports
    assert sorted(scraped) == sorted(SERVICES)


def test_the_jobs_that_alerts_name_are_the_services(objects: tuple[Object, ...]) -> None:
    for title, expression in expressions(objects):
        for job in re.findall(r'(?<![a-z])job="([^"]+)"', expression):
            assert job in {*SERVICES, CACHE}, title
    for monitor in of_kind(objects, "ServiceMonitor"):
        # The job is what this label of the Service says.
        label = monitor["spec"]["jobLabel"]
        for name in SERVICES:
            assert named(objects, "Service", name)["metadata"]["labels"][label] == name


def test_the_cache_is_scraped_at_its_exporter(objects: tuple[Object, ...]) -> None:
    cache = workload(objects, CACHE)
    (monitor,) = (
        found
        for found in of_kind(objects, "PodMonitor")
        if selects(found["spec"]["selector"], cache.labels)
    )
    # The job is what this label of the pods says.
    assert cache.labels[monitor["spec"]["jobLabel"]] == CACHE
    ports = {port["name"] for container in cache.containers for port in container["ports"]}
    assert {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]} <= ports


def test_a_person_is_asked_to_restart_the_cache_between_its_two_certificates(
    objects: tuple[Object, ...],
) -> None:
    expression = dict(expressions(objects))["FanfoldCacheRunsTooLong"]
    (days,) = re.findall(r"> (\d+) \* 86400", expression)
    certificate = named(objects, "Certificate", f"{CACHE}-server")["spec"]
    duration, before = (int(certificate[key][:-1]) / 24 for key in ("duration", "renewBefore"))
    assert duration - before < int(days) < duration - 60


def test_the_cache_is_reported_before_it_is_killed_for_its_memory(
    objects: tuple[Object, ...],
) -> None:
    expression = dict(expressions(objects))["FanfoldCacheMemory"]
    (share,) = re.findall(r"> ([\d.]+)", expression)
    container = workload(objects, CACHE).containers[0]
    limit = quantity(container["resources"]["limits"]["memory"])
    most = quantity(environment(objects, container)["MAXMEMORY"].replace("gb", "Gi"))
    assert 1 < float(share) < limit / most


def test_the_alert_of_too_few_partitions_knows_how_many_workers_there_can_be(
    objects: tuple[Object, ...],
) -> None:
    most = named(objects, "ScaledObject", "fanout-service")["spec"]["maxReplicaCount"]
    assert f">= {most}" in dict(expressions(objects))["FanfoldWorkersAtMaximum"]
