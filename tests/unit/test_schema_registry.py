"""`fanfold schema publish`, against a server that has Confluent's API of subjects and versions.

https://docs.confluent.io/platform/current/schema-registry/develop/api.html: `POST /subjects/(subject)/versions`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner

from fanfold.ops.command_line import app
from fanfold.ops.released_schemas import public_schemas
from tests.support.real_stack import free_port

CONTENT = "application/vnd.schemaregistry.v1+json"


class Registry(ThreadingHTTPServer):
    """Keeps what is registered, as the documentation says: one id for each schema, whatever the subject."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ids: dict[str, int] = {}
        self.subjects: dict[str, list[int]] = {}
        self.authorization: set[str | None] = set()
        self.refusal: tuple[int, bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_POST(self) -> None:
        root, subject, versions = self.path.removeprefix("/").split("/")
        assert (root, versions) == ("subjects", "versions")
        assert self.headers["Content-Type"] == CONTENT
        self.server.authorization.add(self.headers["Authorization"])
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert body["schemaType"] == "JSON"
        json.loads(body["schema"])
        if self.server.refusal:
            self._answer(*self.server.refusal)
            return
        number = self.server.ids.setdefault(body["schema"], len(self.server.ids) + 1)
        known = self.server.subjects.setdefault(subject, [])
        if number not in known:
            known.append(number)
        self._answer(200, json.dumps({"id": number}).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", CONTENT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def publish(url: str, *options: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["schema", "publish", "--registry", url, *options])
    said = f"{done.output} {done.exception}"
    return done.exit_code, " ".join(said.split())


def test_each_public_event_becomes_a_subject_and_a_repetition_changes_nothing(
    registry: Registry,
) -> None:
    types = {json.loads(text)["x-cloudevents-type"] for text in public_schemas().values()}
    status, output = publish(registry.url)
    assert (status, set(registry.subjects)) == (0, types)
    assert "fanfold.PostCreated.v1 of 0.1.0 is schema 1" in output
    before = json.dumps(registry.subjects)
    assert publish(registry.url + "/")[0] == 0
    assert json.dumps(registry.subjects) == before
    assert registry.authorization == {None}


def test_a_registry_gets_the_user_and_the_password(registry: Registry, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("open sesame\n")
    assert publish(registry.url, "--user", "me", "--password-file", str(secret))[0] == 0
    expected = base64.b64encode(b"me:open sesame").decode()
    assert registry.authorization == {f"Basic {expected}"}
    assert publish(registry.url, "--password-file", str(tmp_path / "absent"))[0] == 1


@pytest.mark.parametrize(
    ("refusal", "status", "says"),
    [
        ((409, b'{"error_code": 409, "message": "it is incompatible"}'), 1, "it is incompatible; "),
        ((422, b'{"error_code": 42201, "message": "Invalid schema"}'), 1, "422 Invalid schema"),
        ((401, b"no"), 1, "401 no"),
        ((500, b'{"error_code": 50001, "message": "the store failed"}'), 75, "the store failed"),
        ((200, b"<html>"), 75, "the same command goes on"),
    ],
)
def test_a_refusal_says_what_the_registry_says(
    registry: Registry, refusal: tuple[int, bytes], status: int, says: str
) -> None:
    registry.refusal = refusal
    ended, output = publish(registry.url)
    assert (ended, says in output) == (status, True), output


def test_an_address_without_a_registry_is_tried_again_and_another_scheme_is_a_mistake() -> None:
    assert publish(f"http://127.0.0.1:{free_port()}")[0] == 75
    assert publish("ftp://registry.example")[0] == 1
