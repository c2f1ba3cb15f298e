"""How many followers authors have: the distributions of `fanfold plan`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.errors import Rejected
from fanfold.ops.plan.audience import Audience, audience_of, from_counts, lognormal, power_law
from tests.support.examples import examples

SHAPES = [
    lambda mean, largest: power_law(2.276, mean=mean, largest=largest),
    lambda mean, largest: power_law(3.0, mean=mean, largest=largest),
    lambda mean, largest: lognormal(0.5, mean=mean, largest=largest),
    lambda mean, largest: lognormal(2.5, mean=mean, largest=largest),
]


@examples(20)
@given(
    shape=st.sampled_from(SHAPES),
    mean=st.floats(1, 400),
    users=st.sampled_from([10_000, 300_000, 1_000_000_000]),
)
def test_a_distribution_has_the_mean_that_was_asked_for_and_all_users(
    shape: Callable[[float, float], Audience], mean: float, users: int
) -> None:
    audience = shape(mean, float(users))
    assert audience.mean == pytest.approx(mean, rel=0.01)
    assert sum(group.share for group in audience.classes) == pytest.approx(1, abs=1e-6)
    assert all(group.share > 0 for group in audience.classes)
    sizes = [group.followers for group in audience.classes]
    assert sizes == sorted(sizes)
    assert sizes[0] >= 0
    assert sizes[-1] <= users


def test_a_power_law_has_the_tail_of_its_exponent() -> None:
    audience = power_law(2.5, mean=200, largest=1e9)
    # Ten times the followers are 10^-1.5 as many authors.
    shares = [audience.share_from(size) for size in (1e3, 1e4, 1e5)]
    assert shares[1] / shares[0] == pytest.approx(10**-1.5, rel=0.01)
    assert shares[2] / shares[1] == pytest.approx(10**-1.5, rel=0.01)


def test_half_of_a_lognormal_is_below_its_median() -> None:
    audience = lognormal(2.0, mean=200, largest=1e9)
    median = 200 / 2.718281828 ** (2.0**2 / 2)
    assert audience.share_from(median) == pytest.approx(0.5, abs=0.06)


def test_a_file_counts_one_user_a_line_or_several() -> None:
    audience = from_counts(["0,2\n", "10\n", "10,3\n", "\n", "1000,2\n"])
    assert [(group.share, group.followers) for group in audience.classes] == [
        (0.25, 0),
        (0.5, 10),
        (0.25, 1000),
    ]
    assert audience.mean == pytest.approx(255)
    assert audience.follows_from(100) == pytest.approx(250)


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["10", "many"], "line 2: 'many' is neither `followers` nor `followers,users`"),
        (["-1"], "line 1: '-1' is neither"),
        (["1,2,3"], "line 1: '1,2,3' is neither"),
        (["0,7", ""], "no users with followers"),
    ],
)
def test_a_broken_file_is_refused_with_the_line(lines: list[str], error: str) -> None:
    with pytest.raises(Rejected, match=error):
        from_counts(lines)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("power-law:2", "an exponent above 2, not 2: try 2.276"),
        ("lognormal:0", "a sigma above 0, not 0: try 2"),
        ("pareto:2", "use power-law:EXPONENT, lognormal:SIGMA, or the path of a file"),
        ("power-law", "use power-law:EXPONENT"),
        ("missing.txt", "or the path of a file"),
        ("power-law:nan", "an exponent above 2, not nan"),
    ],
)
def test_an_unknown_distribution_is_refused_with_what_to_write(spec: str, error: str) -> None:
    with pytest.raises(Rejected, match=error):
        audience_of(spec, follows=200, users=1_000_000)


def test_more_follows_than_users_are_refused() -> None:
    with pytest.raises(Rejected, match="ask for fewer follows or more users"):
        audience_of("power-law:2.276", follows=200, users=150)


@pytest.mark.parametrize("threshold", [1_000, 10_000_000])
def test_a_distribution_with_other_celebrities_keeps_its_mean(threshold: int) -> None:
    audience = power_law(2.276, mean=200, largest=1e6)
    for follows in (0, 1, 50, 150):
        changed = audience.with_celebrities(follows, threshold=threshold)
        assert changed.mean == pytest.approx(200, rel=1e-6)
        assert changed.follows_from(threshold) == pytest.approx(follows)
