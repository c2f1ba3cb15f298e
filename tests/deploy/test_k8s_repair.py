"""The weekly repair of Cassandra, against stand-ins of the management API: the nodes of a ring, with their certificates."""

from __future__ import annotations

import importlib.util
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.certificates import Authority
from tests.support.k8s import MANIFESTS

NODES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
NAME = "localhost"
RING = [
    (-9, -3, ("127.0.0.1", "127.0.0.2", "127.0.0.3")),
    (-3, 0, ("127.0.0.2", "127.0.0.3", "127.0.0.1")),
    (0, 4, ("127.0.0.1", "127.0.0.3", "127.0.0.2")),
    (4, -9, ("127.0.0.3", "127.0.0.1", "127.0.0.2")),
]
Program = Any


class Ring:
    """What the nodes were asked. A job takes three looks, unless `ends` has another end for its node."""

    def __init__(self) -> None:
        self.repairs: list[tuple[str, dict[str, Any]]] = []
        self.stopped: list[str] = []
        self.ends: dict[str, str] = {}
        self.running: set[str] = set()
        self.at_once = 0
        self._looks: dict[str, int] = {}

    def answer(self, node: str, method: str, target: str, body: Any) -> tuple[int, object]:
        path = urlsplit(target).path
        if (method, path) == ("GET", "/api/v2/tokens/rangetoendpoint"):
            held = [{"tokens": [s, e], "endpoints": list(nodes)} for s, e, nodes in RING]
            return 200, {"token_range_to_endpoints": held}
        if (method, path) == ("PUT", "/api/v2/repairs"):
            self.repairs.append((node, body))
            self.running.add(node)
            self.at_once = max(self.at_once, len(self.running))
            self._looks[node] = 0
            return 202, {"repair_id": f"repair-{node}"}
        if (method, path) == ("DELETE", "/api/v2/repairs"):
            self.stopped.append(node)
            self.running.discard(node)
            return 202, None
        assert (method, path) == ("GET", "/api/v0/ops/executor/job")
        assert parse_qs(urlsplit(target).query) == {"job_id": [f"repair-{node}"]}
        self._looks[node] += 1
        end = self.ends.get(node, "COMPLETED")
        status = end if self._looks[node] == 3 else "WAITING"
        if status != "WAITING":
            self.running.discard(node)
        if status == "forgotten":
            return 404, {}
        return 200, {"id": f"repair-{node}", "status": status, "error": "no replica"}


def a_node(ring: Ring, node: str, port: int, tls: ssl.SSLContext) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(sent) if sent else None
            status, said = ring.answer(node, self.command, self.path, body)
            text = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_DELETE = answer  # noqa: N815 - the names that the library looks for

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A refused handshake is one of the tests."""

    server = Server((node, port), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


def nodes_of(ring: Ring, tls: ssl.SSLContext) -> list[ThreadingHTTPServer]:
    """On one port of three addresses: one that is free at the first may be taken at another."""
    for _ in range(20):
        servers: list[ThreadingHTTPServer] = []
        try:
            for node in NODES:
                port = servers[0].server_address[1] if servers else 0
                servers.append(a_node(ring, node, port, tls))
        except OSError:
            for server in servers:
                server.server_close()
        else:
            return servers
    raise AssertionError("no port is free at all three addresses")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("management") / "ca", name="cassandra")


@pytest.fixture(scope="module")
def certificates(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As they are mounted into the pod."""
    mounted = tmp_path_factory.mktemp("mounted")
    client = authority.identity("client")
    for source, name in (
        (authority.ca, "ca.crt"),
        (client.cert, "tls.crt"),
        (client.key, "tls.key"),
    ):
        (mounted / name).write_bytes(source.read_bytes())
    return mounted


@pytest.fixture
def ring() -> Ring:
    return Ring()


@pytest.fixture
def program(ring: Ring, authority: Authority) -> Iterator[ModuleType]:
    """As it is mounted into its pod, and the nodes that it calls."""
    spec = importlib.util.spec_from_file_location(
        "repair", MANIFESTS / "components/cassandra/repair.py"
    )
    assert spec
    assert spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    server = authority.identity("server")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(server.cert, server.key)
    with ExitStack() as stack:
        servers = nodes_of(ring, tls)
        for node in servers:
            thread = threading.Thread(target=node.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(node.server_close)
            stack.callback(node.shutdown)
        port = servers[0].server_address[1]
        vars(program).update(PORT=port, LOOK_AGAIN_S=0.0)
        yield program


def run(program: Program, certificates: Path, *, within_s: float = 600) -> list[str]:
    call = program.Management(NAME, certificates=certificates)
    wanted = [("fanfold", ["users", "posts"]), ("system_auth", [])]
    return list(program.repair(call, NAME, wanted, within_s=within_s))


def test_every_range_is_repaired_once_by_a_node_that_holds_it_and_one_node_at_a_time(
    program: Program, ring: Ring, certificates: Path
) -> None:
    lines = run(program, certificates)

    for keyspace, tables in (("fanfold", ["users", "posts"]), ("system_auth", [])):
        asked = [(node, body) for node, body in ring.repairs if body["keyspace"] == keyspace]
        ranges = [
            (taken["start"], taken["end"], node)
            for node, body in asked
            for taken in body["associated_tokens"]
        ]
        assert sorted(ranges) == sorted((start, end, nodes[0]) for start, end, nodes in RING)
        assert all(body["tables"] == tables and body["full_repair"] for _, body in asked)
    assert ring.at_once == 1
    assert lines[0] == "fanfold: 127.0.0.1 has repaired 2 ranges"
    assert len(lines) == 6


@pytest.mark.parametrize(("end", "said"), [("ERROR", "no replica"), ("forgotten", "404")])
def test_a_node_that_fails_is_named_and_the_others_are_repaired(
    program: Program, ring: Ring, certificates: Path, end: str, said: str
) -> None:
    ring.ends["127.0.0.2"] = end

    with pytest.raises(program.Failed, match=f"127.0.0.2.*{said}"):
        run(program, certificates)

    assert {node for node, _ in ring.repairs} == set(NODES)


def test_a_repair_that_takes_too_long_is_stopped_and_no_other_begins(
    program: Program, ring: Ring, certificates: Path
) -> None:
    ring.ends["127.0.0.1"] = "WAITING"
    looks = iter([0.0, 0.0, 0.0])
    # Before the ring is asked, before the first repair, at its first look; later it is too late.
    program.time = type(
        "Clock", (), {"monotonic": lambda: next(looks, 1e9), "sleep": lambda _: None}
    )

    with pytest.raises(
        program.Failed, match=r"127\.0\.0\.1 was not ready in time.*no time was left"
    ):
        run(program, certificates)

    assert ring.stopped == ["127.0.0.1"]
    assert [node for node, _ in ring.repairs] == ["127.0.0.1"]


def test_a_server_of_another_authority_is_told_nothing(
    program: Program, ring: Ring, certificates: Path, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", name="other")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_bytes((certificates / name).read_bytes())
    (tmp_path / "ca.crt").write_bytes(other.ca.read_bytes())

    with pytest.raises(program.Failed, match="certificate verify failed"):
        run(program, tmp_path)

    assert ring.repairs == []
