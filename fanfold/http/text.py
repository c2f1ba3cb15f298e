"""What a post and a display name may say. Text is kept exactly as it is sent, or refused."""

from __future__ import annotations

import regex

from fanfold.http.problems import Invalid

POST_MAX_BYTES = 16 * 1024
NAME_MAX_CHARS = 100
NAME_MAX_BYTES = 4 * 1024

# U+2028 and U+2029 break a line without being control characters.
_CONTROL = regex.compile(r"[^\P{Cc}\t\n\r]")
_LINE_BREAKING = regex.compile(r"[\p{Cc}\u2028\u2029]")
_SURROGATE = regex.compile(r"[\ud800-\udfff]")
# Something to see: not space, not a control or format character, nor one that is drawn as nothing.
_VISIBLE = regex.compile(r"[^\s\p{Cc}\p{Cf}\p{Z}\p{Default_Ignorable_Code_Point}]")
_VISIBLE_ECMA = (
    r"[^\s\u0000-\u001f\u007f-\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)

POST_PATTERN = (
    r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*"
    + _VISIBLE_ECMA
    + r"[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"
)
"""Nearly the same rules for the OpenAPI document, whose regular expressions know no Unicode properties."""

NAME_PATTERN = (
    r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*"
    + _VISIBLE_ECMA
    + r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
)

_GRAPHEME = regex.compile(r"\X")


def check_post_text(text: str, *, max_chars: int, pointer: str = "/content") -> None:
    """Refuse (422) a text that no post may have. Characters are grapheme clusters, as people count them."""
    if problem := _wrong(text, max_chars=max_chars, max_bytes=POST_MAX_BYTES):
        raise Invalid.at("body", pointer, problem)
    if _CONTROL.search(text):
        raise Invalid.at(
            "body", pointer, "Remove control characters other than tab and line breaks."
        )


def check_display_name(name: str, *, pointer: str = "/display_name") -> None:
    """Refuse (422) a display name that isn't 1-100 characters on one line."""
    if problem := _wrong(name, max_chars=NAME_MAX_CHARS, max_bytes=NAME_MAX_BYTES):
        raise Invalid.at("body", pointer, problem)
    if _LINE_BREAKING.search(name):
        raise Invalid.at("body", pointer, "Write it on one line, without control characters.")


def _wrong(text: str, *, max_chars: int, max_bytes: int) -> str | None:
    if _SURROGATE.search(text):
        return "Send text without lone surrogates."
    if not _VISIBLE.search(text):
        return "Write something: it is blank."
    if len(text.encode()) > max_bytes:
        return f"Shorten it to {max_bytes} bytes of UTF-8."
    if _longer_than(text, max_chars):
        return f"Shorten it to {max_chars} characters."
    return None


def _longer_than(text: str, max_chars: int) -> bool:
    # No cluster is shorter than a code point: most texts need no counting.
    if len(text) <= max_chars:
        return False
    return sum(1 for _ in _GRAPHEME.finditer(text)) > max_chars
