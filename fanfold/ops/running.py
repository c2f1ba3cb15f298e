"""Asks a process that runs, over HTTP: `make run`, or the console of `make up`."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from fanfold.core.errors import Fault, Unavailable
from fanfold.core.settings import Settings
from fanfold.http.ask import detail_of, get

_ANSWER_S = 10.0

Url = Annotated[
    str | None,
    typer.Option(help="Where `make run` or a console answers; default: http://127.0.0.1:8080."),
]

_PRINTABLE = re.compile(r"[!-~]+").fullmatch


def default_url(settings: Settings) -> str:
    """Where `make run`, or the gateway of `make up`, answers unless it was given another port."""
    return f"http://127.0.0.1:{settings.port}"


def ask(url: str, path: str) -> Mapping[str, Any]:
    """The JSON object at that path. Blocks for at most ten seconds a read.

    Raises `Unavailable` without an answer, and `Fault` if what answers is not Fanfold, or refuses.
    """
    if not _is_address(url):
        raise Fault(f"--url {url} is no address: use one as http://127.0.0.1:8080")
    try:
        document = json.loads(get(url.rstrip("/") + path, within_s=_ANSWER_S))
    except urllib.error.HTTPError as error:
        raise Fault(f"{url} refuses {path}: {detail_of(error) or error.code}") from error
    except OSError as error:
        raise Unavailable(
            f"{url} does not answer; start `make run`, or name another address by --url"
        ) from error
    except (ValueError, http.client.HTTPException) as error:
        raise Fault(f"{url} is not Fanfold: {path} is no JSON") from error
    if not isinstance(document, dict):
        raise Fault(f"{url} is not Fanfold: {path} is no JSON object")
    return document


def _is_address(url: str) -> bool:
    """Whether it has a scheme, a host, a port that is a number or none, and no character that a request can't have."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"} and bool(parts.hostname) and _PRINTABLE(url) is not None
    )
