"""`/ops`: who may see it, that it changes nothing, and that `fanfold status` shows it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from all_in_one.system import all_in_one
from console_service import ops_routes
from console_service.console import Console
from console_service.explain.explanations import Explanations
from console_service.operators import Operators
from console_service.overview import FIGURES, totals
from console_service.processes import Process, RemoteProcess, ThisProcess
from console_service.readings import read_metrics
from console_service.samples import Samples
from console_service.sizes import Sizes
from console_service.work import Status
from fanfold.adapters.memory import memory_stores
from fanfold.adapters.sqlite.log import SqliteLog
from fanfold.adapters.sqlite.log_view import SqliteLogView
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Fault, Unavailable
from fanfold.core.exit_codes import ExitCode
from fanfold.core.ports.engines import Tables
from fanfold.core.settings import Settings
from fanfold.http.app import make_app
from fanfold.http.ask import READY
from fanfold.http.readiness import NotReady, readiness
from fanfold.ops.command_line import app
from fanfold.ops.running import ask
from fanfold.ops.status import show_status
from tests.support.eventually import eventually
from tests.support.logs import NoLogView, a_post
from tests.support.probes import free_port
from tests.support.served import listening, served
from tests.support.tokens import a_token, an_identity

HERE, ELSEWHERE = "127.0.0.1", "10.0.0.7"


def a_console(*processes: Process) -> Console:
    """A console of a log that is away."""
    view = NoLogView()
    settings, clock = Settings(), SystemClock()
    stores = memory_stores(settings, clock=clock)
    sizes = Sizes(stores.users, clock, threshold=settings.pull_threshold, hysteresis=0.8)
    samples = Samples(view, processes, clock)
    explain = Explanations(Tables(stores), settings=settings, clock=clock)
    return Console(view, processes, samples, jobs=stores.jobs, sizes=sizes, explain=explain)


def an_app(*, auth: str = "header") -> FastAPI:
    settings = Settings().model_copy(update={"auth": auth})
    return make_app(
        title="console",
        routers=[ops_routes.router(settings, a_console())],
        ready=readiness({}),
        identity=an_identity(SystemClock()) if auth == "jwt" else None,
    )


async def asked(
    app: FastAPI, method: str = "GET", path: str = "/ops/work", *, peer: str = HERE, **headers: str
) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    transport = httpx2.ASGITransport(app=app, client=(peer, 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:1") as client:
        return await client.request(method, path, headers=named)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1"])
async def test_this_machine_needs_no_credential(host: str, peer: str) -> None:
    assert (await asked(an_app(), peer=peer, host=host)).status_code == 200
    through_a_gateway = {"x_fanfold_address": "127.0.0.1/32", "x_forwarded_for": "127.0.0.1, ::1"}
    forwarded = await asked(an_app(), peer=peer, host=host, **through_a_gateway)
    assert forwarded.status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "feeds.example"},
        {"host": "console"},
        {"host": "127.0.0.1.evil.example"},
        {"x_forwarded_for": ELSEWHERE},
        {"x_forwarded_for": f"127.0.0.1, {ELSEWHERE}"},
        {"x_forwarded_for": f"{ELSEWHERE}, 127.0.0.1"},
        {"x_forwarded_for": "unknown"},
        {"x_forwarded_for": ""},
        {"x_fanfold_address": f"{ELSEWHERE}/32"},
        {"x_fanfold_address": "127.0.0.1/32", "x_forwarded_for": ELSEWHERE},
        {"x_fanfold_address": "0.0.0.0/0"},
        {"x_real_ip": ELSEWHERE},
        {"forwarded": f"for={ELSEWHERE}"},
    ],
)
async def test_a_request_by_another_name_or_through_a_gateway_is_not_of_this_machine(
    headers: dict[str, str],
) -> None:
    refused = await asked(an_app(), **headers)
    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:fanfold:problem:operators-only"
    assert (await asked(an_app(auth="jwt"), **headers)).status_code == 401


async def test_a_user_id_is_no_proof_of_an_operator() -> None:
    assert (await asked(an_app(), peer=ELSEWHERE, x_user_id="alice")).status_code == 403
    assert (await asked(an_app(auth="jwt"), peer=ELSEWHERE, x_user_id="alice")).status_code == 401


async def test_from_elsewhere_a_token_with_the_admin_scope_is_needed() -> None:
    now_s = SystemClock().now_ms() / 1000

    async def status(scope: str) -> int:
        token = f"Bearer {a_token(now_s=now_s, scope=scope)}"
        answer = await asked(an_app(auth="jwt"), peer=ELSEWHERE, authorization=token)
        return answer.status_code

    assert await status("fanfold:read fanfold:write") == 403
    assert await status("fanfold:admin") == 200


async def test_every_route_is_guarded_and_reads_only() -> None:
    app = an_app()
    found = [
        (context.path, context.methods, {type(d.call) for d in context.dependant.dependencies})
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute) and str(context.path).startswith("/ops")
    ]
    assert found
    assert all(methods == {"GET"} and Operators in guards for _, methods, guards in found)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await asked(app, method)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_without_the_log_the_answer_says_why() -> None:
    document = (await asked(an_app())).json()
    assert (document["log"], document["healthy"], document["work"]) == ("the log", False, None)
    assert Status.from_json(document) == Status(None, document["work_unknown"])


@pytest.fixture(autouse=True)
def _logs_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logging.disable", lambda: None)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a system as of `make run` answers."""

    @asynccontextmanager
    async def application() -> AsyncIterator[FastAPI]:
        path = tmp_path_factory.mktemp("run") / "log.sqlite"
        async with all_in_one(Settings(), clock=SystemClock(), path=path) as system:
            await system.engines.log.append(a_post(by="bob"))
            await system.drained()
            yield system.app

    with served(application) as url:
        yield url


