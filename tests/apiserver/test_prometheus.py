"""Alerts and the dashboard, read by Prometheus' own parser of rules, expressions and templates; and alerts over series, minute by minute."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence

import pytest

from tests.support.board import panels
from tests.support.k8s import Object, of_kind, rendered
from tests.support.k8s_schemas import HOME


def mistakes(
    rules: Object,
    expressions: Sequence[str] = (),
    *,
    tests: Sequence[Object] = (),
) -> list[str]:
    """What Prometheus would say of the rules, and which alerts fire otherwise than the tests have it."""
    program = HOME / "bin" / "prometheus-rules"
    assert program.exists(), f"no {program}: run `make k8s-verify`, which builds it"
    ran = subprocess.run(
        [program],
        input=json.dumps(
            {
                "rules": rules,
                "expressions": list(expressions),
                "tests": list(tests),
            }
        ),
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()


def all_rules() -> Object:
    """What the operator of Prometheus makes of them, in one file."""
    return {
        "groups": [
            group
            for resource in of_kind(rendered("prod"), "PrometheusRule")
            for group in resource["spec"]["groups"]
        ]
    }


def test_every_rule_can_be_read() -> None:
    assert mistakes(all_rules()) == []


def test_every_panel_can_be_read() -> None:
    expressions = [
        query.expression for panel in panels(rate_interval="5m") for query in panel.queries
    ]
    assert expressions
    assert mistakes({"groups": []}, expressions) == []


@pytest.mark.parametrize(
    "mistaken",
    [
        {"alert": "A", "expr": "sum(rate(a[5m])"},
        {"alert": "A", "expr": "deriv(sum(a))"},
        {"alert": "A", "expr": "a", "for": "soon"},
        {"alert": "A", "expr": "a", "annotations": {"summary": "{{ $labels.job "}},
        {"alert": "A", "expr": "a", "annotations": {"summary": "{{ $value | humanise }}"}},
        {"alert": "A", "expr": "a", "severity": "page"},
    ],
)
def test_a_mistake_is_seen(mistaken: Object) -> None:
    assert mistakes({"groups": [{"name": "g", "rules": [mistaken]}]})


FEED = (
    'fanfold_http_requests_total{job="feed-service", route="/users/{user_id}/feed", status="200"}'
)
"""A counter of this: `0+600x60` is ten a second, for an hour."""


def gateway(status: int) -> str:
    return (
        'envoy_http_downstream_rq_xx{job="fanfold-gateway", envoy_http_conn_manager_prefix="https-10443", '
        f'envoy_response_code_class="{status}"}}'
    )


HEALTHY: dict[str, str] = {
    'up{job="post-service"}': "1x200",
    'up{job="graph-service"}': "1x200",
    'up{job="feed-service"}': "1x200",
    'up{job="fanout-service"}': "1x200",
    'up{job="fanfold-gateway"}': "1x200",
    gateway(2): "0+6000x200",
    gateway(5): "0x200",
    FEED: "0+600x200",
    'fanfold_feed_incomplete_total{source="timeline"}': "0x200",
    'fanfold_delivery_age_seconds_bucket{le="5.0"}': "0+6000x200",
    "fanfold_delivery_age_seconds_count": "0+6000x200",
    'fanfold_fanout_events_total{topic="posts.v1", result="dead_letter"}': "0x200",
    'kube_deployment_status_replicas_ready{deployment="feed-service"}': "3x200",
    # Of a process that trusts the header, and of one whose keys are fetched every 300 s.
    'fanfold_issuer_keys_age_seconds{job="graph-service", pod="b"}': "0x200",
    'fanfold_issuer_keys_age_seconds{job="post-service", pod="a"}': "120x200",
    'kube_statefulset_status_replicas_ready{statefulset="fanout-service"}': "3x200",
    'kube_statefulset_replicas{statefulset="fanfold-cassandra-dc1-r1-sts"}': "1x200",
    'kube_statefulset_replicas{statefulset="fanfold-cassandra-dc1-r2-sts"}': "1x200",
    'kube_statefulset_replicas{statefulset="fanfold-cassandra-dc1-r3-sts"}': "1x200",
    'kube_statefulset_status_replicas_ready{statefulset="fanfold-cassandra-dc1-r1-sts"}': "1x200",
    'kube_statefulset_status_replicas_ready{statefulset="fanfold-cassandra-dc1-r2-sts"}': "1x200",
    'kube_statefulset_status_replicas_ready{statefulset="fanfold-cassandra-dc1-r3-sts"}': "1x200",
    "kafka_controller_kafkacontroller_offlinepartitionscount": "0x200",
    "kafka_server_replicamanager_underminisrpartitioncount": "0x200",
    'org_apache_cassandra_metrics_dropped_message_dropped_total{pod="r1", message_type="MUTATION_REQ"}': "0x200",
    'org_apache_cassandra_metrics_compaction_pending_tasks{pod="r1"}': "3x200",
    'certmanager_certificate_expiration_timestamp_seconds{name="fanfold-cassandra-node"}': "5184000x200",
    'certmanager_certificate_ready_status{name="fanfold-cassandra-node", condition="True"}': "1x200",
    'strimzi_certificate_expiration_timestamp_ms{cluster="fanfold-kafka", type="cluster-ca"}': "9e12x200",
    'kubelet_volume_stats_available_bytes{persistentvolumeclaim="data-0-fanfold-kafka-broker-0"}': "9e11x200",
    'kubelet_volume_stats_capacity_bytes{persistentvolumeclaim="data-0-fanfold-kafka-broker-0"}': "1e12x200",
}
CASSANDRA = 'kube_statefulset_status_replicas_ready{statefulset="fanfold-cassandra-dc1-r%d-sts"}'
READY_FEED = 'kube_deployment_status_replicas_ready{deployment="feed-service"}'
ISSUER_KEYS = 'fanfold_issuer_keys_age_seconds{job="post-service", pod="a"}'
VOLUME = (
    'kubelet_volume_stats_available_bytes{persistentvolumeclaim="data-0-fanfold-kafka-broker-0"}'
)

# What happens, the series that change, and the alerts by minute. Trouble begins at minute 60.
CASES: list[tuple[str, dict[str, str], dict[int, list[str]]]] = [
    ("all is well", {}, {30: [], 200: []}),
    (
        "quorum is lost: every pod is unready, and the gateway answers 503",
        {
            CASSANDRA % 1: "1x59 0x60",
            CASSANDRA % 2: "1x59 0x60",
            READY_FEED: "3x59 0x60",
            gateway(2): "0+6000x59 354000x60",
            gateway(5): "0x59 6000+6000x60",
        },
        {
            59: [],
            62: [
                "FanfoldAvailabilityBurns",
                "FanfoldCassandraQuorumLost",
                "FanfoldServiceNotReady",
            ],
            80: [
                "FanfoldAvailabilityBurns",
                "FanfoldCassandraQuorumLost",
                "FanfoldServiceNotReady",
            ],
        },
    ),
    (
        "2 of 100 requests fail",
        {gateway(5): "0x59 120+120x60"},
        {60: [], 110: ["FanfoldAvailabilityBurns"]},
    ),
    ("1 of 2,000 requests fails, which the promise allows", {gateway(5): "0+3x200"}, {199: []}),
    (
        "the trouble is over: the short window ends the alert",
        {
            gateway(2): "0+6000x59 354000x10 360000+6000x100",
            gateway(5): "0x59 6000+6000x10 66000x100",
        },
        {65: ["FanfoldAvailabilityBurns"], 109: []},
    ),
    (
        "half of the deliveries are late",
        {'fanfold_delivery_age_seconds_bucket{le="5.0"}': "0+6000x59 357000+3000x60"},
        {60: [], 85: ["FanfoldFreshnessBurns"]},
    ),
    (
        "1 of 20 feeds lacks a source, in answers of 200",
        {'fanfold_feed_incomplete_total{source="timeline"}': "0x59 30+30x60"},
        {60: [], 85: ["FanfoldCompletenessBurns"]},
    ),
    (
        "the first poison event of a topic",
        {'fanfold_fanout_events_total{topic="posts.v1", result="dead_letter"}': "0x60 1x60"},
        {60: [], 62: ["FanfoldDeadLetters"]},
    ),
    (
        "one node of Cassandra is away",
        {CASSANDRA % 1: "1x59 0x60"},
        {60: [], 65: [], 71: ["FanfoldCassandraNodeDown"]},
    ),
    (
        "two brokers are away",
        {
            "kafka_controller_kafkacontroller_offlinepartitionscount": "0x59 7x60",
            "kafka_server_replicamanager_underminisrpartitioncount": "0x59 40x60",
        },
        {60: [], 62: ["FanfoldKafkaOffline", "FanfoldKafkaRefusesWrites"]},
    ),
    (
        "a node drops writes, and compacts more slowly than it is written to",
        {
            'org_apache_cassandra_metrics_dropped_message_dropped_total{pod="r1", message_type="MUTATION_REQ"}': "0x60 9x90",
            'org_apache_cassandra_metrics_compaction_pending_tasks{pod="r1"}': "3x59 500x120",
        },
        {62: ["FanfoldCassandraDropsWrites"], 121: ["FanfoldCassandraCompactsTooSlowly"]},
    ),
    (
        "a process is full",
        {
            'fanfold_event_loop_lag_seconds_bucket{job="feed-service", pod="a", le="0.25"}': "0+600x59 35700+300x60",
            'fanfold_event_loop_lag_seconds_bucket{job="feed-service", pod="a", le="1.0"}': "0+600x120",
            'fanfold_event_loop_lag_seconds_bucket{job="feed-service", pod="a", le="+Inf"}': "0+600x120",
            'fanfold_cassandra_statements_in_flight{job="feed-service", pod="a"}': "3x59 256x60",
        },
        {59: [], 80: ["FanfoldCassandraStatementsPile", "FanfoldEventLoopLate"]},
    ),
    (
        "the issuer's keys are fetched, and then no more",
        {ISSUER_KEYS: "0x59 0+60x100"},
        {60: [], 119: [], 123: [], 126: ["FanfoldIssuerKeysOld"]},
    ),
    (
        "a volume loses a gigabyte a minute",
        {VOLUME: "9e11-1e9x200"},
        {50: [], 90: ["FanfoldVolumeFills"]},
    ),
    (
        "no proxy answers",
        {'up{job="fanfold-gateway"}': "1x59 0x60"},
        {60: [], 63: ["FanfoldGatewayDown"]},
    ),
    (
        "a certificate ends and is not renewed",
        {
            'certmanager_certificate_expiration_timestamp_seconds{name="fanfold-cassandra-node"}': "1728000x60",
            'certmanager_certificate_ready_status{name="fanfold-cassandra-node", condition="True"}': "0x60",
            'strimzi_certificate_expiration_timestamp_ms{cluster="fanfold-kafka", type="cluster-ca"}': "4e9x60",
        },
        {
            20: [
                "FanfoldCertificateExpires",
                "FanfoldCertificateNotReady",
                "FanfoldKafkaCaExpires",
            ]
        },
    ),
]


def test_alerts_fire_when_they_should_and_only_then() -> None:
    tests: list[Object] = [
        {"name": name, "series": HEALTHY | changed, "firing": firing}
        for name, changed, firing in CASES
    ]
    assert mistakes(all_rules(), tests=tests) == []


def test_an_alert_that_does_not_fire_is_seen() -> None:
    test: Object = {"name": "well", "series": HEALTHY, "firing": {5: ["FanfoldDeadLetters"]}}
    assert mistakes(all_rules(), tests=[test]) == [
        "well, minute 5: firing [], expected [FanfoldDeadLetters]"
    ]
