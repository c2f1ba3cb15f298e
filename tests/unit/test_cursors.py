"""Cursors: what went in comes out, and nothing else is accepted."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.http.cursors import decode_cursor, encode_cursor
from fanfold.http.problems import Invalid

URL_SAFE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(payload=st.binary(max_size=4000), scope=st.text(max_size=80))
def test_a_cursor_gives_back_its_payload_and_needs_no_escaping(payload: bytes, scope: str) -> None:
    cursor = encode_cursor(payload, scope=scope)
    assert set(cursor) <= URL_SAFE
    assert decode_cursor(cursor, scope=scope) == payload


@given(st.binary(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_a_cursor_of_another_scope_is_refused(payload: bytes, scope: str, other: str) -> None:
    if scope != other:
        with pytest.raises(Invalid):
            decode_cursor(encode_cursor(payload, scope=scope), scope=other)


@given(st.binary(max_size=60), st.data())
def test_a_cursor_with_one_character_changed_is_refused(
    payload: bytes, data: st.DataObject
) -> None:
    cursor = encode_cursor(payload, scope="feed:alice")
    at = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.sampled_from(sorted(URL_SAFE - {cursor[at]})))
    with pytest.raises(Invalid):
        decode_cursor(cursor[:at] + other + cursor[at + 1 :], scope="feed:alice")


@given(st.text(max_size=60))
def test_no_other_text_is_a_cursor(text: str) -> None:
    with pytest.raises(Invalid):
        decode_cursor(text, scope="feed:alice")


@pytest.mark.parametrize("change", ["{}=", "{}A", " {}", "{}\n", "{}\x00", "{}ü", "\ud800{}"])
def test_what_a_lenient_decoder_would_skip_is_refused(change: str) -> None:
    cursor = encode_cursor(b"payload", scope="feed:alice")
    with pytest.raises(Invalid):
        decode_cursor(change.format(cursor), scope="feed:alice")


def test_a_scope_and_a_payload_do_not_run_into_each_other() -> None:
    with pytest.raises(Invalid):
        decode_cursor(encode_cursor(b"bc", scope="a"), scope="ab")
    checksum = base64.urlsafe_b64decode(encode_cursor(b"bc", scope="a") + "==")[:8]
    moved = base64.urlsafe_b64encode(checksum + b"c").rstrip(b"=").decode()
    with pytest.raises(Invalid):
        decode_cursor(moved, scope="ab")


def test_the_refusal_says_what_to_do_and_not_what_was_sent() -> None:
    with pytest.raises(Invalid) as refused:
        decode_cursor("secret", scope="feed:alice")
    assert "next_cursor" in refused.value.detail
    assert "secret" not in refused.value.detail
    assert refused.value.errors[0].pointer == "cursor"
