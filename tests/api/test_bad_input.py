"""Every invalid request is answered with a 4xx problem document that says what to change, and appends nothing."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest

from fanfold.http.cursors import encode_cursor
from tests.support.app import WriteSide, a_write_side

# Fixed, because parameters are in the names of tests, and every process must collect the same.
POST_ID = UUID("01a3185c-5000-7c33-9ad7-883aced52a76")
WITH_TEXT = [("POST", "/posts", "content"), ("PUT", "/users/alice", "display_name")]
"""Routes that need nothing to exist before; PATCH is added by `text_route` with a post."""
TIES = ("muted", "blocked")
LISTS = [f"/users/alice/{list_name}" for list_name in ("following", "followers", *TIES)]
JSON = {"content-type": "application/json"}

ROUTES_OF_POSTS = [
    ("GET", "/posts/{}"),
    ("PATCH", "/posts/{}"),
    ("DELETE", "/posts/{}"),
    ("GET", "/posts/{}/fanout"),
]
ROUTES_OF_USERS = [
    ("PUT", "/users/{}"),
    ("GET", "/users/{}"),
    ("PUT", "/users/{}/following/alice"),
    ("DELETE", "/users/{}/following/alice"),
    ("PUT", "/users/alice/following/{}"),
    ("DELETE", "/users/alice/following/{}"),
    ("GET", "/users/{}/following"),
    ("GET", "/users/{}/followers"),
    *(
        (method, f"/users/{{}}/{list_name}/alice")
        for list_name in TIES
        for method in ("PUT", "DELETE")
    ),
    *(
        (method, f"/users/alice/{list_name}/{{}}")
        for list_name in TIES
        for method in ("PUT", "DELETE")
    ),
    *(("GET", f"/users/{{}}/{list_name}") for list_name in TIES),
]
BODIES = {"PATCH": {"content": "x"}, "PUT": {"display_name": "x"}, "POST": {"content": "x"}}


@pytest.fixture
async def api() -> AsyncIterator[WriteSide]:
    """With alice registered, and nothing else."""
    async with a_write_side() as write_side:
        await write_side.registered("alice")
        yield write_side


@pytest.fixture(params=[*WITH_TEXT, ("PATCH", "/posts/{}", "content")], ids=lambda route: route[0])
async def text_route(request: pytest.FixtureRequest, api: WriteSide) -> tuple[str, str, str]:
    """(method, path, field) of each route that takes text."""
    method, path, field = request.param
    return method, path.format(await api.posted()) if method == "PATCH" else path, field


async def refused(
    api: WriteSide, method: str, path: str, *statuses: int, **kwargs: Any
) -> dict[str, Any]:
    """Send a request that must be refused without an event; its problem document."""
    before = len(await api.events())
    answer = await api(method, path, **kwargs)
    assert answer.status_code in statuses, answer.text
    assert len(await api.events()) == before
    return problem(answer)


def problem(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"].startswith("urn:fanfold:problem:")
    assert document["status"] == answer.status_code
    assert document["title"]
    assert document["detail"]
    assert all(error["detail"] for error in document.get("errors", []))
    return document


TEXTS = {
    "empty": "",
    "blank": " \t\r\n\u00a0\u2003",
    "invisible": "\u200b\u2060\ufe0f\u3164",
    "too long": "é" * 2001,
    "too long in clusters of several code points": "e\u0301" * 2001,
    "too many bytes in few clusters": "e" + "\u0301" * 9000,
    "NUL": "a\x00b",
    "escape": "a\x1b[31m",
    "DEL": "a\x7f",
    "C1 control": "a\x85b",
    "lone high surrogate": "a\ud83d",
    "lone low surrogate": "\udd8aa",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_unreadable_text_is_refused(
    api: WriteSide, text_route: tuple[str, str, str], text: str
) -> None:
    method, path, field = text_route
    # ASCII JSON, in which even a lone surrogate can be sent.
    body = json.dumps({field: text})
    document = await refused(api, method, path, 422, content=body, headers=JSON)
    (error,) = document["errors"]
    assert error["where"] == "body"
    assert error["pointer"] in (f"/{field}", "")


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\u2028b", "x" * 101])
async def test_a_display_name_of_two_lines_or_101_characters_is_refused(
    api: WriteSide, name: str
) -> None:
    await refused(api, "PUT", "/users/alice", 422, json={"display_name": name})


async def test_the_longest_and_the_strangest_good_texts_are_kept_as_sent(api: WriteSide) -> None:
    for text in (
        "a" * 2000,
        "e\u0301" * 2000,
        "👩\u200d👩\u200d👧\u200d👦" * 500,
        "\tx\r\n",
        "\ufeffx",
    ):
        created = await api("POST", "/posts", json={"content": text})
        assert created.status_code == 201
        assert created.json()["content"] == text
    for name in ("x" * 100, "e\u0301" * 100, " x "):
        put = await api("PUT", "/users/alice", json={"display_name": name})
        assert put.json()["display_name"] == name


WRONG_SHAPES = {
    "null": "null",
    "a list": "[]",
    "a string": '"content"',
    "a number": "1",
    "true": "true",
    "nothing in it": "{}",
    "a number as text": '{"content": 1, "display_name": 1}',
    "a huge number as text": '{"content": %s, "display_name": 1}' % ("1" * 5000),
    "null as text": '{"content": null, "display_name": null}',
    "a list as text": '{"content": ["x"], "display_name": ["x"]}',
    "true as text": '{"content": true, "display_name": true}',
    "an unknown field whose name is no text": '{"\\ud800": 1, "content": "x", "display_name": "x"}',
}


@pytest.mark.parametrize("body", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
async def test_json_of_the_wrong_shape_is_422(
    api: WriteSide, text_route: tuple[str, str, str], body: str
) -> None:
    method, path, _ = text_route
    document = await refused(api, method, path, 422, content=body, headers=JSON)
    assert document["detail"]


@pytest.mark.parametrize("extra", ["author_id", "created_at", "x" * 500, "<script>"])
async def test_an_unknown_field_is_refused_and_named_only_when_its_name_is_plain(
    api: WriteSide, text_route: tuple[str, str, str], extra: str
) -> None:
    method, path, field = text_route
    document = await refused(api, method, path, 422, json={field: "x", extra: "secret"})
    (error,) = document["errors"]
    assert error["pointer"] == ("/" + extra if extra.isidentifier() and len(extra) < 65 else "/?")
    assert "secret" not in json.dumps(document)


async def test_a_field_that_is_sent_twice_is_refused(
    api: WriteSide, text_route: tuple[str, str, str]
) -> None:
    method, path, field = text_route
    for first in ('"x"', "1", "null", '{"a": 1, "a": 2}'):
        body = f'{{"{field}": {first}, "{field}": "x"}}'
        document = await refused(api, method, path, 422, content=body, headers=JSON)
        assert document["detail"] == "Send each field once."
    # The same name, written in another way.
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in field)
    body = f'{{"{escaped}": "x", "{field}": "x"}}'
    await refused(api, method, path, 422, content=body, headers=JSON)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query",
    [
        "limit=1&limit=2",
        "limit=1&limit=1",
        "limit=1&cursor=&limit",
        "limit=1&%6Cimit=1",
        "x=1&limit=1&x=2",
        "a+b=1&a%20b=1",
    ],
)
async def test_a_parameter_that_is_sent_twice_is_refused(
    api: WriteSide, path: str, query: str
) -> None:
    document = await refused(api, "GET", f"{path}?{query}", 422)
    assert document["detail"] == "Send each parameter once."


async def test_a_query_of_very_many_parameters_is_refused_before_each_is_looked_at(
    api: WriteSide,
) -> None:
    path = "/users/alice/following?limit=1"
    assert (await api("GET", path + "&" * 99)).status_code == 200
    many = "&".join(f"{n:x}" for n in range(6_000))
    document = await refused(api, "GET", f"{path}&{many}", 422)
    assert document["detail"] == "Send at most 100 parameters."


MANY = {
    "fields": "{" + ",".join(f'"{n:x}":1' for n in range(7_000)) + "}",
    "objects": '{"content":[' + ",".join(["{}"] * 21_000) + "]}",
    "integers": '{"content":[' + ",".join("1" * 30_000) + "]}",
}


@pytest.mark.parametrize("body", MANY.values(), ids=MANY)
async def test_a_body_of_very_many_values_is_refused_before_each_is_looked_at(
    api: WriteSide, text_route: tuple[str, str, str], body: str
) -> None:
    method, path, _ = text_route
    document = await refused(api, method, path, 422, content=body, headers=JSON)
    assert document["detail"].startswith("Send at most ")
    assert "errors" not in document


NOT_JSON = {
    "words": b"hello",
    "cut off": b'{"content": "x"',
    "two documents": b'{"content": "x"} {}',
    "single quotes": b"{'content': 'x'}",
    "NaN": b'{"content": NaN}',
    "Infinity": b'{"content": -Infinity}',
    "a raw control character": b'{"content": "\x00"}',
    "not UTF-8": b'{"content": "\xff"}',
    "a surrogate in UTF-8": b'{"content": "\xed\xa0\x80"}',
    "UTF-16": '{"content": "x"}'.encode("utf-16"),
    "a byte order mark": '\ufeff{"content": "x"}'.encode(),
    "lists in lists, unclosed": b"[" * 60_000,
    "objects in objects, unclosed": b'{"a":' * 12_000,
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
async def test_a_body_that_is_not_json_is_400(
    api: WriteSide, text_route: tuple[str, str, str], body: bytes
) -> None:
    method, path, _ = text_route
    await refused(api, method, path, 400, content=body, headers=JSON)


@pytest.mark.parametrize("depth", [50, 500, 900, 960, 990, 1_000, 5_000, 30_000])
async def test_deep_nesting_is_refused_wherever_it_is_noticed(
    api: WriteSide, text_route: tuple[str, str, str], depth: int
) -> None:
    method, path, field = text_route
    for body in ("[" * depth + "]" * depth, f'{{"{field}":{"[" * depth}{"]" * depth}}}'):
        await refused(api, method, path, 400, 422, content=body, headers=JSON)


async def test_no_body_at_all_is_422(api: WriteSide, text_route: tuple[str, str, str]) -> None:
    method, path, _ = text_route
    document = await refused(api, method, path, 422)
    assert document["errors"][0]["detail"] == "Send a JSON object."


async def test_64_kib_are_read_and_one_byte_more_is_413(
    api: WriteSide, text_route: tuple[str, str, str]
) -> None:
    method, path, field = text_route
    frame = len(json.dumps({field: ""}))
    largest = json.dumps({field: "x" * (65_536 - frame)})
    await refused(api, method, path, 422, content=largest, headers=JSON)
    await refused(api, method, path, 413, content=largest + " ", headers=JSON)


async def test_a_body_that_hides_its_length_is_counted(
    api: WriteSide, text_route: tuple[str, str, str]
) -> None:
    method, path, _ = text_route

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(70):
            yield b" " * 1024

    await refused(api, method, path, 413, content=chunks(), headers=JSON)


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json", ""]
)
async def test_json_sent_as_something_else_is_415(
    api: WriteSide, text_route: tuple[str, str, str], media_type: str
) -> None:
    method, path, field = text_route
    body = json.dumps({field: "x"})
    headers = {"content-type": media_type}
    await refused(api, method, path, 415, content=body, headers=headers)


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, identity", "GZIP"])
async def test_an_encoded_body_is_415(
    api: WriteSide, text_route: tuple[str, str, str], encoding: str
) -> None:
    method, path, field = text_route
    for content in (json.dumps({field: "x"}).encode(), gzip.compress(b"{}")):
        answer = await api(
            method, path, content=content, headers={**JSON, "content-encoding": encoding}
        )
        assert answer.status_code == 415
        assert answer.headers["accept-encoding"] == "identity"


async def test_a_body_may_say_that_it_is_not_encoded(api: WriteSide) -> None:
    headers = {**JSON, "content-encoding": "identity"}
    created = await api("POST", "/posts", content=b'{"content": "x"}', headers=headers)
    assert created.status_code == 201


async def test_json_may_name_its_charset(api: WriteSide) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    created = await api("POST", "/posts", content='{"content": "ü"}', headers=headers)
    assert created.status_code == 201


@pytest.mark.parametrize(
    "post_id",
    [
        "1",
        "not-a-uuid",
        "6fa459ea-ee8a-4ca4-894e-db77e160355e",  # version 4
        POST_ID.hex,
        f"urn:uuid:{POST_ID}",
        f"%7B{POST_ID}%7D",
        f"{POST_ID}%0A",
        f"{POST_ID}%00",
        "%F0%9F%A6%8A",
        "%FF",
    ],
)
async def test_a_malformed_post_id_is_422(api: WriteSide, post_id: str) -> None:
    for method, path in ROUTES_OF_POSTS:
        body = BODIES.get(method)
        document = await refused(api, method, path.format(post_id), 422, json=body)
        assert document["errors"][0]["pointer"] == "post_id"


@pytest.mark.parametrize(
    "user_id", ["a" * 65, "a%20b", "a%0A", "a%00", "a%2Bb", "%C3%A4", "%FF", "a@b"]
)
async def test_a_malformed_user_id_is_422(api: WriteSide, user_id: str) -> None:
    for method, path in ROUTES_OF_USERS:
        body = BODIES["PUT"] if path == "/users/{}" and method == "PUT" else None
        document = await refused(api, method, path.format(user_id), 422, json=body)
        assert document["errors"][0]["where"] == "path"


@pytest.mark.parametrize("user_id", [".", ".."])
async def test_the_ids_that_no_path_can_carry_are_refused(api: WriteSide, user_id: str) -> None:
    path = f"/users/{user_id}"  # sent by hand: every HTTP client would resolve it first
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"x-user-id", b"alice")],
    }
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    await api.app(scope, receive, send)
    assert statuses == [422]


@pytest.mark.parametrize("actor", [None, "", "a b", "a" * 65, "..", "a/b", "ü"])
async def test_without_a_well_formed_user_every_route_is_401(
    api: WriteSide, actor: str | None
) -> None:
    headers = {} if actor is None else {"X-User-Id": actor.encode("latin-1")}
    routes = [
        ("POST", "/posts"),
        *((method, path.format(POST_ID)) for method, path in ROUTES_OF_POSTS),
        *((method, path.format("bob")) for method, path in ROUTES_OF_USERS),
    ]
    for method, path in routes:
        answer = await api(method, path, actor=None, headers=headers, json=BODIES.get(method))
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"]
        problem(answer)
    assert len(await api.events()) == 1


async def test_two_user_ids_in_one_request_are_401(api: WriteSide) -> None:
    twice = httpx2.Headers([("X-User-Id", "alice"), ("X-User-Id", "bob")])
    answer = await api.client.get("/users/alice", headers=twice)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "limit", ["0", "101", "-1", "ten", "1.0", "1e1", " 5", "1_0", "", "9" * 50]
)
async def test_a_limit_outside_1_to_100_is_422(api: WriteSide, limit: str) -> None:
    for path in LISTS:
        document = await refused(api, "GET", path, 422, params={"limit": limit})
        assert document["errors"][0]["pointer"] == "limit"


async def test_a_broken_foreign_or_forged_cursor_is_422(api: WriteSide) -> None:
    followers = ["bob", "carol"]
    await api.registered(*followers, "dave", "erin")
    for follower in followers:
        await api("PUT", f"/users/{follower}/following/alice", actor=follower)
        await api("PUT", f"/users/alice/following/{follower}")
    for other in ("dave", "erin"):
        await api("PUT", f"/users/alice/muted/{other}")
        await api("PUT", f"/users/alice/blocked/{other}")
    await api.project()
    for path in LISTS:
        cursor = (await api("GET", path, params={"limit": 1})).json()["next_cursor"]
        assert (await api("GET", path, params={"cursor": cursor})).status_code == 200
        changed = ("B" if cursor[0] == "A" else "A") + cursor[1:]
        other_list = LISTS[path == LISTS[0]]
        foreign = (await api("GET", other_list, params={"limit": 1})).json()["next_cursor"]
        for wrong in (changed, cursor[:-1], cursor + "A", cursor + "=", foreign, "x", "ü", "\x00"):
            document = await refused(api, "GET", path, 422, params={"cursor": wrong})
            assert document["errors"][0]["pointer"] == "cursor"
        others = path.replace("alice", "bob")
        await refused(api, "GET", others, 422, actor="bob", params={"cursor": cursor})


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"0.1.bob", b"-1.0.bob", b"9.0.bob", b"0.x.bob", b"\xff", b"1.16.bob"]
)
async def test_a_cursor_with_a_valid_checksum_over_nonsense_is_422(
    api: WriteSide, payload: bytes
) -> None:
    forged = encode_cursor(payload, scope="followers:alice")
    await refused(api, "GET", "/users/alice/followers", 422, params={"cursor": forged})


async def test_unknown_query_parameters_are_ignored(api: WriteSide) -> None:
    assert (await api("GET", "/users/alice/following?utm=1&limit=1")).status_code == 200


async def test_a_trailing_slash_is_another_path_and_no_redirect(api: WriteSide) -> None:
    """A redirect would be sent before the credential is checked, and to any host that `Host` names."""
    answer = await api("GET", "/users/bob/", headers={"Host": "elsewhere.example"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "location" not in answer.headers


async def test_unknown_routes_and_methods_are_problems_too(api: WriteSide) -> None:
    assert (await refused(api, "GET", "/nothing/here", 404))["title"] == "No such route"
    answer = await api("PUT", "/posts", json={"content": "x"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"
    problem(answer)
    answer = await api("POST", f"/posts/{POST_ID}", json={"content": "x"})
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH"
    answer = await api("POST", "/openapi.json", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_a_value_of_the_wrong_type_or_choice_is_explained_in_our_words(
    api: WriteSide,
) -> None:
    wrong = await api("POST", "/posts", json={"content": 5})
    empty = await api("PUT", "/users/alice", json={"display_name": ""})
    details = [answer.json()["errors"][0]["detail"] for answer in (wrong, empty)]
    assert details == ["Send text, in quotes.", "Write something: it is empty."]
