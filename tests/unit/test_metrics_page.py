"""`docs/telemetry.md` has every metric that the code registers, and no other."""

from __future__ import annotations

from tests.support.metrics_page import IN_PAGE, registered, table


def test_the_page_is_what_the_code_registers() -> None:
    assert IN_PAGE.read() == table(), "run python -m tests.support.metrics_page"


def test_a_name_says_what_it_is_and_in_which_unit() -> None:
    """As Prometheus asks: base units, and a suffix for what only grows."""
    for name, metric in registered().items():
        assert name.startswith(("fanfold_", "http_server_")), name
        assert name.endswith("_total") == (metric.type == "counter"), name
        assert name.endswith("_seconds") or metric.type != "histogram", name
        assert metric.meaning.endswith("."), name
