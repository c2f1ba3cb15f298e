"""`docs/problems.md` has every type of problem document, and nothing else."""

from __future__ import annotations

from tests.support.problems_page import MEANING, PAGE, kinds_in_the_code, problems_page


def test_the_page_is_what_the_classes_say() -> None:
    assert PAGE.read_text() == problems_page(), "run python -m tests.support.problems_page"


def test_every_kind_of_problem_is_explained_and_no_other() -> None:
    kinds = kinds_in_the_code()
    assert len(kinds) > 40, "the search finds too few, so it proves nothing"
    assert kinds == set(MEANING)
