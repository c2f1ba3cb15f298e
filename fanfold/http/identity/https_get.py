"""One GET over HTTPS, for a small document of a trusted host: within a time and a size, and without redirects."""

from __future__ import annotations

import asyncio
import ssl
from http import HTTPStatus
from urllib.parse import urlsplit

import httptools

_PIECE = 16 * 1024


class FetchFailed(Exception):
    """The document can't be had now."""


class _Answer:
    """What the parser calls."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.body = bytearray()
        self.complete = False

    def on_body(self, piece: bytes) -> None:
        self.body += piece
        if len(self.body) > self._most_bytes:
            raise FetchFailed(f"the document is over {self._most_bytes} bytes")

    def on_message_complete(self) -> None:
        self.complete = True


async def https_get(url: str, *, tls: ssl.SSLContext, within_s: float, most_bytes: int) -> bytes:
    """The body of a 200. Raises `FetchFailed` for everything else, a redirect too."""
    try:
        async with asyncio.timeout(within_s):
            return await _get(url, tls, most_bytes)
    except TimeoutError as error:
        raise FetchFailed(f"no answer within {within_s:g} s") from error
    except (OSError, ValueError) as error:
        raise FetchFailed(f"no connection: {type(error).__name__}") from error


async def _get(url: str, tls: ssl.SSLContext, most_bytes: int) -> bytes:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise FetchFailed("the URL is not https")
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or 443, ssl=tls, limit=_PIECE
    )
    try:
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        host = parts.netloc.rpartition("@")[2]
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n"
            "Accept-Encoding: identity\r\nConnection: close\r\n\r\n".encode()
        )
        return await _read(reader, most_bytes)
    finally:
        # Without waiting: the answer has been read, and whatever the other side still sends doesn't matter.
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader, most_bytes: int) -> bytes:
    answer = _Answer(most_bytes)
    parser = httptools.HttpResponseParser(answer)
    # The head is bounded too, with room for it.
    left = most_bytes + 2 * _PIECE
    while not answer.complete and (piece := await reader.read(_PIECE)):
        left -= len(piece)
        if left < 0:
            raise FetchFailed(f"the answer is over {most_bytes} bytes")
        try:
            parser.feed_data(piece)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, FetchFailed):
                raise error.__context__ from error
            raise FetchFailed("the answer is not HTTP") from error
    status = parser.get_status_code()
    if status != HTTPStatus.OK:
        raise FetchFailed(f"it answers {status}")
    if not answer.complete and answer.body and parser.should_keep_alive():
        raise FetchFailed("the answer ends too early")
    return bytes(answer.body)
