"""The plan of `make up`, its configuration for supervisord, and its description for `make status`."""

from __future__ import annotations

import json
import shlex
from configparser import RawConfigParser
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from deploy.gateway.configure import connection_manager
from deploy.local import supervisord
from deploy.local.commands import command, gateway_configuration
from deploy.local.data_format import check_data_format
from deploy.local.plan import MOST_WORKERS, ROOT, Plan
from deploy.local.supervisor import Supervisor
from deploy.local.system import read_system, write_system
from deploy.local.up import refuse_taken_ports, where, with_cache, with_identity
from fanfold.core.data_format import DATA_FORMAT
from fanfold.core.errors import Fault, Unavailable
from fanfold.http.identity.development import create_key


def a_plan(
    home: Path, *, workers: int = 2, cache_server: str | None = "redis-server", nodes: int = 1
) -> Plan:
    return Plan(
        home,
        gateway_port=8080,
        first_port=18100,
        workers=workers,
        cache_server=cache_server,
        nodes=nodes,
    )


def configured(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, line: list[str]
) -> dict[str, dict[str, str]]:
    monkeypatch.setattr(supervisord, "command", lambda _plan, _name: line)
    # As supervisord reads it.
    parser = RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(supervisord.configuration(plan, []))
    return {section: dict(parser[section]) for section in parser.sections()}


def test_no_two_listeners_share_a_port_with_the_most_workers(tmp_path: Path) -> None:
    ports = list(a_plan(tmp_path, workers=MOST_WORKERS).ports.values())
    assert len(ports) == len(set(ports)) == MOST_WORKERS + 12


def test_a_gateway_in_the_block_of_the_others_is_refused(tmp_path: Path) -> None:
    plan = a_plan(tmp_path)
    for port in (plan.port("console"), plan.port("fanout-2")):
        with pytest.raises(Fault, match="PORT=8080, or PORTS=19100"):
            refuse_taken_ports(replace(plan, gateway_port=port))


def test_what_make_up_prints_says_how_to_connect_a_consumer(tmp_path: Path) -> None:
    plan = a_plan(tmp_path)
    console = Console(width=200, record=True, file=StringIO())
    console.print(where(plan, plan.system()))
    shown = console.export_text()
    assert f"Kafka at {plan.system().settings['kafka_bootstrap']}" in shown
    assert ".venv/bin/fanfold events tail --data" in shown


def test_another_number_of_workers_changes_no_port(tmp_path: Path) -> None:
    few, many = a_plan(tmp_path, workers=1).ports, a_plan(tmp_path, workers=5).ports
    assert few.items() <= many.items()


def test_a_command_survives_spaces_and_percent_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = a_plan(tmp_path / "100 % mine")
    line = ["/opt/with space/java", "-Dshare=50%", f"{plan.data}/*"]
    section = configured(plan, monkeypatch, line)["program:kafka"]
    assert shlex.split(section["command"].replace("%%", "%")) == line
    assert section["stdout_logfile"].replace("%%", "%") == str(plan.log("kafka"))


