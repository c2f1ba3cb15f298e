"""How many examples Hypothesis tries: few in `make check`, all in `make test`, and new ones for as long as asked in `make soak`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, settings

CHECK = "check"
_FULL = 100
_IN_CHECK = 10
_LEAST_IN_CHECK = 5
_ON_ENGINES = 5
# Where Hypothesis keeps the settings of a test and its own pytest plugin changes them.
_SETTINGS = "_hypothesis_internal_use_settings"


def register_profiles() -> None:
    """`--hypothesis-profile` chooses one. Tests are too different in size for a deadline."""
    settings.register_profile("test", deadline=None)
    settings.load_profile("test")
    settings.register_profile(CHECK, deadline=None, max_examples=_IN_CHECK)
    # A seeded bug has to be found, not to be made small.
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("seeded", deadline=None, phases=phases, database=None)
    settings.register_profile("soak", deadline=None, max_examples=_FULL, database=None)


def examples(count: int = _FULL, *, in_check: int | None = None, **others: Any) -> settings:
    """Up to `count` examples of a property, and in `make check` a fifth of them, or `in_check`."""
    if settings.get_current_profile_name() == CHECK:
        count = in_check or max(count * _IN_CHECK // _FULL, _LEAST_IN_CHECK)
    return settings(max_examples=count, deadline=None, **others)


def examples_in_one_store(test: Callable[..., Any]) -> Callable[..., Any]:
    """Examples that share the store of their test: each takes ids of its own."""
    return examples(20, suppress_health_check=[HealthCheck.function_scoped_fixture])(test)


@contextmanager
def fewer_on_engines(test: Callable[..., Any]) -> Iterator[None]:
    """An example costs a hundred times more on an engine; the adapters in memory take the full number."""
    given: settings | None = getattr(test, _SETTINGS, None)
    if given is None:
        yield
        return
    setattr(test, _SETTINGS, settings(given, max_examples=min(given.max_examples, _ON_ENGINES)))
    try:
        yield
    finally:
        setattr(test, _SETTINGS, given)
