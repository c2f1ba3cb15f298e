"""Publishes the released schemas to a schema registry that has Confluent's API, as Confluent's, Karapace, Apicurio and Redpanda have.

Records don't need it: they are plain JSON, without the id of a schema. The subject of an event is its `ce_type`, which is the
strategy *RecordNameStrategy*: a topic holds several events.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from fanfold.core.errors import Fault, Unavailable

_CONTENT = "application/vnd.schemaregistry.v1+json"
_TIMEOUT_S = 30.0
_INCOMPATIBLE = 409


class Registry(NamedTuple):
    """Its base URL, and the user and password where it asks for them."""

    url: str
    user: str | None = None
    password: str | None = None


def publish(registry: Registry, released: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Register each schema of each version, the oldest version first; yields a line for each. Safe to repeat: a registry knows a schema again.

    Raises `Fault` for what the registry refuses, and `Unavailable`. Schemas registered before that stay registered.
    """
    if urlsplit(registry.url).scheme not in {"http", "https"}:
        raise Fault(f"{registry.url} is not a URL like https://registry.example:8081")
    for version, files in released.items():
        for text in files.values():
            subject = json.loads(text)["x-cloudevents-type"]
            body = {"schemaType": "JSON", "schema": text}
            answer = _post(registry, f"/subjects/{quote(subject, safe='')}/versions", body)
            yield f"{subject} of {version} is schema {answer['id']}"


def _post(registry: Registry, path: str, body: Any) -> Any:
    headers = {"Content-Type": _CONTENT, "Accept": f"{_CONTENT}, application/json"}
    if registry.user is not None:
        credentials = f"{registry.user}:{registry.password or ''}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
    url = registry.url.rstrip("/") + path
    request = Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - the scheme is checked
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the same
            return json.load(answer)
    except HTTPError as error:
        raise _refused(error, url) from error
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise Unavailable(f"{registry.url}: {error}") from error


def _refused(error: HTTPError, url: str) -> Fault | Unavailable:
    said = error.read(2000).decode(errors="replace")
    with suppress(ValueError, KeyError, TypeError):
        said = str(json.loads(said)["message"])
    if error.code >= 500:
        return Unavailable(f"{url}: {error.code} {said}")
    if error.code == _INCOMPATIBLE:
        return Fault(
            f"{url}: {said}; `fanfold schema check` compares with every released version: set the compatibility of the subject to NONE"
        )
    return Fault(f"{url}: {error.code} {said}")
