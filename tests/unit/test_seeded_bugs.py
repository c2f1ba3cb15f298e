"""The seeded bugs still apply, and a sample of them is found. `make seeded-bugs` tries all."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from tests.support.seeded_bug_list import BUGS, SeededBug
from tests.support.seeded_bugs import ROOT, patched, seeded

SAMPLE = (
    "forget that posts go both ways after a crossing",
    "let an old backfill vouch for a new follow",
    "trust an old epoch",
)


def test_there_are_thirty_bugs_and_each_has_a_name_of_its_own() -> None:
    names = Counter(bug.name for bug in BUGS)
    assert len(names) == len(BUGS) >= 30
    assert set(SAMPLE) <= names.keys()


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_bug_applies_to_the_code_as_it_is_and_leaves_no_trace(bug: SeededBug) -> None:
    assert patched(bug)
    # The second time it is there already.
    again = pytest.raises(ValueError, match="changes no function")
    with seeded(bug), again, seeded(bug):
        pass
    with seeded(bug):
        pass
    assert (ROOT / bug.killer).exists()


def test_a_bug_whose_place_is_gone_is_an_error() -> None:
    with pytest.raises(ValueError, match="has its place 0 times"):
        patched(BUGS[0]._replace(old="no such text"))


@pytest.mark.slow
def test_a_sample_of_the_bugs_is_found_by_name_and_one_with_another_test_is_missed() -> None:
    script = (
        "import sys; from tests.support import seeded_bugs as s;"
        "missed = s.BUGS[0]._replace(name='missed', killer='tests/unit/test_ids.py');"
        f"chosen = [*(bug for bug in s.BUGS if bug.name in {SAMPLE!r}), missed];"
        "print(*(bug.name for bug in chosen if s.found(bug)), sep=';')"
    )
    tried = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert tried.returncode == 0, tried.stderr
    assert set(tried.stdout.strip().split(";")) == set(SAMPLE)
