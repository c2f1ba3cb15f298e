from __future__ import annotations

from fanfold.adapters.cassandra.window import Window


def entered(window: Window) -> int:
    """How many find room."""
    found = 0
    while window.has_room():
        window.enter()
        found += 1
    return found


def test_no_more_enter_than_there_is_room() -> None:
    assert entered(Window(8)) == 8


def test_failures_narrow_the_window_and_answers_widen_it_again() -> None:
    window = Window(8)
    entered(window)
    for answered in (True, False, False, True, True, True, True, True):
        window.leave(answered=answered)
    assert entered(window) == 2
    for _ in range(100):
        window.leave(answered=True)
        window.enter()
    assert entered(window) == 8 - 2


def test_a_window_never_closes() -> None:
    window = Window(4)
    entered(window)
    for _ in range(4):
        window.leave(answered=False)
    assert entered(window) == 1
