"""Asking a process over HTTP, from a thread: what a console and the commands do."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request

READY = "ready"
_MOST_BYTES = 4 * 1024 * 1024

# A proxy of the environment is for other machines.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str, *, within_s: float) -> bytes:
    """The body of a whole answer; each read may take this long.

    Raises `OSError`, `HTTPError` for a refusal, and `HTTPException` for a body that is cut short or too large.
    """
    with _opener.open(url, timeout=within_s) as answer:
        body: bytes = answer.read(_MOST_BYTES)
        # `read` of a number of bytes doesn't raise when the process ends in the middle of its answer.
        if answer.length or answer.read(1):
            raise http.client.IncompleteRead(body)
        return body


def readiness(url: str, *, within_s: float) -> str:
    """`READY`, or what is wrong in one line. Never raises."""
    try:
        get(url, within_s=within_s)
    except urllib.error.HTTPError as error:
        return detail_of(error) or f"answers {error.code}"
    except (OSError, http.client.HTTPException):
        return "no answer"
    return READY


def detail_of(error: urllib.error.HTTPError) -> str:
    """The detail of a problem document; empty if it is none."""
    try:
        return str(json.loads(error.read(_MOST_BYTES))["detail"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return ""
