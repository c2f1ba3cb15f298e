"""The rules for the text of a post and for a display name."""

from __future__ import annotations

import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.text import POST_MAX_BYTES, display_name_error, graphemes, post_text_error

FAMILY = "👩\u200d👩\u200d👧\u200d👦"
FLAG = "🇳🇴"


def wrong_post(text: str, *, max_chars: int = 2000) -> str | None:
    return post_text_error(text, max_chars=max_chars)


def wrong_name(name: str) -> str | None:
    return display_name_error(name)


@pytest.mark.parametrize("cluster", ["a", "é", "e\u0301", FAMILY, FLAG, "한", "\r\n", "नि"])
def test_characters_are_counted_as_people_count_them(cluster: str) -> None:
    text = "x" + cluster * 9
    assert wrong_post(text, max_chars=10) is None
    assert wrong_post(text + cluster, max_chars=10) == "Shorten it to 10 characters."


def test_bytes_are_bounded_even_when_characters_are_few() -> None:
    text = "e" + "\u0301" * 8191  # 16,383 bytes, one character
    assert wrong_post(text) is None
    assert wrong_post(text + "\u0301") == "Shorten it to 16384 bytes of UTF-8."


@pytest.mark.parametrize(
    "blank",
    [
        "",
        " ",
        "\t\r\n",
        "\u00a0",
        "\u3000",
        "\u2028",
        "\u200b",
        "\ufeff",
        "\u2060",
        "\u3164",
        "\u2800",
        "\U0001d159",
        "\u115f",
        "\U00013441",
        "\U00016fe4",
        "\uffa0",
        "\u1160",
        "\u17b4",
        "\u180e",
        "\ufe0f\U000e0100",
        "\U000e0001\U000e0041\U000e007f",
        "\u00ad",
        "\u034f",
        "\ufff9\ufffb",
        "\u202e",
        "\u0600",
    ],
)
def test_invisible_text_is_blank(blank: str) -> None:
    assert wrong_post(blank) == "Write something: it is blank."
    assert wrong_name(blank) == "Write something: it is blank."
    assert wrong_post(blank + "x" + blank) is None


@pytest.mark.parametrize("visible", ["0", ".", "🦊", FLAG, "ⵣ", "\u0301", "\ue000", "\U0002ffff"])
def test_one_visible_character_is_enough_even_an_unassigned_one(visible: str) -> None:
    assert wrong_post(visible) is None
    assert wrong_name(visible) is None


def test_no_control_character_but_tab_and_line_breaks_is_in_a_post() -> None:
    controls = [chr(n) for n in (*range(0x20), *range(0x7F, 0xA0))]
    allowed = {c for c in controls if wrong_post(f"a{c}b") is None}
    assert allowed == {"\t", "\n", "\r"}


def test_no_control_character_and_no_line_break_is_in_a_name() -> None:
    breaking = [chr(n) for n in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)]
    assert {c for c in breaking if wrong_name(f"a{c}b") is None} == set()


@pytest.mark.parametrize("surrogate", ["\ud800", "\ude00\ud83d"])
def test_lone_surrogates_are_refused(surrogate: str) -> None:
    assert wrong_post(f"a{surrogate}") == "Send text without lone surrogates."
    assert wrong_name(f"a{surrogate}") == "Send text without lone surrogates."


def test_a_name_has_at_most_100_characters() -> None:
    assert wrong_name(FAMILY * 100) is None
    assert wrong_name(FAMILY * 101) == "Shorten it to 100 characters."


@given(st.text(st.characters(), max_size=50))
def test_every_text_is_accepted_or_refused_with_what_to_change(text: str) -> None:
    for wrong in (wrong_post(text, max_chars=20), wrong_name(text)):
        assert wrong is None or wrong.endswith((".", "bytes of UTF-8."))
    if wrong_post(text, max_chars=20) is None:
        text.encode()  # what is taken can be stored


# One of each class that the rules for grapheme clusters tell apart (UAX 29), and some that they treat alike.
CLASSES = {
    "letter": "a",
    "carriage return": "\r",
    "line feed": "\n",
    "control": "\u200b",
    "mark": "\u0301",
    "joiner": "\u200d",
    "regional indicator": "\U0001f1e6",
    "prepended": "\u0600",
    "spacing mark": "\u0903",
    "Hangul L": "\u1100",
    "Hangul V": "\u1160",
    "Hangul T": "\u11a8",
    "Hangul LV": "\uac00",
    "Hangul LVT": "\uac01",
    "pictograph": "\U0001f469",
    "skin tone": "\U0001f3fb",
    "consonant": "\u0915",
    "linker": "\u094d",
    "variation selector": "\ufe0f",
    "tag": "\U000e0061",
    "direction": "\u202e",
}
WORST_MS = 20
"""Of the event loop, for one body. What is linear takes a quarter of it."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit", [*CLASSES.values(), *(a + b for a in CLASSES.values() for b in CLASSES.values())]
)
def test_no_text_takes_long_to_check(unit: str) -> None:
    text = (unit * POST_MAX_BYTES).encode()[: 4 * POST_MAX_BYTES].decode(errors="ignore")
    within = text.encode()[:POST_MAX_BYTES].decode(errors="ignore")
    for checked in (text, within, within[:-1] + "b"):
        began = time.thread_time()
        post_text_error(checked, max_chars=2000)
        display_name_error(checked)
        assert (time.thread_time() - began) * 1000 < WORST_MS


@given(st.text(st.sampled_from([*CLASSES.values(), "\U0001f1e7"]), max_size=40))
def test_pairs_of_regional_indicators_are_counted_as_the_rules_say(text: str) -> None:
    assert graphemes(text) == len(regex.findall(r"\X", text))
