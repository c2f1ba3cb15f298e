"""`schemas/asyncapi.yaml`: what the public topics hold, as other teams' tools read it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import jsonschema
import orjson
import pytest
import yaml

from fanfold.core import events
from fanfold.core.events import Event
from fanfold.core.events.catalogue import PublicEvent
from fanfold.core.ids import created_at_ms
from fanfold.core.topics import SCHEMAS, load_topics
from fanfold.ops.async_api import async_api
from fanfold.ops.event_examples import AT_MS, example_of

SCRIPTS = Path(__file__).parents[2] / "scripts"
CHECK, SPECTRAL = SCRIPTS / "check_asyncapi", SCRIPTS / "check_spectral"
DOCUMENT: dict[str, Any] = yaml.safe_load(async_api())
EXAMPLES: list[Event] = [example_of(event) for event in get_args(PublicEvent)]
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]


def test_the_committed_document_is_what_the_models_say() -> None:
    committed = (SCHEMAS / "asyncapi.yaml").read_text()
    assert committed == async_api(), "run `make schemas` and commit the difference"


def test_it_describes_every_public_event_and_no_other() -> None:
    assert set(MESSAGES) == {event.__name__ for event in get_args(PublicEvent)}
    described = {
        channel["address"]: list(channel["messages"]) for channel in DOCUMENT["channels"].values()
    }
    assert described == {
        f"{{prefix}}.{topic.name}": list(topic.events)
        for topic in load_topics().values()
        if topic.public
    }
    assert [operation["action"] for operation in DOCUMENT["operations"].values()] == ["send"] * 4


def test_every_reference_leads_somewhere() -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            inner = [found for part in value.values() for found in references(part)]
            return [value["$ref"], *inner] if "$ref" in value else inner
        return (
            [found for part in value for found in references(part)]
            if isinstance(value, list)
            else []
        )

    found = references(DOCUMENT)
    assert len(found) > 25
    for reference in found:
        value = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            value = value[name]


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_the_example_is_a_record_that_a_consumer_could_read(event: Event) -> None:
    message = MESSAGES[type(event).__name__]
    (example,) = message["examples"]
    jsonschema.validate(example["payload"], message["payload"])
    own = {**message["headers"]["allOf"][1]}
    for schema in (DOCUMENT["components"]["schemas"]["CloudEvent"], own):
        jsonschema.validate(example["headers"], schema)
    headers = {name: value.encode() for name, value in example["headers"].items()}
    assert events.decode(headers, orjson.dumps(example["payload"])) == event
    wire = events.encode(event, source="fanfold/example", now_ms=AT_MS)
    assert {name for name, _ in wire.headers} == set(example["headers"])
    assert example["name"] == f"key {wire.key.decode()}"


def test_a_posts_id_holds_the_time_of_the_example() -> None:
    assert created_at_ms(EXAMPLES[0].event_id or pytest.fail("a post has an id")) == AT_MS


@pytest.mark.slow
@pytest.mark.timeout(600)  # npm fetches the parser once
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is missing: install Node.js")
def test_the_official_parser_has_no_remark(tmp_path: Path) -> None:
    done = subprocess.run([CHECK], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "AsyncAPI 3.1.0: 4 channels, 12 messages\n"), done
    broken = tmp_path / "asyncapi.yaml"
    broken.write_text(async_api().replace("action: send", "action: shout"))
    done = subprocess.run([CHECK, broken], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "action" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)  # npm fetches Spectral once
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is missing: install Node.js")
def test_spectral_finds_nothing_in_our_documents_and_something_in_broken_ones(
    tmp_path: Path,
) -> None:
    good = [SCHEMAS / "openapi.json", SCHEMAS / "asyncapi.yaml"]
    broken = {tmp_path / path.name: path for path in good}
    for path, of in broken.items():
        path.write_text(of.read_text().replace("contact", "x-contact"))
    done = subprocess.run(
        [SPECTRAL, "--format", "json", *good, *broken], capture_output=True, text=True, check=False
    )
    found = orjson.loads(done.stdout)
    assert {remark["source"] for remark in found} == {str(path) for path in broken}, done.stdout
    assert done.returncode == 1
