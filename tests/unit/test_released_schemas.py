"""The public events agree with every version that was released, and each breaking change would be found."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from fanfold.core.errors import Fault
from fanfold.core.topics import SCHEMAS
from fanfold.ops import released_schemas as schemas
from fanfold.ops.command_line import app
from fanfold.ops.released_schemas import breaking_changes, lock, public_schemas

RELEASED = SCHEMAS / "released"
POST = "post_created.v1.json"
Json = dict[str, Any]

A_POST: Json = json.loads(public_schemas()[POST])
"""Before each change below; with an optional field, an enumeration, a number and a nested part."""
A_POST["properties"] |= {
    "language": {"type": "string", "maxLength": 8},
    "audience": {"type": "string", "enum": ["all", "followers"]},
    "words": {"type": "integer"},
    "place": {"$ref": "#/$defs/Place"},
}
A_POST["$defs"] = {
    "Place": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
}
RECORD: Json = {
    **A_POST["examples"][0],
    "language": "en",
    "audience": "all",
    "words": 2,
    "place": {"town": "Ulm"},
}


def changed(change: Callable[[Json], Any]) -> Json:
    now: Json = json.loads(json.dumps(A_POST))
    change(now)
    return now


def field(now: Json, name: str) -> Json:
    found: Json = now["properties"][name]
    return found


def without(name: str) -> Json:
    return {key: value for key, value in RECORD.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        lambda now: now["properties"].update(likes={"type": "integer"}),
        lambda now: now["properties"].pop("language"),
        lambda now: now.update(description="Says more.", title="Other", examples=[]),
        lambda now: field(now, "content").update(description="The text.", deprecated=True),
        lambda now: now["properties"].update(title={"type": "string"}),
        # The same, written in place.
        lambda now: now["properties"].update(place=now["$defs"].pop("Place")),
    ],
    ids=[
        "add optional",
        "drop optional",
        "annotations",
        "deprecate",
        "a field called title",
        "inline",
    ],
)
def test_a_compatible_change_is_none_that_breaks(change: Callable[[Json], Any]) -> None:
    now = changed(change)
    assert breaking_changes(A_POST, now) == []
    for schema in (A_POST, now):
        jsonschema.validate(RECORD, schema)


BREAKING: dict[str, tuple[Callable[[Json], Any], Json]] = {
    "add required": (
        lambda now: (
            now["properties"].update(likes={"type": "integer"}),
            now["required"].append("likes"),
        ),
        RECORD,
    ),
    "optional to required": (
        lambda now: now["required"].append("language"),
        without("language"),
    ),
    "required to optional": (lambda now: now["required"].remove("content"), without("content")),
    "drop required": (
        lambda now: (now["properties"].pop("content"), now["required"].remove("content")),
        without("content"),
    ),
    "shorter": (lambda now: field(now, "language").update(maxLength=1), RECORD),
    "longer": (
        lambda now: field(now, "language").update(maxLength=80),
        {**RECORD, "language": "longer than before"},
    ),
    "a limit": (lambda now: field(now, "content").update(maxLength=3), RECORD),
    "no limit": (
        lambda now: field(now, "language").pop("maxLength"),
        {**RECORD, "language": "longer than before"},
    ),
    "one more in an enumeration": (
        lambda now: field(now, "audience")["enum"].append("nobody"),
        {**RECORD, "audience": "nobody"},
    ),
    "one less in an enumeration": (
        lambda now: field(now, "audience").update(enum=["followers"]),
        RECORD,
    ),
    "another type": (lambda now: field(now, "words").update(type="string"), RECORD),
    "integer to number": (
        lambda now: field(now, "words").update(type="number"),
        {**RECORD, "words": 2.5},
    ),
    "null": (
        lambda now: now["properties"].update(
            language={"anyOf": [{"type": "string", "maxLength": 8}, {"type": "null"}]}
        ),
        {**RECORD, "language": None},
    ),
    "pattern": (lambda now: field(now, "author_id").update(pattern="^[0-9]+$"), RECORD),
    "nested": (
        lambda now: now["$defs"]["Place"]["properties"].update(town={"type": "integer"}),
        RECORD,
    ),
    "nested required": (
        lambda now: now["$defs"]["Place"]["required"].clear(),
        {**RECORD, "place": {}},
    ),
    "closed": (lambda now: now.update(additionalProperties=False), {**RECORD, "added_later": 1}),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_breaking_change_is_found(name: str) -> None:
    """Each has a record that fits one of the two schemas, and not the other."""
    change, record = BREAKING[name]
    now = changed(change)
    assert breaking_changes(A_POST, now)
    fits = [jsonschema.Draft202012Validator(schema).is_valid(record) for schema in (A_POST, now)]
    assert sorted(fits) == [False, True]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("x-topic", "graph.v1"), ("x-key", "post_id"), ("x-cloudevents-type", "fanfold.Post.v1")],
)
def test_another_topic_key_or_type_breaks(keyword: str, value: str) -> None:
    (found,) = breaking_changes(A_POST, {**A_POST, keyword: value})
    assert keyword in found
    assert value in found


def test_another_default_breaks_because_old_records_would_mean_something_else() -> None:
    def with_default(value: str) -> Json:
        return changed(lambda now: field(now, "audience").update(default=value))

    assert breaking_changes(with_default("all"), with_default("followers")) == [
        '/properties/audience/default was "all", is "followers"'
    ]


def test_a_name_that_an_earlier_version_had_is_not_used_for_something_else() -> None:
    """Each of the two steps is compatible; the sum of both is not."""
    first = {**A_POST, "properties": {**A_POST["properties"], "mood": {"type": "string"}}}
    third = {**A_POST, "properties": {**A_POST["properties"], "mood": {"type": "integer"}}}
    assert breaking_changes(first, A_POST) == breaking_changes(A_POST, third) == []
    versions = {
        version: {POST: json.dumps(schema)}
        for version, schema in {"0.1.0": first, "0.2.0": A_POST}.items()
    }
    found = list(schemas.all_breaking_changes(versions, {POST: json.dumps(third)}))
    assert found == [f'{POST} breaks 0.1.0: /properties/mood/type was "string", is "integer"']


def test_an_event_without_a_schema_breaks_because_the_log_keeps_its_records() -> None:
    now = {name: text for name, text in public_schemas().items() if name != POST}
    (found,) = schemas.all_breaking_changes({"0.1.0": public_schemas()}, now)
    assert found.startswith(f"{POST} of 0.1.0 is gone")


def test_this_version_agrees_with_every_released_one() -> None:
    done = CliRunner().invoke(app, ["schema", "check"])
    assert done.exit_code == 0, done.output
    assert re.match(r"12 public events agree with 0\.1\.0", done.output)
    assert set(schemas.released_schemas(RELEASED)["0.1.0"]) == set(public_schemas())


def test_the_hashes_are_in_the_form_of_sha256sum() -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=RELEASED, check=False
    )
    assert done.returncode == 0


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The directory of a project that has released 1.2.0 and 1.10.0."""
    (tmp_path / "SHA256SUMS").touch()
    for version in ("1.2.0", "1.10.0"):
        assert len(lock(tmp_path, version)) == 12
    return tmp_path


