"""How many followers the authors have: a distribution, as classes of authors. Pure.

The mean is the mean number of follows a user, because each follow is one follower of somebody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from math import ceil, erfc, exp, floor, log, log10, sqrt

from fanfold.core.errors import Rejected

CLASSES_PER_DECADE = 16
"""Widths of 15 %: finer than any measurement. Round thresholds such as 100,000 are borders of classes."""
_LEAST = 0.1
"""Authors of a lognormal with fewer followers than this are one class."""
_RAREST = 1e-12
"""Classes of a smaller share of all users are left out: they are empty."""


@dataclass(frozen=True, slots=True)
class AuthorClass:
    """Authors of nearly the same audience: the share of all users, and their mean number of followers."""

    share: float
    followers: float


@dataclass(frozen=True)
class Audience:
    """Classes in ascending order. Their shares add up to 1, if users without followers are a class too."""

    classes: tuple[AuthorClass, ...]

    @property
    def mean(self) -> float:
        """Followers of an author, and so follows of a user, on average."""
        return sum(group.share * group.followers for group in self.classes)

    @cached_property
    def cumulated(self) -> list[float]:
        """The shares, each with those of the classes before it."""
        return list(accumulate(group.share for group in self.classes))

    @property
    def largest(self) -> float:
        return self.classes[-1].followers

    def share_from(self, threshold: float) -> float:
        """The share of authors with at least this many followers."""
        return sum(group.share for group in self.classes if group.followers >= threshold)

    def follows_from(self, threshold: float) -> float:
        """Follows a user, on average, that go to authors with at least this many followers."""
        return sum(
            group.share * group.followers for group in self.classes if group.followers >= threshold
        )

    def with_celebrities(self, follows: float, *, threshold: float) -> Audience:
        """The same mean, of which this many follows a user go to authors at or above the threshold; `follows` is below the mean.

        Authors on either side become more or fewer; where none is above, there are authors of exactly the threshold.
        """
        above = [group for group in self.classes if group.followers >= threshold]
        before = sum(group.share * group.followers for group in above)
        if not above:
            above, before = [AuthorClass(1.0, threshold)], threshold
        fewer = (self.mean - follows) / (self.mean - self.follows_from(threshold))
        below = [
            AuthorClass(group.share * fewer, group.followers)
            for group in self.classes
            if group.followers < threshold
        ]
        above = [AuthorClass(group.share * follows / before, group.followers) for group in above]
        return Audience((*below, *(group for group in above if group.share)))


Beyond = Callable[[float], float]
"""For a number of followers: the share of authors with more, or their part of the mean."""


def power_law(exponent: float, *, mean: float, largest: float) -> Audience:
    """Density ~ followers^-exponent between a smallest audience and `largest`, with this mean.

    Twitter's followers have exponent 2.276 (Kwak, Lee, Park and Moon, "What is Twitter, a Social Network or a News Media?", WWW 2010).
    Raises `Rejected` unless the exponent is above 2: at or below, the mean is that of the few largest alone.
    """
    if not exponent > 2:
        raise Rejected(f"a power law needs an exponent above 2, not {exponent:g}: try 2.276")
    a = exponent - 1

    def classes(smallest: float) -> Audience:
        cut = (smallest / largest) ** a
        return _classes(
            smallest,
            largest,
            share=lambda x: ((smallest / x) ** a - cut) / (1 - cut),
            part=lambda x: (
                a * smallest**a * (x ** (1 - a) - largest ** (1 - a)) / (a - 1) / (1 - cut)
            ),
        )

    return _with_mean(classes, mean=mean, largest=largest)


def lognormal(sigma: float, *, mean: float, largest: float) -> Audience:
    """The logarithm of the number of followers is normal with this standard deviation; cut at `largest`. Raises `Rejected`."""
    if not sigma > 0:
        raise Rejected(f"a lognormal needs a sigma above 0, not {sigma:g}: try 2")

    def beyond(x: float, middle: float) -> float:
        """The share above x of a lognormal with this median. Not 1 - share below: that has no digits left in the tail."""
        return erfc(log(x / middle) / sigma / sqrt(2)) / 2

    def classes(middle: float) -> Audience:
        # The mean is middle x e^(sigma²/2), and the part above x is lognormal itself, with its median shifted by e^(sigma²).
        whole, shifted = middle * exp(sigma**2 / 2), middle * exp(sigma**2)
        cut = beyond(largest, middle)
        return _classes(
            _LEAST,
            largest,
            share=lambda x: 1.0 if x == _LEAST else (beyond(x, middle) - cut) / (1 - cut),
            part=lambda x: (
                whole
                * ((1.0 if x == _LEAST else beyond(x, shifted)) - beyond(largest, shifted))
                / (1 - cut)
            ),
        )

    return _with_mean(classes, mean=mean, largest=largest)


def audience_of(spec: str, *, follows: float, users: int) -> Audience:
    """`power-law:EXPONENT` or `lognormal:SIGMA`, with this many follows a user on average. Raises `Rejected`."""
    name, _, number = spec.partition(":")
    shapes: dict[str, Callable[..., Audience]] = {"power-law": power_law, "lognormal": lognormal}
    try:
        shape, parameter = shapes[name], float(number)
    except (KeyError, ValueError):
        raise Rejected(
            f"--audience {spec}: use power-law:EXPONENT, lognormal:SIGMA, or the path of a file"
        ) from None
    return shape(parameter, mean=follows, largest=float(users))


def from_counts(lines: Iterable[str]) -> Audience:
    """The distribution in a file: on each line a number of followers, or `followers,users` for several users. Raises `Rejected`."""
    users: dict[int, int] = defaultdict(int)
    followers: dict[int, int] = defaultdict(int)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        size, many = _count(line, number)
        group = floor(log10(size) * CLASSES_PER_DECADE) if size else -1
        users[group] += many
        followers[group] += many * size
    everyone = sum(users.values())
    if not sum(followers.values()):
        raise Rejected("the file has no users with followers")
    return Audience(
        tuple(
            AuthorClass(users[group] / everyone, followers[group] / users[group])
            for group in sorted(users)
            if users[group]
        )
    )


def _count(line: str, number: int) -> tuple[int, int]:
    size, _, many = line.partition(",")
    try:
        counted = int(size), int(many or 1)
    except ValueError:
        counted = -1, -1
    if min(counted) < 0:
        raise Rejected(
            f"line {number}: {line.strip()[:60]!r} is neither `followers` nor `followers,users`"
        )
    return counted


def _classes(smallest: float, largest: float, *, share: Beyond, part: Beyond) -> Audience:
    first = floor(log10(smallest) * CLASSES_PER_DECADE) + 1
    last = ceil(log10(largest) * CLASSES_PER_DECADE)
    inner = (10 ** (step / CLASSES_PER_DECADE) for step in range(first, last))
    borders = [smallest, *(border for border in inner if smallest < border < largest), largest]
    groups = [(share(low) - share(high), part(low) - part(high)) for low, high in pairwise(borders)]
    return Audience(
        tuple(
            # A class's mean lies within its borders: in the tail, the division has few digits.
            AuthorClass(many, min(max(all_ / many, low if low > smallest else 0.0), high))
            for (low, high), (many, all_) in zip(pairwise(borders), groups, strict=True)
            if many > _RAREST
        )
    )


def _with_mean(classes: Callable[[float], Audience], *, mean: float, largest: float) -> Audience:
    """The distribution of this mean, which grows with the parameter: found by halving its logarithm."""
    low, high = 1e-6, largest * 0.999
    for _ in range(60):
        middle = sqrt(low * high)
        if classes(middle).mean < mean:
            low = middle
        else:
            high = middle
    found = classes(sqrt(low * high))
    if mean > largest / 2 or not 0.99 * mean <= found.mean <= 1.01 * mean:
        raise Rejected(
            f"{mean:g} follows a user are not possible in this distribution among {largest:,.0f} users: ask for fewer follows or more users"
        )
    return found
