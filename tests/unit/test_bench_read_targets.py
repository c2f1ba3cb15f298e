"""The table of section (r): each target with what was measured, and whether it was reached."""

from __future__ import annotations

from bench.figures import Figure
from bench.read_targets import TARGETS, section_of


def test_each_target_is_a_row_that_says_whether_the_median_reached_it() -> None:
    found = {name: [1.0, 1e9, 1.0] for name in TARGETS}
    found["streams, % of a core"] = [20.0]
    found["relevance, 0"] = [900.0, 1_100.0, 1_200.0]
    section = section_of(found)
    assert len(section.rows) == len(TARGETS)
    rows = {str(row["what"]): row for row in section.rows}
    assert rows["closed world, warm, relevance: feeds/s"] == {
        "what": "closed world, warm, relevance: feeds/s",
        "target": "≥ 1000 /s",
        "measured": Figure((900.0, 1_100.0, 1_200.0)),
        "reached": "yes",
    }
    assert rows["closed world, warm, chronological: feeds/s"]["reached"] == "no"
    assert [row["reached"] for row in section.rows].count("no") == 2