def test_versions_come_in_the_order_of_their_numbers(released: Path) -> None:
    assert list(schemas.released_schemas(released)) == ["1.2.0", "1.10.0"]


def test_a_version_is_locked_once(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lock(released, "1.2.0") == []
    described = {**public_schemas(), POST: public_schemas()[POST].replace("An author", "A user")}
    monkeypatch.setattr(schemas, "public_schemas", lambda: described)
    with pytest.raises(Fault, match="choose the next version"):
        lock(released, "1.2.0")
    assert lock(released, "1.11.0")[0] == f"1.11.0/{POST}"
    with pytest.raises(Fault, match="not a version"):
        lock(released, "next")


def test_a_version_that_breaks_an_earlier_one_is_not_locked(
    released: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {**public_schemas(), POST: public_schemas()[POST].replace('"content"', '"text"')}
    monkeypatch.setattr(schemas, "public_schemas", lambda: broken)
    with pytest.raises(Fault, match=r"breaks 1\.2\.0"):
        lock(released, "2.0.0")
    assert not (released / "2.0.0").exists()
    done = CliRunner().invoke(app, ["schema", "check", "--released", str(released)])
    assert done.exit_code == 1
    assert f"{POST} breaks 1.10.0" in " ".join(done.output.split())


@pytest.mark.parametrize("change", ["edited", "missing", "added"])
def test_a_released_file_that_was_touched_is_found(released: Path, change: str) -> None:
    file = released / "1.2.0" / POST
    match change:
        case "edited":
            file.write_text(file.read_text() + " ")
        case "missing":
            file.unlink()
        case _:
            (released / "1.2.0" / "other.v1.json").write_text("{}")
    with pytest.raises(Fault, match=r"never changes|SHA256SUMS"):
        schemas.released_schemas(released)
