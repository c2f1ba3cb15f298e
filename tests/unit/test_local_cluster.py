"""The plan of `make up NODES=3`: what is there three times, where it listens, and how the gateway shares out requests."""

from __future__ import annotations

import shlex
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from console_service.work import Status, work_of
from deploy.gateway.configure import connection_manager
from deploy.local import engine_commands, up
from deploy.local.commands import command, environment, gateway_configuration
from deploy.local.data_format import check_data_format, nodes_of
from deploy.local.plan import Plan
from deploy.local.status import LocalStatus
from fanfold.adapters.kafka.replicas import LogCopies, copies_of
from fanfold.core.errors import Fault
from fanfold.core.read_settings import read_settings
from fanfold.http.identity.development import create_key
from fanfold.ops.copies import Copies, read_copies
from tests.unit.test_local_status import a_process, printed
from tests.unit.test_local_system import a_plan, configured
from tests.unit.test_status import a_backlog

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(engine_commands, "_java", lambda: "java")
    found = a_plan(tmp_path, nodes=3)
    for directory in (found.configuration, found.data):
        directory.mkdir()
    create_key(found.development_key)
    return found


def file_of(plan: Plan, name: str) -> str:
    command(plan, name)
    (path,) = plan.configuration.glob(f"{name}.*")
    return path.read_text()


def started(plan: Plan, name: str) -> dict[str, str]:
    """The properties of its JVM, as the shell of its command would set them now."""
    command_line = command(plan, name)
    command_line[command_line.index("java")] = "/bin/echo"
    said = subprocess.run(command_line, capture_output=True, text=True, check=True).stdout
    words = (word.removeprefix("-D").partition("=") for word in said.split())
    return {key: value for key, _, value in words}


def test_there_are_three_brokers_and_nodes_a_cache_with_a_replica_and_two_of_each_service(
    plan: Plan,
) -> None:
    kinds = Counter(name.rstrip("-123") for name in plan.names)
    assert kinds == {
        "kafka": 3,
        "cassandra": 3,
        "cache": 1,
        "cache-replica": 1,
        "post": 2,
        "graph": 2,
        "feed": 2,
        "console": 2,
        "fanout": 2,
        "activity-sweep": 1,
        "gateway": 1,
    }


def test_no_two_processes_share_an_address(plan: Plan) -> None:
    listening = [name for name in plan.names if name != "activity-sweep"]
    addresses = [(plan.host(name), plan.port(name)) for name in listening]
    assert len(set(addresses)) == len(addresses)
    assert {plan.host(f"cassandra-{n}") for n in (1, 2, 3)} == set(HOSTS) == set(plan.hosts)
    assert {port for _, port in addresses} <= set(plan.ports.values())


def test_everything_has_three_copies_and_the_services_know_all_of_them(plan: Plan) -> None:
    settings = plan.system().settings
    assert (settings["kafka_replication"], settings["cassandra_replication"]) == (3, 3)
    assert settings["kafka_bootstrap"] == ",".join(f"{host}:18100" for host in HOSTS)
    assert settings["cassandra_hosts"] == ",".join(HOSTS)
    assert environment(plan, "post-2")["FANFOLD_HOST"] == "127.0.0.2"
    processes = environment(plan, "console-1")["FANFOLD_CONSOLE_PROCESSES"]
    assert "post-2=http://127.0.0.2:18105" in processes
    assert "fanout-2=http://127.0.0.1:18112" in processes


def test_brokers_agree_on_the_cluster_and_acknowledge_what_two_of_them_have(plan: Plan) -> None:
    ids = {command(plan, name)[8] for name in plan.brokers}
    assert len(ids) == 1
    texts = [file_of(plan, name) for name in plan.brokers]
    options = [
        dict(line.split("=", 1) for line in text.splitlines() if "=" in line) for text in texts
    ]
    voters = ",".join(f"{n}@{host}:18101" for n, host in enumerate(HOSTS, 1))
    assert {found["controller.quorum.voters"] for found in options} == {voters}
    assert [found["node.id"] for found in options] == ["1", "2", "3"]
    assert {found["min.insync.replicas"] for found in options} == {"2"}
    assert {found["offsets.topic.replication.factor"] for found in options} == {"3"}
    assert len({found["log.dirs"] for found in options}) == 3


