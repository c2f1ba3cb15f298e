"""Alerts and the dashboard, read by Prometheus' own parser of rules, expressions and templates."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence

import pytest

from tests.support.k8s import Object, named, of_kind, rendered
from tests.support.k8s_schemas import HOME


def mistakes(rules: Object, expressions: Sequence[str] = ()) -> list[str]:
    """What Prometheus would say."""
    program = HOME / "bin" / "prometheus-rules"
    assert program.exists(), f"no {program}: run `make k8s-verify`, which builds it"
    ran = subprocess.run(
        [program],
        input=json.dumps({"rules": rules, "expressions": list(expressions)}),
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()


def test_every_alert_can_be_read() -> None:
    (rule,) = of_kind(rendered("prod"), "PrometheusRule")
    assert mistakes(rule["spec"]) == []


def test_every_panel_can_be_read() -> None:
    board = named(rendered("prod"), "ConfigMap", "fanfold-dashboard")
    expressions = [
        # Grafana fills it in.
        target["expr"].replace("$__rate_interval", "5m")
        for panel in json.loads(board["data"]["fanfold.json"])["panels"]
        for target in panel["targets"]
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
