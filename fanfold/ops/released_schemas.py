"""The schemas of the public events that were released, and which changes break those who rely on them.

`schemas/released/VERSION/` has the schemas of a version, and `schemas/released/SHA256SUMS` the hash of each file. The log is kept
for ever, so a form must agree with *every* released one, in both directions: consumers of an older version read what is written
now, and consumers of this version read what was written then. `breaking_changes` is a list of what is allowed, and refuses all
else: annotations may change, and optional properties may come and go.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fanfold.core.errors import Fault
from fanfold.core.events import EVENTS, PUBLIC_TOPICS
from fanfold.ops.event_schemas import event_schemas, schema_file

SUMS = "SHA256SUMS"
_VERSION = re.compile(r"\d+\.\d+\.\d+")
# They say what a value means; no value is valid or invalid by them.
_ANNOTATIONS = {
    *("$id", "$schema", "$defs", "$comment"),
    *("title", "description", "examples", "deprecated"),
}
Schema = Mapping[str, Any]


def public_schemas() -> dict[str, str]:
    """File name → JSON Schema of each public event, as `fanfold schema export` writes it."""
    public = {schema_file(event) for event in EVENTS if event.topic in PUBLIC_TOPICS}
    return {name: text for name, text in event_schemas().items() if name in public}


def released_schemas(released: Path) -> dict[str, dict[str, str]]:
    """Version → file name → text, the oldest version first. Raises `Fault` for a file that is not the one that was released."""
    sums = _sums(released)
    found = {str(path.relative_to(released)) for path in released.glob("*/*.json")}
    if unknown := sorted(found - sums.keys()):
        raise Fault(f"{unknown[0]} is not in {SUMS}: `fanfold schema lock` writes both")
    versions: dict[str, dict[str, str]] = {}
    for name, expected in sums.items():
        path = released / name
        if not path.exists() or _sha256(path.read_text()) != expected:
            raise Fault(f"{path} is not what was released: restore it, for it never changes")
        version, _, file = name.partition("/")
        versions.setdefault(version, {})[file] = path.read_text()
    return dict(sorted(versions.items(), key=lambda item: _order(item[0])))


def lock(released: Path, version: str) -> list[str]:
    """Keep the public schemas as those of that version. Returns the files written; none if they are there already.

    Raises `Fault` if the version is no version or was released with other schemas, or if one of them breaks an earlier one.
    """
    if not _VERSION.fullmatch(version):
        raise Fault(f"{version} is not a version like 1.2.3")
    before = released_schemas(released) if (released / SUMS).exists() else {}
    schemas = public_schemas()
    if version in before:
        if before[version] != schemas:
            raise Fault(f"{version} was released with other schemas: choose the next version")
        return []
    if changes := list(all_breaking_changes(before, schemas)):
        raise Fault(f"{changes[0]}; `fanfold schema check` lists every breaking change")
    (released / version).mkdir(parents=True, exist_ok=True)
    for name, text in schemas.items():
        (released / version / name).write_text(text)
    lines = [
        f"{_sha256(text)}  {of}/{name}\n"
        for of, files in {**before, version: schemas}.items()
        for name, text in files.items()
    ]
    (released / SUMS).write_text("".join(lines))
    return [f"{version}/{name}" for name in schemas]


def all_breaking_changes(
    released: Mapping[str, Mapping[str, str]], now: Mapping[str, str]
) -> Iterator[str]:
    """What breaks one of the released versions, a line each. An event without a schema now breaks too: the log keeps its records."""
    for version, files in released.items():
        for name, text in files.items():
            if name not in now:
                yield f"{name} of {version} is gone: the log keeps its records, so keep its schema"
                continue
            for change in breaking_changes(json.loads(text), json.loads(now[name])):
                yield f"{name} breaks {version}: {change}"


def breaking_changes(before: Schema, now: Schema) -> list[str]:
    """Why a record of one schema might not fit the other, a line for each place; empty if the change is compatible."""
    return list(_changes(_expanded(before, before), _expanded(now, now), ""))


def _changes(before: Any, now: Any, place: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        yield from _properties(before, now, place)
        for keyword in sorted((before.keys() | now.keys()) - {"properties", "required"}):
            inside = f"{place}/{keyword}"
            if keyword in before and keyword in now:
                yield from _changes(before[keyword], now[keyword], inside)
            elif keyword in now:
                yield f"{inside} is new: {json.dumps(now[keyword])}"
            else:
                yield f"{inside} is gone, was {json.dumps(before[keyword])}"
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from _changes(one, other, f"{place}/{index}")
    elif before != now or type(before) is not type(now):
        yield f"{place} was {json.dumps(before)}, is {json.dumps(now)}"


def _properties(before: Schema, now: Schema, place: str) -> Iterator[str]:
    old, new = before.get("properties", {}), now.get("properties", {})
    needed_before, needed_now = set(before.get("required", ())), set(now.get("required", ()))
    for name in sorted(needed_now - needed_before):
        yield f"{place}/properties/{name} is required now: records of the log lack it"
    for name in sorted(needed_before - needed_now):
        yield f"{place}/properties/{name} is not always there now: consumers require it"
    for name in sorted(old.keys() & new.keys()):
        yield from _changes(old[name], new[name], f"{place}/properties/{name}")


def _expanded(schema: Any, root: Schema) -> Any:
    """Without annotations, and with what `$ref` names in its place."""
    if isinstance(schema, list):
        return [_expanded(part, root) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        return _expanded({**root["$defs"][name], **_without(schema, "$ref")}, root)
    expanded = {
        keyword: _expanded(value, root)
        for keyword, value in schema.items()
        if keyword not in _ANNOTATIONS and keyword != "properties"
    }
    if "properties" in schema:
        # Their names are not keywords: one may be called `title`.
        expanded["properties"] = {
            name: _expanded(value, root) for name, value in schema["properties"].items()
        }
    return expanded


def _without(schema: Schema, keyword: str) -> Schema:
    return {name: value for name, value in schema.items() if name != keyword}


def _sums(released: Path) -> dict[str, str]:
    try:
        lines = (released / SUMS).read_text().splitlines()
    except OSError as error:
        raise Fault(f"{released / SUMS} can't be read: {error.strerror}") from error
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