def test_each_node_of_the_ring_has_a_rack_and_a_third_of_the_tokens(plan: Plan) -> None:
    texts = [file_of(plan, name) for name in plan.cassandras]
    tokens = {line for text in texts for line in text.splitlines() if "initial_token" in line}
    assert len(tokens) == 3
    for number, (text, host) in enumerate(zip(texts, HOSTS, strict=True), 1):
        assert f"listen_address: {host}" in text
        assert "GossipingPropertyFileSnitch" in text
        rack = plan.configuration / f"cassandra-{number}" / "cassandra-rackdc.properties"
        assert rack.read_text() == f"dc=datacenter1\nrack=rack{number}\n"


def test_a_node_of_a_ring_that_lost_its_data_takes_the_place_that_it_had(plan: Plan) -> None:
    data, replace = plan.data_of("cassandra-2"), "cassandra.replace_address_first_boot"
    first = started(plan, "cassandra-2")
    assert replace not in first
    data.mkdir()
    assert started(plan, "cassandra-2") == first
    data.rmdir()
    # Also where it has not finished, and starts again.
    for again in (started(plan, "cassandra-2"), started(plan, "cassandra-2")):
        assert again[replace] == "127.0.0.2"
        configured = Path(again["cassandra.config"].removeprefix("file://")).read_text()
        assert "auto_bootstrap: true" in configured
        assert "initial_token" not in configured
        assert 'seeds: "127.0.0.1:18103,127.0.0.3:18103"' in configured
    assert replace not in started(plan, "cassandra-1")


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_node_leaves_out_what_a_full_disk_kept_from_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodes: int
) -> None:
    monkeypatch.setattr(engine_commands, "_java", lambda: "java")
    plan = a_plan(tmp_path, nodes=nodes)
    name, logs = plan.cassandras[0], plan.data_of(plan.cassandras[0]) / "commitlog"
    for directory in (plan.configuration, logs):
        directory.mkdir(parents=True)
    written = {"1.log": b"\0\0\0\x08 and more", "2.log": bytes(60) + b"more", "3.log": b""}
    for file, content in {**written, "4.log": bytes(4096), "other": bytes(4096)}.items():
        (logs / file).write_bytes(content)
    assert "cassandra.config" in started(plan, name)
    assert {file.name for file in logs.iterdir()} == {*written, "other"}


def test_a_system_of_one_node_has_the_engines_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_commands, "_java", lambda: "java")
    plan = a_plan(tmp_path)
    plan.configuration.mkdir()
    kafka, cassandra = file_of(plan, "kafka"), file_of(plan, "cassandra")
    assert "controller.quorum.voters=1@127.0.0.1:18101\n" in kafka
    assert f"log.dirs={tmp_path}/data/kafka\n" in kafka
    assert "initial_token" not in cassandra
    assert "endpoint_snitch: SimpleSnitch" in cassandra
    assert plan.engines_by_turn == (("kafka", "cassandra", "cache"),)
    assert not any("_" in line and line.isupper() for line in (*kafka.split(), *cassandra.split()))


def test_the_replica_copies_the_primary(plan: Plan) -> None:
    lines = [
        shlex.split(line, comments=True) for line in file_of(plan, "cache-replica").splitlines()
    ]
    assert ["replicaof", "127.0.0.1", "18108"] in lines
    assert ["bind", "127.0.0.2"] in lines
    assert "replicaof" not in [
        line[0] for line in map(str.split, file_of(plan, "cache").splitlines()) if line
    ]


