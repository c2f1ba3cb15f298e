"""Asks a process that runs, over HTTP: `make run`, or the console of `make up`."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from fanfold.core.errors import Fault, Unavailable
from fanfold.core.settings import Settings

_ANSWER_S = 10.0
_MOST_BYTES = 4 * 1024 * 1024

Url = Annotated[
    str | None,
    typer.Option(help="Where `make run` or a console answers; default: http://127.0.0.1:8080."),
]

_PRINTABLE = re.compile(r"[!-~]+").fullmatch

# A proxy of the environment is for other machines.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


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
        with _opener.open(url.rstrip("/") + path, timeout=_ANSWER_S) as answer:
            document = json.loads(answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        raise Fault(f"{url} refuses {path}: {_detail(error)}") from error
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


def _detail(error: urllib.error.HTTPError) -> str:
    """The detail of a problem document, else the status."""
    try:
        return str(json.loads(error.read(_MOST_BYTES))["detail"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return f"{error.code}"
