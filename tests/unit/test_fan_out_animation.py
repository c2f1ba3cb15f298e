"""The animation of a fan-out: well-formed, small, with the measured times, and still for those who ask for less motion."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.support.fan_out_animation import COLUMNS, ROWS, animation, steps_of

FANOUT = {
    "started_at": "2026-11-30T10:00:00.014Z",
    "first_slice_at": "2026-11-30T10:00:00.020Z",
    "finished_at": "2026-11-30T10:00:01.500Z",
}


def test_the_animation_has_the_measured_times_and_a_square_for_some_followers() -> None:
    steps = steps_of("2026-11-30T10:00:00.000Z", FANOUT)
    assert steps == [("appended", 0), ("planned", 14), ("first slice", 20), ("last slice", 1500)]
    drawn = animation("Bob", 1_000, steps)
    root = ET.fromstring(drawn)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"+14 ms", "+20 ms", "+1,500 ms"} <= set(texts)
    assert "1,000 timelines; a square stands for 6.25" in texts
    assert drawn.count('height="13"') == 2 * COLUMNS * ROWS
    assert len(drawn) < 100_000
    assert drawn.count("animation-duration") == 1
    assert "(prefers-reduced-motion: no-preference) { .done { animation-duration" in drawn


def test_a_pulled_post_has_no_such_picture() -> None:
    with pytest.raises(ValueError, match="four steps"):
        animation("Nova", 0, [("appended", 0), ("planned", 3)])
