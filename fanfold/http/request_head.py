"""The head of a request as it is to be understood: without an offered upgrade, with the host of its target, and with a body of one framing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus

from fanfold.http.refusal import Refusal, not_http

Fields = list[tuple[bytes, bytes]]

_UPGRADE_FIELDS = {b"upgrade", b"http2-settings"}
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)((?:[/?#].*)?)", re.IGNORECASE)


def without_upgrade(fields: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    """The fields of a request that offers no upgrade and is otherwise the same."""
    for name, value in fields:
        if name in _UPGRADE_FIELDS:
            continue
        if name == b"connection":
            options = (option.strip() for option in value.split(b","))
            value = b", ".join(  # noqa: PLW2901
                option
                for option in options
                if option.lower() != b"upgrade" and option.lower() not in _UPGRADE_FIELDS
            )
        if value:
            yield name, value


def check_framing(fields: Fields, *, version: str) -> None:
    """Raise `Refusal` unless everybody in the way finds the end of the body where the parser does (RFC 9112, 6.1).

    The parser takes every list of codings that ends with `chunked`, and would give a compressed body for a plain one.
    """
    codings = [value.strip().lower() for name, value in fields if name == b"transfer-encoding"]
    if not codings:
        return
    if version == "1.0":
        raise not_http("HTTP/1.0 has no Transfer-Encoding: send a Content-Length.")
    if codings != [b"chunked"]:
        detail = "Send the body without Transfer-Encoding, or with `chunked` alone."
        raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "unknown-transfer-coding", detail)


def split_target(target: bytes, fields: Fields) -> tuple[bytes, Fields]:
    """The path with its query, and the fields with the host that was meant.

    A target may be a whole URL, as towards a proxy. Its host counts then, and the `Host` field does not (RFC 9112, 3.2.2).
    """
    if target.startswith(b"/") or target == b"*":
        return target, fields
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise not_http("Send a request for a path.")
    host, path = absolute.groups()
    fields = [(name, host if name == b"host" else value) for name, value in fields]
    return path if path.startswith(b"/") else b"/" + path, fields
