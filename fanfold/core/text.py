"""The rules for the text of a post, for a display name and for a bio. Text is kept exactly as it was sent, or refused.

Lengths are in grapheme clusters, as people count characters.
"""

from __future__ import annotations

import regex

POST_MAX_BYTES = 16 * 1024
NAME_MAX_CHARS = 100
NAME_MAX_BYTES = 4 * 1024
BIO_MAX_CHARS = 300
BIO_MAX_BYTES = 2 * 1024

# U+2028 and U+2029 break a line without being control characters.
_CONTROL = regex.compile(r"[^\P{Cc}\t\n\r]")
_LINE_BREAKING = regex.compile(r"[\p{Cc}\u2028\u2029]")
_SURROGATE = regex.compile(r"[\ud800-\udfff]")
# Letters and symbols that Unicode gives no ink though none of its properties says so: Braille blank, a null notehead,
# the blanks of Egyptian hieroglyphs, and the filler of the Khitan small script.
_INKLESS = "\u2800\U0001d159\U00013441\U00013442\U00016fe4"
# A character that shows: not a space, not a control or format character, and not one that fonts draw as nothing.
_VISIBLE = regex.compile(
    rf"[^\s\p{{Cc}}\p{{Cf}}\p{{Z}}\p{{Default_Ignorable_Code_Point}}{_INKLESS}]"
)
_GRAPHEME = regex.compile(r"\X")
_FLAG = regex.compile("[\U0001f1e6-\U0001f1ff]{2}")
"""Two regional indicators. `\\X` looks back over the whole run of them for each, which is quadratic."""


def post_text_error(text: str, *, max_chars: int) -> str | None:
    """What to change in the text of a post; None for a text that a post may have."""
    if error := _error(text, max_chars=max_chars, max_bytes=POST_MAX_BYTES):
        return error
    if _CONTROL.search(text):
        return "Remove control characters other than tab and line breaks."
    return None


def display_name_error(name: str) -> str | None:
    """What to change in a display name; None for 1-100 characters on one line."""
    if error := _error(name, max_chars=NAME_MAX_CHARS, max_bytes=NAME_MAX_BYTES):
        return error
    if _LINE_BREAKING.search(name):
        return "Write it on one line, without control characters."
    return None


def bio_error(bio: str) -> str | None:
    """What to change in a bio; None for 0 to 300 characters: an empty text means no bio."""
    if not bio:
        return None
    if error := _error(bio, max_chars=BIO_MAX_CHARS, max_bytes=BIO_MAX_BYTES):
        return error
    if _CONTROL.search(bio):
        return "Remove control characters other than tab and line breaks."
    return None


def _error(text: str, *, max_chars: int, max_bytes: int) -> str | None:
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
    # A cluster has at least one code point, so most texts need no counting.
    if len(text) <= max_chars:
        return False
    return graphemes(text) > max_chars


def graphemes(text: str) -> int:
    """How many grapheme clusters a text has (UAX 29). In time proportional to its length, whatever it holds."""
    # A pair of regional indicators breaks and joins as a letter does.
    return sum(1 for _ in _GRAPHEME.finditer(_FLAG.sub("a", text)))
