"""Alerts and the dashboard ask for metrics that the services have, and find the pods that have them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from fanfold.adapters.cassandra.session import STATEMENTS_IN_FLIGHT
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
GATEWAY = "fanfold-gateway"
RECORDED = re.compile(r"\bfanfold:[a-z0-9_:]+")
OURS = re.compile(r"\b(?:fanfold|http_server)_[a-z0-9_]+")
OTHERS = re.compile(
    r"\b(?:certmanager|envoy|kafka|kube|kubelet|org_apache|redis|strimzi)_[a-z0-9_]+(?![a-z0-9_]*[=!])"
)
# From Strimzi's exporter, reporter and operator, kube-state-metrics, the kubelet, redis_exporter, Envoy, cert-manager, and the management
# API of Cassandra, as their documentation and sources name them.
KNOWN_OTHERS = {
    "certmanager_certificate_expiration_timestamp_seconds",
    "certmanager_certificate_ready_status",
    "envoy_cluster_upstream_rq_pending_overflow",
    "envoy_http_downstream_rq_xx",
    "kafka_controller_kafkacontroller_offlinepartitionscount",
    "kafka_server_replicamanager_underminisrpartitioncount",
    "kube_deployment_status_replicas_ready",
    "org_apache_cassandra_metrics_compaction_pending_tasks",
    "org_apache_cassandra_metrics_dropped_message_dropped_total",
    "strimzi_certificate_expiration_timestamp_ms",
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


def rules(objects: tuple[Object, ...]) -> Iterator[Object]:
    for resource in of_kind(objects, "PrometheusRule"):
        for group in resource["spec"]["groups"]:
            yield from group["rules"]


def expressions(objects: tuple[Object, ...]) -> Iterator[tuple[str, str]]:
    for rule in rules(objects):
        yield rule.get("alert") or rule["record"], rule["expr"]
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
        grouped = re.sub(r"by \([^)]*\)", "", expression)
        assert set(OTHERS.findall(grouped)) <= KNOWN_OTHERS, title
        assert (
            OURS.search(expression)
            or OTHERS.search(expression)
            or "up{" in expression
            or set(RECORDED.findall(expression)) <= {rule.get("record") for rule in rules(objects)}
        ), title


def test_every_expression_is_closed(objects: tuple[Object, ...]) -> None:
    for title, expression in expressions(objects):
        for opening, closing in ("()", "{}", "[]"):
            assert expression.count(opening) == expression.count(closing), title


def test_every_alert_says_how_urgent_it_is_and_where_help_is(objects: tuple[Object, ...]) -> None:
    address = named(objects, "PrometheusRule", "fanfold-slo-records")["metadata"]["annotations"]
    for rule in rules(objects):
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
            assert rule["annotations"].keys() == {"summary", "runbook_url"}, rule["alert"]
            assert rule["annotations"]["runbook_url"].startswith(
                f"{address['fanfold.io/runbooks']}/docs/runbooks/"
            )


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
            assert job in {*SERVICES, CACHE, GATEWAY}, title
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


def test_the_proxies_of_the_own_gateway_are_scraped_where_envoy_gateway_runs_them(
    objects: tuple[Object, ...],
) -> None:
    monitor = named(objects, "PodMonitor", GATEWAY)["spec"]
    (proxies,) = {
        tuple(peer["podSelector"]["matchLabels"].items())
        for policy in of_kind(objects, "NetworkPolicy")
        for rule in policy["spec"].get("ingress", ())
        for peer in rule["from"]
        if "envoy-gateway-system" in str(peer.get("namespaceSelector"))
    }
    assert monitor["namespaceSelector"] == {"matchNames": ["envoy-gateway-system"]}
    assert selects(monitor["selector"], dict(proxies))
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": GATEWAY}]


def test_what_is_late_is_a_bucket_of_the_histogram(objects: tuple[Object, ...]) -> None:
    """A `le` that isn't there would be a ratio of nothing, and silence."""
    asked = {
        le
        for rule in rules(objects)
        for le in re.findall(r'fanfold_delivery_age_seconds_bucket{le="([\d.]+)"}', rule["expr"])
    }
    assert asked == {"5.0"}
    assert 5.0 in registered()["fanfold_delivery_age_seconds"].buckets


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


def test_the_alert_of_statements_comes_before_they_are_refused(
    objects: tuple[Object, ...],
) -> None:
    expression = dict(expressions(objects))["FanfoldCassandraStatementsPile"]
    (most,) = re.findall(r"> (\d+)", expression)
    assert STATEMENTS_IN_FLIGHT / 2 < int(most) < STATEMENTS_IN_FLIGHT
