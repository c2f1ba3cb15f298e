"""docs/performance.md quotes the committed sample, to the digit."""

from __future__ import annotations

import re

from bench.__main__ import SECTIONS
from bench.document import DOCUMENT, filled, samples
from bench.report import markdown


def test_the_tables_are_those_of_the_committed_samples() -> None:
    text = DOCUMENT.read_text()
    assert text == filled(text, *samples()), "write them with: python -m bench.document"


def test_a_section_of_another_run_says_on_which_machine_it_was_measured() -> None:
    first, *_ = samples()
    section = {**first["sections"][0], "section": "r", "title": "Reads"}
    second = {**section, "section": "c", "title": "Post to visible"}
    other = {**first, "cores": 96, "sections": [section, second]}
    places = "".join(f"<!-- bench {name} -->\n<!-- /bench -->\n" for name in "rca")
    of_reads, of_second, of_first = filled(places, first, other).split("<!-- /bench -->\n")[:3]
    assert "* 96 cores" in of_reads
    assert "same run as: Reads" in of_second
    assert "cores" not in of_second + of_first


def test_the_document_has_a_place_for_every_section() -> None:
    for sample in samples():
        assert not sample["quick"], "a smoke run's figures mean nothing"
        assert {section["section"] for section in sample["sections"]} <= set(SECTIONS)
    assert set(re.findall(r"^<!-- bench (\w) -->$", DOCUMENT.read_text(), re.MULTILINE)) == set(
        SECTIONS
    )


def test_a_table_shows_a_figure_with_its_range() -> None:
    figure = {"median": 2.0, "least": 1.0, "most": 3.0, "rounds": [2.0, 1.0, 3.0]}
    section = {"rows": [{"what": "posts", "1/s": figure}, {"what": "feeds", "1/s": 1234.0}]}
    assert markdown(section) == (
        "| what | 1/s |\n|---|---|\n| posts | 2 (1 to 3) |\n| feeds | 1,234 |"
    )
