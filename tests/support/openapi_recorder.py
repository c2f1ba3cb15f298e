"""Asks the services for the examples of `schemas/openapi.json`, and keeps what they answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from fanfold.http.problems import MEDIA_TYPE, Problem, problem_response
from tests.support.app import WriteSide

REQUEST_ID = "0f8fad5bd9cb469fa165708677289501"
Json = dict[str, Any]


@dataclass
class Recorder:
    """Asks the services, and keeps the answers: by operation and status, or for refusals by operation, status and kind."""

    document: Json
    api: WriteSide
    feeds: httpx2.AsyncClient
    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    refusals: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    problems: dict[str, Json] = field(default_factory=dict)
    """Kind → the first document of it."""
    asked: dict[str, dict[str, str]] = field(default_factory=dict)
    """Operation → the parameters with which it succeeded, and its `actor`."""

    def __post_init__(self) -> None:
        self.operations = {
            operation["operationId"]: (method.upper(), path, operation)
            for path, operations in self.document["paths"].items()
            for method, operation in operations.items()
        }

    async def ask(
        self, name: str, actor: str | None, parameters: Mapping[str, str], **request: Any
    ) -> httpx2.Response:
        """One request. Its body is the document's example unless `request` has one."""
        method, path, operation = self.operations[name]
        query = {key: value for key, value in parameters.items() if f"{{{key}}}" not in path}
        if "requestBody" in operation and not {"json", "content"} & request.keys():
            request["json"] = self.body(name)
        headers = {"X-Request-Id": REQUEST_ID, **request.pop("headers", {})}
        if actor is not None:
            headers["X-User-Id"] = actor
        client = self.feeds if operation["tags"] == ["feeds"] else self.api.client
        url = path.format(**parameters)
        return await client.request(method, url, params=query, headers=headers, **request)

    def body(self, name: str) -> Json:
        """The document's example of the operation's body."""
        accepted = self.operations[name][2]["requestBody"]["content"]["application/json"]
        form = accepted["schema"]["$ref"].rpartition("/")[2]
        schema = self.document["components"]["schemas"][form]
        examples = {name: part.get("examples") for name, part in schema["properties"].items()}
        return {name: found[0] for name, found in examples.items() if found}

    async def succeed(
        self, name: str, actor: str, body: Json | None = None, /, **parameters: str
    ) -> Any:
        """Keep the answer as the operation's example, and return it."""
        answer = await self.ask(name, actor, parameters, **({"json": body} if body else {}))
        assert answer.is_success, f"{name}: {answer.text}"
        self.keep(name, actor, answer, parameters)
        return self.answers[name, str(answer.status_code)]

    def keep(
        self, name: str, actor: str, answer: httpx2.Response, parameters: dict[str, str]
    ) -> None:
        is_json = answer.headers.get("content-type") == "application/json"
        self.answers[name, str(answer.status_code)] = answer.json() if is_json else answer.text
        self.asked[name] = {**parameters, "actor": actor}

    async def refuse(
        self, name: str, actor: str | None, parameters: Mapping[str, str], **request: Any
    ) -> None:
        """Keep the problem document if the answer is one; it may be none."""
        answer = await self.ask(name, actor, parameters, **request)
        if answer.headers.get("content-type") == MEDIA_TYPE:
            self.keep_problem(name, answer.json())

    def keep_problem(self, name: str, problem: Json) -> None:
        kind = problem["type"].rpartition(":")[2]
        self.problems.setdefault(kind, problem)
        kinds = self.refusals.setdefault((name, str(problem["status"])), [])
        if kind not in kinds:
            kinds.append(kind)

    def keep_raised(self, name: str, problem: Problem) -> None:
        """Keep the document of a problem that no request of the story can meet."""
        document = json.loads(bytes(problem_response(problem).body))
        self.keep_problem(name, {**document, "request_id": REQUEST_ID})
