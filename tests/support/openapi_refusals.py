"""Requests that the services refuse, for the examples of `schemas/openapi.json`."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from uuid import UUID

from fanfold.core.ports.idempotency_keys import KeyReservation
from fanfold.http.limits import MAX_BODY_BYTES
from fanfold.http.problems import Conflict, MissingScope, TooManyRequests
from graph_service.export_slots import ExportSlots
from graph_service.tie_limit import (
    ROWS_PER_TIE,
    Counted,
    TieLimit,
    TooManyBlocked,
    TooManyFollowed,
    TooManyMuted,
    TooManyTies,
    by_rows,
)
from tests.support.openapi_recorder import REQUEST_ID, Json, Recorder

_ABSENT = "01a0b0c0-d0e0-7f00-8000-000000000000"
_ENDS = {"unmute_user", "unblock_user"}
"""They begin nothing, so only the limit of rows refuses them."""
_LIMITED: dict[str, type[TooManyTies]] = {
    "follow_user": TooManyFollowed,
    "follow_users": TooManyFollowed,
    "mute_user": TooManyMuted,
    "unmute_user": TooManyMuted,
    "block_user": TooManyBlocked,
    "unblock_user": TooManyBlocked,
}


async def try_everything(the: Recorder) -> None:
    """Requests of each operation that are wrong in one respect each. Those that succeed after all are not kept."""
    await the.api.registered("gone")
    await the.api("DELETE", "/users/gone", actor="gone")
    await the.api.project()
    post_id = the.asked["read_post"]["post_id"]
    for name, (_, path, operation) in the.operations.items():
        known = {"user_id": "alice", "target_id": "bob", "post_id": post_id}
        right = the.asked.get(name) or {
            "actor": "alice",
            **{key: value for key, value in known.items() if f"{{{key}}}" in path},
        }
        parameters = {key: value for key, value in right.items() if key != "actor"}
        actor = right["actor"]
        await the.refuse(name, None, parameters)
        await _try_others(the, name, parameters)
        await the.refuse(name, "mallory", parameters)
        for key in parameters:
            await the.refuse(name, actor, {**parameters, key: "no id"})
        if "requestBody" in operation:
            await _try_bodies(the, name, actor, parameters)
        await _try_without_engines(the, name, actor, parameters)
        if "403" in operation["responses"] and (name, "403") not in the.refusals:
            scope = "fanfold:read" if "get" in the.document["paths"][path] else "fanfold:write"
            the.keep_raised(name, MissingScope(scope))
        if "404" in operation["responses"] and (name, "404") not in the.refusals:
            answer = await the.api("GET", "/none", headers={"X-Request-Id": REQUEST_ID})
            the.keep_problem(name, answer.json())
    await _try_key_in_flight(the)
    _exceed_limits(the)


async def _try_others(the: Recorder, name: str, parameters: dict[str, str]) -> None:
    """What is absent, one's own id as the target, an actor who has left, and one who is blocked."""
    if "post_id" in parameters:
        await the.refuse(name, "alice", {**parameters, "post_id": _ABSENT})
    if "target_id" in parameters:
        await the.refuse(name, "alice", {**parameters, "target_id": "nobody"})
        await the.refuse(name, "alice", {**parameters, "target_id": "alice"})
    if "user_id" in parameters:
        await the.refuse(name, "nobody", {**parameters, "user_id": "nobody"})
        await the.refuse(name, "gone", {**parameters, "user_id": "gone"})
        await the.refuse(name, "carol", {**parameters, "user_id": "alice"})
    else:
        await the.refuse(name, "gone", parameters)


async def _try_bodies(the: Recorder, name: str, actor: str, parameters: dict[str, str]) -> None:
    as_json = {"headers": {"Content-Type": "application/json"}}
    await the.refuse(name, actor, parameters, json={})
    await the.refuse(name, actor, parameters, content=b"{", **as_json)
    await the.refuse(name, actor, parameters, content=b"Hello")
    await the.refuse(name, actor, parameters, content=b" " * (MAX_BODY_BYTES + 1), **as_json)


async def _try_key_in_flight(the: Recorder) -> None:
    """A second request with a key, while the first one is worked on."""
    key, body = "0b1f6c3e", the.body("create_post")
    digest = hashlib.sha256(body["content"].encode()).hexdigest()
    held = KeyReservation(UUID(_ABSENT), digest, the.api.clock.now_ms())
    await the.api.tables.stores.idempotency_keys.reserve("bob", key, held)
    await the.refuse("create_post", "bob", {}, json=body, headers={"Idempotency-Key": key})


async def _no_ties(_user_id: str) -> Json:
    return {}


def _exceed_limits(the: Recorder) -> None:
    """What the limits say at their defaults, without thousands of follows."""
    most = the.api.settings.max_following
    for name, too_many in _LIMITED.items():
        limit = TieLimit(by_rows(_no_ties), clock=the.api.clock, most=most, too_many=too_many)
        at_maximum = Counted(0 if name in _ENDS else most, most * ROWS_PER_TIE)
        try:
            limit.refuse_too_many(at_maximum)
        except Conflict as problem:
            the.keep_raised(name, problem)
    exports = ExportSlots()
    try:
        with ExitStack() as under_way:
            while True:
                under_way.enter_context(exports.taken("alice"))
    except TooManyRequests as problem:
        the.keep_raised("export_user", problem)


async def _try_without_engines(
    the: Recorder, name: str, actor: str, parameters: dict[str, str]
) -> None:
    the.api.log.away = the.api.tables.away = True
    await the.refuse(name, actor, parameters)
    the.api.log.away = the.api.tables.away = False
