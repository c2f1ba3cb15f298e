"""The board of deploy/k8s, as Grafana reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.k8s import named, rendered

_OTHERS = re.compile(r"\b(kafka|kube|redis)_")
_LABEL = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Query:
    """`legend` has the names of labels in double braces."""

    expression: str
    legend: str

    @property
    def is_ours(self) -> bool:
        """Asks for metrics of our services; others need an exporter."""
        return _OTHERS.search(self.expression) is None

    def name_of(self, labels: Mapping[str, str]) -> str:
        return _LABEL.sub(lambda found: labels.get(found[1], ""), self.legend)


@dataclass(frozen=True, slots=True)
class Panel:
    """Where it is is counted in Grafana's grid of 24 columns."""

    title: str
    unit: str
    column: int
    row: int
    queries: tuple[Query, ...]


def panels(*, rate_interval: str) -> list[Panel]:
    """Those of the production overlay, with what Grafana would put in place of its variable."""
    board = named(rendered("prod"), "ConfigMap", "fanfold-dashboard")
    return [
        Panel(
            panel["title"],
            panel["fieldConfig"]["defaults"]["unit"],
            panel["gridPos"]["x"],
            panel["gridPos"]["y"],
            tuple(
                Query(
                    target["expr"].replace("$__rate_interval", rate_interval),
                    target["legendFormat"],
                )
                for target in panel["targets"]
            ),
        )
        for panel in json.loads(board["data"]["fanfold.json"])["panels"]
    ]
