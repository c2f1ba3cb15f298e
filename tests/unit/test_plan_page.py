"""ARCHITECTURE shows what the planner calculates, to the digit."""

from __future__ import annotations

import pytest

from tests.support.capacity_plan import PAGE, PICTURES, page, pictures

WRITE = "write it with: python -m tests.support.capacity_plan"


@pytest.mark.slow
def test_the_page_shows_the_plan_for_a_hundred_million_users() -> None:
    text = PAGE.read_text()
    assert text == page(text), WRITE
    assert "| At the peak | | |" in text


@pytest.mark.slow
def test_the_pictures_are_those_of_the_plan() -> None:
    committed = {path.name: path.read_text() for path in PICTURES.glob("*.svg")}
    assert committed == pictures(), WRITE