def test_the_status_beside_a_healthy_make_run_is_healthy(
    running: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FANFOLD_PORT", running.rpartition(":")[2])
    assert show_status(tmp_path, as_json=True) == ExitCode.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["healthy"]
    assert document["log"] == f"the embedded log at {running}"
    assert (document["work"]["lag"], document["work"]["dead_letters"]) == (0, 0)
    posts = [lag for lag in document["work"]["lags"] if lag["topic"] == "posts.v1"]
    assert sum(lag["committed"] for lag in posts) == 1


def test_a_status_that_finds_nothing_says_how_to_ask_another_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FANFOLD_PORT", str(free_port()))
    monkeypatch.setenv("FANFOLD_KAFKA_BOOTSTRAP", f"127.0.0.1:{free_port()}")
    assert show_status(tmp_path, as_json=False) == ExitCode.FAILED
    assert "--url http://127.0.0.1:PORT" in capsys.readouterr().err


def test_a_kafka_that_is_named_is_never_mistaken_for_make_run(
    running: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    away = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("FANFOLD_PORT", running.rpartition(":")[2])
    monkeypatch.setenv("FANFOLD_KAFKA_BOOTSTRAP", away)
    assert show_status(tmp_path, as_json=True) == ExitCode.FAILED
    assert json.loads(capsys.readouterr().out)["log"] == f"Kafka at {away}"
    assert show_status(tmp_path, url=running, as_json=True) == ExitCode.DONE


def test_where_make_up_is_down_the_status_is_that_of_make_run(
    running: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FANFOLD_PORT", running.rpartition(":")[2])
    settings: dict[str, Any] = {"kafka_bootstrap": f"127.0.0.1:{free_port()}"}
    (tmp_path / "system.json").write_text(json.dumps({"settings": settings}))
    assert show_status(tmp_path, as_json=True) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["log"] == f"the embedded log at {running}"


def test_a_question_without_an_answer_is_reported_in_one_line(running: str) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        ask(f"http://127.0.0.1:{free_port()}", "/ops/work")
    with pytest.raises(Fault, match=r"use one as http://127\.0\.0\.1:8080"):
        ask("localhost:8080", "/ops/work")
    with pytest.raises(Fault, match=r"See /openapi\.json for the routes"):
        ask(running, "/ops/nothing")
    with pytest.raises(Fault, match="is no JSON"):
        ask(running, "/metrics")


async def test_a_view_of_a_log_that_was_closed_says_so(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.sqlite", clock=SystemClock(), source="test")
    async with log:
        pass
    with pytest.raises(Unavailable):
        await SqliteLogView(log).backlog(most_commands=1)


@pytest.mark.slow
async def test_the_overview_is_what_the_metrics_say(running: str) -> None:
    async with httpx2.AsyncClient(base_url=running) as client:

        async def equal() -> bool:
            # A sample is shared for a second.
            overview = (await client.get("/ops/overview")).json()
            metrics = read_metrics((await client.get("/metrics")).text)
            return overview["totals"] == totals({"all in one": metrics}) and bool(metrics.ages)

        await eventually(equal, within_s=30, what="an overview of what was counted last")
        overview = (await client.get("/ops/overview")).json()
    assert overview["healthy"]
    assert overview["processes"] == [{"name": "all in one", "readiness": "ready", "healthy": True}]
    assert overview["totals"]["delivery_ages"] >= 1
    figures = {figure["name"]: figure["values"] for figure in overview["figures"]}
    assert list(figures) == [figure.name for figure in FIGURES]
    assert {len(values) for values in figures.values()} == {len(overview["at_ms"])}
    assert figures["lag"][-1] == figures["fanouts"][-1] == figures["dead_letters"][-1] == 0
    assert figures["streams"][-1] == 0


async def test_an_empty_overview_shows_no_data_and_why() -> None:
    overview = (await asked(an_app(), path="/ops/overview")).json()
    assert not overview["healthy"]
    assert overview["log_unknown"].startswith("away")
    assert overview["processes"] == []
    assert {tuple(figure["values"]) for figure in overview["figures"]} == {(None,)}


async def test_a_process_is_asked_for_its_readiness_and_its_metrics(running: str) -> None:
    process = RemoteProcess("all in one", running)
    assert await process.readiness() == READY
    assert "fanfold_fanout_deliveries_total" in (await process.metrics() or "")
    away = RemoteProcess("away", f"http://127.0.0.1:{free_port()}")
    assert (await away.readiness(), await away.metrics()) == ("no answer", None)


@asynccontextmanager
async def answering(sent: bytes) -> AsyncIterator[str]:
    """The address of a server that sends these bytes to each client and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, HERE, 0) as server:
        yield f"http://{HERE}:{server.sockets[0].getsockname()[1]}"


async def test_half_of_an_answer_is_no_answer() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nfanfold_feed_streams 1\n"
    async with answering(cut) as url:
        process = RemoteProcess("ended", url)
        assert (await process.readiness(), await process.metrics()) == ("no answer", None)


async def test_a_server_that_is_not_fanfold_is_named_without_a_traceback() -> None:
    async with answering(b"SSH-2.0-OpenSSH_9.2\r\n") as url:
        with pytest.raises(Fault, match="is not Fanfold"):
            await asyncio.to_thread(ask, url, "/ops/overview")


@pytest.mark.parametrize("url", ["http://[::1", "http://localhost:http", "http://a b", "http://:1"])
def test_a_url_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Fault, match="is no address"):
        ask(url, "/ops/overview")


async def test_a_process_that_is_not_ready_says_why() -> None:
    async def full() -> None:
        raise NotReady("No answer from the log.")

    app = make_app(title="a service", routers=[], ready=full)
    async with listening(app) as port:
        remote = RemoteProcess("post", f"http://127.0.0.1:{port}")
        assert await remote.readiness() == "No answer from the log."
    this = ThisProcess("all in one", full, lambda: "")
    assert await this.readiness() == "No answer from the log."


@pytest.mark.parametrize("options", [["--once"], ["--json"]])
def test_top_looks_once_and_its_exit_status_is_the_health(
    running: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(["top", "--url", running, *options], standalone_mode=False) == ExitCode.DONE
    out = capsys.readouterr().out
    if options == ["--json"]:
        assert json.loads(out)["log"] == "the embedded log"
    else:
        assert out.splitlines()[-1].rstrip() == "healthy"
