"""The rule for the address of an avatar. Fanfold keeps and shows addresses, and never fetches one."""

from __future__ import annotations

import re

AVATAR_URL_MAX_CHARS = 500

# No user name or password before the host, which would be shown to everybody, and no fragment, which no picture has.
AVATAR_URL_PATTERN = (
    r"^https://[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?"
    r"(?:[/?](?:[A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)?$"
)
_AVATAR_URL = re.compile(AVATAR_URL_PATTERN)


def avatar_url_error(url: str) -> str | None:
    """What to change in the address of an avatar; None for an https address, and for an empty text: no avatar."""
    if len(url) > AVATAR_URL_MAX_CHARS:
        return f"Shorten it to {AVATAR_URL_MAX_CHARS} characters."
    # `fullmatch`, because `$` also matches before a line break at the end.
    if url and _AVATAR_URL.fullmatch(url) is None:
        return (
            "Send an https:// address without user name and fragment, its other characters as %XX."
        )
    return None
