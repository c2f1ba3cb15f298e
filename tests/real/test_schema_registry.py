"""`fanfold schema publish`, against a real registry: Apicurio, by the API of Confluent's that it has too."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from fanfold.core.topics import SCHEMAS
from fanfold.ops.command_line import app
from fanfold.ops.released_schemas import released_schemas
from tests.support.eventually import eventually
from tests.support.jars import java_program
from tests.support.probes import free_port

# Maven fetches the registry once.
pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".cache" / "registry"


@pytest.fixture
def url() -> Iterator[str]:
    if shutil.which("mvn") is None:
        pytest.skip("mvn is missing: engines in containers need no Java here")
    subprocess.run([ROOT / "scripts" / "fetch_registry"], check=True)
    port = free_port()
    (program,) = HOME.glob("*-runner.jar")
    registry = subprocess.Popen(
        [
            *(java_program(), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m"),
            *("-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}"),
            *("-jar", program.name),
        ],
        cwd=HOME,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        yield f"http://127.0.0.1:{port}/apis/ccompat/v7"
    finally:
        registry.send_signal(signal.SIGKILL)
        registry.wait()


async def test_every_released_schema_is_found_by_its_event_and_a_repetition_changes_nothing(
    url: str,
) -> None:
    async with httpx2.AsyncClient(base_url=url, timeout=10) as client:

        async def ask(path: str) -> Any:
            answer = await client.get(path)
            answer.raise_for_status()
            return answer.json()

        async def answers() -> bool:
            try:
                return bool(await ask("/subjects") == [])
            except httpx2.HTTPError:
                return False

        await eventually(answers, within_s=120, what="the registry answers")
        for _ in range(2):
            arguments = ["schema", "publish", "--registry", url]
            done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
            assert done.exit_code == 0, (done.output, done.exception)
        schemas = [
            json.loads(text)
            for files in released_schemas(SCHEMAS / "released").values()
            for text in files.values()
        ]
        subjects = {schema["x-cloudevents-type"] for schema in schemas}
        assert set(await ask("/subjects")) == subjects
        for schema in schemas:
            subject = schema["x-cloudevents-type"]
            assert await ask(f"/subjects/{subject}/versions") == [1]
            found = await ask(f"/subjects/{subject}/versions/latest")
            assert json.loads(found["schema"]) == schema
            assert found["schemaType"] == "JSON"