def test_every_process_is_restarted_and_only_engines_start_with_supervisord(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = a_plan(tmp_path)
    sections = configured(plan, monkeypatch, ["true"])
    programs = {name: sections[f"program:{name}"] for name in plan.names}
    assert {section["autorestart"] for section in programs.values()} == {"true"}
    started = {name for name, section in programs.items() if section["autostart"] == "true"}
    assert started == {"kafka", "cassandra", "cache"}


def test_the_services_use_the_cache_that_is_started(tmp_path: Path) -> None:
    system = a_plan(tmp_path).system()
    assert system.settings["cache"] == system.process("cache").ready == "redis://127.0.0.1:18108"


def test_without_a_server_there_is_no_cache(tmp_path: Path) -> None:
    plan = a_plan(tmp_path, cache_server=None)
    assert plan.engines == ("kafka", "cassandra")
    assert "cache" not in plan.ports
    assert plan.system().settings["cache"] == "none"


def test_a_cache_that_the_environment_names_is_used_and_none_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANFOLD_CACHE", "redis://elsewhere:6379")
    plan = with_cache(a_plan(tmp_path, cache_server=None))
    assert plan.cache_server is None
    assert plan.system().settings["cache"] == "redis://elsewhere:6379"


def test_tokens_of_the_development_issuer_are_accepted_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AUTH", "JWT_ISSUER", "JWT_JWKS_URL", "JWT_DEVELOPMENT_KEY"):
        monkeypatch.delenv(f"FANFOLD_{name}", raising=False)
    settings = with_identity(a_plan(tmp_path)).system().settings
    assert settings["auth"] == "jwt"
    assert settings["jwt_development_key"] == str(tmp_path / "development-issuer.pem")
    monkeypatch.setenv("FANFOLD_AUTH", "jwt")
    assert with_identity(a_plan(tmp_path)).development_issuer
    monkeypatch.setenv("FANFOLD_JWT_ISSUER", "https://issuer.example/")
    assert "auth" not in with_identity(a_plan(tmp_path)).system().settings
    monkeypatch.delenv("FANFOLD_JWT_ISSUER")
    monkeypatch.setenv("FANFOLD_AUTH", "header")
    assert "auth" not in with_identity(a_plan(tmp_path)).system().settings


def test_a_person_without_a_server_reads_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FANFOLD_CACHE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    plan = a_plan(tmp_path, cache_server=None)
    assert with_cache(plan) == plan
    said = " ".join(capsys.readouterr().out.split())
    assert "no redis-server or valkey-server is installed" in said
    assert "sudo apt-get install redis-server" in said

    server = tmp_path / "valkey-server"
    server.write_text("")
    server.chmod(0o755)
    assert with_cache(plan).cache_server == str(server)


def test_the_cache_listens_on_loopback_keeps_nothing_and_evicts_any_key(tmp_path: Path) -> None:
    plan = a_plan(tmp_path / "with space")
    plan.configuration.mkdir(parents=True)
    server, path = command(plan, "cache")
    assert server == "redis-server"
    lines = [shlex.split(line, comments=True) for line in Path(path).read_text().splitlines()]
    options = {line[0]: line[1:] for line in lines if line}
    assert options["bind"] == ["127.0.0.1"]
    assert options["port"] == ["18108"]
    assert options["dir"] == [str(plan.configuration)]
    assert (options["save"], options["appendonly"]) == ([""], ["no"])
    assert (options["maxmemory"], options["maxmemory-policy"]) == (["256mb"], ["allkeys-lru"])


def test_each_worker_has_a_fixed_name_and_a_port_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = configured(a_plan(tmp_path), monkeypatch, ["true"])
    assert [sections[f"program:fanout-{n}"]["environment"] for n in (1, 2)] == [
        'FANFOLD_PORT="18111",FANFOLD_WORKER_ID="fanout-1"',
        'FANFOLD_PORT="18112",FANFOLD_WORKER_ID="fanout-2"',
    ]


@pytest.mark.parametrize("name", ["it's", 'a "b"', "a ;b", "a #b"])
def test_a_directory_that_supervisord_cannot_name_is_refused(name: str) -> None:
    with pytest.raises(Fault, match="in its name"):
        supervisord.refuse_unwritable(Path("/") / name)


def test_a_long_path_has_its_socket_in_the_temporary_directory(tmp_path: Path) -> None:
    long = a_plan(tmp_path / ("d" * 100))
    assert len(str(long.socket)) < 100
    assert long.socket != a_plan(tmp_path / ("e" * 100)).socket
    assert a_plan(Path("/short")).socket == Path("/short/supervisor.sock")


def test_the_description_of_a_system_is_read_back(tmp_path: Path) -> None:
    system = a_plan(tmp_path).system()
    assert read_system(tmp_path) is None
    write_system(tmp_path, system)
    assert read_system(tmp_path) == system


def test_a_broken_description_says_what_writes_it_again(tmp_path: Path) -> None:
    (tmp_path / "system.json").write_text("{}")
    with pytest.raises(Fault, match="make up"):
        read_system(tmp_path)


def test_a_supervisor_that_does_not_run_is_unavailable(tmp_path: Path) -> None:
    nobody = Supervisor(str(tmp_path / "no.sock"))
    assert not nobody.alive()
    with pytest.raises(Unavailable):
        nobody.processes()


def test_the_gateway_verifies_tokens_of_the_development_issuer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AUTH", "JWT_ISSUER", "JWT_JWKS_URL", "CORS_ORIGINS"):
        monkeypatch.delenv(f"FANFOLD_{name}", raising=False)
    plan = a_plan(tmp_path)
    plan.configuration.mkdir()
    create_key(plan.development_key)

    def filters(plan: Plan) -> tuple[list[str], str]:
        manager = connection_manager(gateway_configuration(plan))
        names = [found["name"].rpartition(".")[2] for found in manager["http_filters"]]
        return names, json.dumps(manager["early_header_mutation_extensions"])

    bounds = ["buffer", "local_ratelimit", "router"]
    assert filters(plan)[0] == ["jwt_authn", *bounds]
    monkeypatch.setenv("FANFOLD_CORS_ORIGINS", "https://app.example")
    assert filters(plan)[0] == ["cors", "jwt_authn", *bounds]
    # Another issuer's tokens are verified by the services; the client's user id never has a limit of its own.
    own = replace(plan, development_issuer=False)
    monkeypatch.setenv("FANFOLD_AUTH", "jwt")
    names, early = filters(own)
    assert names == ["cors", *bounds]
    assert '{"remove": "x-user-id"}' in early
    monkeypatch.setenv("FANFOLD_AUTH", "header")
    assert "remove" not in filters(own)[1]


def test_the_gateways_template_has_placeholders_for_each_service() -> None:
    text = (ROOT / "deploy" / "gateway" / "envoy.yaml").read_text()
    for port in ("GATEWAY", "ADMIN", "POST", "GRAPH", "FEED", "CONSOLE"):
        assert text.count(f"port_value: {port}_PORT ") == 1
        text = text.replace(f"{port}_PORT", "1")
    for host in ("GATEWAY", "POST", "GRAPH", "FEED", "CONSOLE"):
        assert text.count(f"address: {host}_HOST,") == 1
    document = yaml.safe_load(text)
    clusters = [cluster["name"] for cluster in document["static_resources"]["clusters"]]
    assert clusters == ["post", "graph", "feed", "console", "live"]


def test_a_new_data_directory_is_marked_and_accepted_again(tmp_path: Path) -> None:
    plan = a_plan(tmp_path)
    check_data_format(plan)
    (plan.data / "kafka").mkdir()
    check_data_format(plan)
    assert (plan.data / "format").read_text() == f"{DATA_FORMAT}\n"


@pytest.mark.parametrize(("mark", "which"), [(None, "an earlier"), ("99", "a later")])
def test_a_data_directory_of_another_format_is_refused_in_one_line_that_says_what_to_type(
    tmp_path: Path, mark: str | None, which: str
) -> None:
    plan = a_plan(tmp_path)
    (plan.data / "kafka").mkdir(parents=True)
    if mark is not None:
        (plan.data / "format").write_text(mark)

    with pytest.raises(Fault) as refused:
        check_data_format(plan)

    said = str(refused.value)
    assert f"written by {which} version" in said
    assert f"`make down DATA={tmp_path}; rm -r {tmp_path}`" in said
    assert "`make up DATA=" in said
    assert "\n" not in said