def test_the_engines_of_a_cluster_start_by_turns_and_not_with_supervisord(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = configured(plan, monkeypatch, ["true"])
    programs = [sections[f"program:{name}"] for name in plan.names]
    assert {section["autostart"] for section in programs} == {"false"}
    first, *others = plan.engines_by_turn
    assert set(first) == {*plan.brokers, "cassandra-1", "cache", "cache-replica"}
    assert others == [("cassandra-2", "cassandra-3")]


def clusters_of(plan: Plan) -> dict[str, Any]:
    configured = gateway_configuration(plan)
    return {cluster["name"]: cluster for cluster in configured["static_resources"]["clusters"]}


def hosts_of(locality: dict[str, Any]) -> list[str]:
    return [
        endpoint["endpoint"]["address"]["socket_address"]["address"]
        for endpoint in locality["lb_endpoints"]
    ]


def test_the_gateway_asks_both_copies_of_a_service_and_the_console_at_one_address(
    plan: Plan,
) -> None:
    clusters = clusters_of(plan)
    for name in ("post", "graph", "feed", "live"):
        (locality,) = clusters[name]["load_assignment"]["endpoints"]
        assert hosts_of(locality) == ["127.0.0.1", "127.0.0.2"]
        assert clusters[name]["health_checks"][0]["http_health_check"]["path"] == "/readyz"
    first, second = clusters["console"]["load_assignment"]["endpoints"]
    assert [hosts_of(first), hosts_of(second)] == [["127.0.0.1"], ["127.0.0.2"]]
    assert (first["priority"], second["priority"]) == (0, 1)
    manager = connection_manager(gateway_configuration(plan))
    assert "retry_host_predicate" in manager["route_config"]["virtual_hosts"][0]["retry_policy"]


def test_data_of_another_number_of_nodes_is_refused_with_what_to_type(tmp_path: Path) -> None:
    check_data_format(a_plan(tmp_path, nodes=3))
    check_data_format(a_plan(tmp_path, nodes=3))
    assert nodes_of(tmp_path) == 3
    with pytest.raises(Fault) as refused:
        check_data_format(a_plan(tmp_path))
    said = str(refused.value)
    assert "data of NODES=3" in said
    assert "make up NODES=3" in said
    assert f"make down DATA={tmp_path}; rm -r {tmp_path}" in said
    assert "\n" not in said


def test_data_from_before_clusters_is_of_one_node(tmp_path: Path) -> None:
    assert nodes_of(tmp_path) is None
    plan = a_plan(tmp_path)
    check_data_format(plan)
    (plan.data / "nodes").unlink()
    check_data_format(plan)
    with pytest.raises(Fault, match="data of NODES=1"):
        check_data_format(a_plan(tmp_path, nodes=3))


def test_a_machine_without_the_other_loopback_addresses_reads_how_to_add_them(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "is_free", lambda _port, host: host == "127.0.0.1")
    with pytest.raises(
        Fault, match=r"lo0 alias 127\.0\.0\.2; sudo ifconfig lo0 alias 127\.0\.0\.3"
    ):
        up.refuse_taken_ports(plan)


def a_topic(name: str, *in_sync: list[int]) -> dict[str, Any]:
    partitions = [
        {"partition": number, "replicas": [1, 2, 3], "isr": isr}
        for number, isr in enumerate(in_sync)
    ]
    return {"topic": name, "partitions": partitions}


def test_partitions_that_lack_a_copy_are_named_those_of_others_are_not() -> None:
    topics = [
        a_topic("fanfold.posts.v1", [1, 2, 3], [1, 3]),
        a_topic("__consumer_offsets", [1]),
        a_topic("others", [1]),
    ]
    found = copies_of(topics, {1, 3}, prefix="fanfold")
    assert found == LogCopies((2,), ("__consumer_offsets/0", "fanfold.posts.v1/1"))


def test_a_person_sees_which_copies_are_missing_and_that_this_is_not_healthy() -> None:

    kafka = Status(work_of(a_backlog()))
    whole = LocalStatus((a_process(),), kafka, copies=Copies())
    assert whole.healthy
    assert "under-replicated        0" in printed(whole).splitlines()
    lacking = Copies((2,), tuple(f"fanfold.posts.v1/{n}" for n in range(7)), ("127.0.0.3",))
    status = LocalStatus((a_process(),), kafka, copies=lacking)
    assert not status.healthy
    lines = printed(status).splitlines()
    assert "brokers down            2" in lines
    assert "Cassandra nodes down    127.0.0.3" in lines
    assert any(line.startswith("under-replicated        7 fanfold.posts.v1/0") for line in lines)
    assert status.as_json()["copies"]["brokers_down"] == (2,)
    assert "copies" not in LocalStatus((a_process(),), kafka).as_json()


async def test_where_there_is_one_of_everything_no_copy_is_asked_for(plan: Plan) -> None:

    one = a_plan(plan.home).system()
    assert await read_copies(read_settings(**one.settings)) is None
