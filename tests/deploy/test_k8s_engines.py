"""Kafka, Cassandra and KEDA as they are declared, against the topics, the services and the engines that the tests run on."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

import pytest

from fanfold.core.settings import Settings
from fanfold.core.topics import load_topics
from tests.support.k8s import (
    OVERLAYS,
    Object,
    environment,
    named,
    of_kind,
    quantity,
    rendered,
    workload,
)
from tests.support.k8s_schemas import ROOT, keda_kafka_keys
from tests.support.k8s_secrets import made_by_script

PREFIX = Settings.model_fields["topic_prefix"].default
GROUP = f"{PREFIX}.fanout"
BOOTSTRAP = "fanfold-kafka-kafka-bootstrap"

Rules = dict[tuple[str, str], set[str]]


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return rendered(request.param)


def settings_of(objects: tuple[Object, ...], service: str) -> Mapping[str, str]:
    return environment(objects, workload(objects, service).containers[0])


def rules_of(objects: tuple[Object, ...], user: str) -> Rules:
    """What a KafkaUser may do: by resource type and name, the name of a prefix ending in a star."""
    rules: Rules = defaultdict(set)
    for acl in named(objects, "KafkaUser", user)["spec"]["authorization"]["acls"]:
        resource = acl["resource"]
        prefix = "*" if resource.get("patternType") == "prefix" else ""
        rules[resource["type"], resource["name"] + prefix] |= set(acl["operations"])
    return dict(rules)


def topic_rules(service: str) -> Rules:
    """What schemas/topics.yaml says that a service does."""
    rules: Rules = defaultdict(set)
    for topic in load_topics().values():
        if service in topic.producers:
            rules["topic", f"{PREFIX}.{topic.name}"].add("Write")
        if service in topic.consumers:
            rules["topic", f"{PREFIX}.{topic.name}"].add("Read")
    return dict(rules)


@pytest.mark.parametrize("service", ["post_service", "graph_service", "feed_service"])
def test_a_service_may_write_what_it_produces_and_read_what_it_consumes(
    objects: tuple[Object, ...], service: str
) -> None:
    assert rules_of(objects, f"{service.replace('_', '-')}-kafka") == topic_rules(service)


def test_a_worker_may_also_be_in_its_group(objects: tuple[Object, ...]) -> None:
    assert rules_of(objects, "fanout-service-kafka") == {
        **topic_rules("fanout_service"),
        ("group", GROUP): {"Read"},
    }


def test_the_command_line_may_append_what_it_produces_and_see_what_waits(
    objects: tuple[Object, ...],
) -> None:
    assert rules_of(objects, "operator-kafka") == {
        **topic_rules("operator"),
        ("topic", f"{PREFIX}.*"): {"Describe"},
        # `fanfold topics replay` takes it back.
        ("group", GROUP): {"Read"},
    }


def test_the_preparing_and_the_measuring_user_may_touch_no_event(
    objects: tuple[Object, ...],
) -> None:
    for user in ("prepare-kafka", "keda-kafka"):
        for operations in rules_of(objects, user).values():
            assert not operations & {"Read", "Write", "Delete", "All"}, user


def test_every_topic_that_a_rule_names_is_declared(objects: tuple[Object, ...]) -> None:
    declared = {f"{PREFIX}.{name}" for name in load_topics()} | {f"{PREFIX}.*"}
    for user in of_kind(objects, "KafkaUser"):
        topics = {
            name for kind, name in rules_of(objects, user["metadata"]["name"]) if kind == "topic"
        }
        assert topics <= declared, user["metadata"]["name"]


def test_topics_have_one_owner(objects: tuple[Object, ...]) -> None:
    """`fanfold topics apply` makes them; a topic operator beside it would be a second opinion."""
    (kafka,) = of_kind(objects, "Kafka")
    assert kafka["spec"]["entityOperator"].keys() - {"template"} == {"userOperator"}
    assert of_kind(objects, "KafkaTopic") == []
    assert kafka["spec"]["kafka"]["config"]["auto.create.topics.enable"] is False


def test_kafka_is_only_reached_by_tls_with_a_certificate(objects: tuple[Object, ...]) -> None:
    (kafka,) = of_kind(objects, "Kafka")
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    assert (listener["tls"], listener["authentication"]) == (True, {"type": "tls"})
    assert kafka["spec"]["kafka"]["authorization"] == {"type": "simple"}
    where = settings_of(objects, "post-service")["FANFOLD_KAFKA_BOOTSTRAP"]
    assert where == f"{kafka['metadata']['name']}-kafka-bootstrap:{listener['port']}"


def test_as_many_replicas_as_brokers_hold(objects: tuple[Object, ...]) -> None:
    (kafka,) = of_kind(objects, "Kafka")
    brokers = sum(
        pool["spec"]["replicas"]
        for pool in of_kind(objects, "KafkaNodePool")
        if "broker" in pool["spec"]["roles"]
    )
    config = kafka["spec"]["kafka"]["config"]
    replicas = int(settings_of(objects, "post-service")["FANFOLD_KAFKA_REPLICATION"])
    assert replicas == brokers
    for key in ("default", "offsets.topic", "transaction.state.log"):
        assert config[f"{key}.replication.factor"] == replicas
    # As `fanfold topics apply` sets it for every topic.
    assert config["min.insync.replicas"] == (2 if replicas >= 3 else 1)


def test_controllers_are_an_odd_number(objects: tuple[Object, ...]) -> None:
    votes = sum(
        pool["spec"]["replicas"]
        for pool in of_kind(objects, "KafkaNodePool")
        if "controller" in pool["spec"]["roles"]
    )
    assert votes % 2 == 1


def test_the_engines_are_those_that_the_tests_run_on(objects: tuple[Object, ...]) -> None:
    (kafka,) = of_kind(objects, "Kafka")
    (datacenter,) = of_kind(objects, "CassandraDatacenter")
    poms = {
        engine: (ROOT / "deploy" / "engines" / engine / "pom.xml").read_text()
        for engine in ("kafka", "cassandra")
    }
    assert f"<version>{kafka['spec']['kafka']['version']}</version>" in poms["kafka"]
    assert f"<version>{datacenter['spec']['serverVersion']}</version>" in poms["cassandra"]


def test_a_rack_for_each_replica_of_a_row(objects: tuple[Object, ...]) -> None:
    (datacenter,) = of_kind(objects, "CassandraDatacenter")
    spec = datacenter["spec"]
    settings = settings_of(objects, "feed-service")
    replicas = int(settings["FANFOLD_CASSANDRA_REPLICATION"])
    assert len(spec["racks"]) == replicas
    assert spec["size"] % replicas == 0
    config = spec["config"]["cassandra-yaml"]
    assert config["allocate_tokens_for_local_replication_factor"] == replicas
    assert settings["FANFOLD_CASSANDRA_DATACENTER"] == datacenter["metadata"]["name"]
    assert settings["FANFOLD_CASSANDRA_HOSTS"] == (
        f"{spec['clusterName']}-{datacenter['metadata']['name']}-service"
    )
    node = named(objects, "Certificate", "fanfold-cassandra-node")
    assert settings["FANFOLD_CASSANDRA_TLS_NAME"] in node["spec"]["dnsNames"]


def test_roles_and_their_rights_have_as_many_replicas_as_the_rows(
    objects: tuple[Object, ...],
) -> None:
    """`system_auth` would have one replica: the loss of its node would lock services out."""
    (datacenter,) = of_kind(objects, "CassandraDatacenter")
    options = dict(
        option.split("=")
        for option in datacenter["spec"]["config"]["jvm-server-options"]["additional-jvm-opts"]
    )
    replicas = settings_of(objects, "post-service")["FANFOLD_CASSANDRA_REPLICATION"]
    assert options == {
        "-Dcassandra.system_distributed_replication_dc_names": datacenter["metadata"]["name"],
        "-Dcassandra.system_distributed_replication_per_dc": replicas,
        "-Dcassandra.system_auth.default_rf": replicas,
    }


def test_several_nodes_on_one_machine_have_limits(objects: tuple[Object, ...]) -> None:
    """cass-operator's webhook refuses them without; the schema has no word of it."""
    (datacenter,) = of_kind(objects, "CassandraDatacenter")
    if datacenter["spec"].get("allowMultipleNodesPerWorker"):
        for bound in ("requests", "limits"):
            assert datacenter["spec"]["resources"][bound].keys() >= {"cpu", "memory"}


def test_the_management_api_is_called_with_either_certificate(
    objects: tuple[Object, ...],
) -> None:
    """The probes and the preStop of a node present the server's certificate as that of a client."""
    (datacenter,) = of_kind(objects, "CassandraDatacenter")
    secrets = datacenter["spec"]["managementApiAuth"]["manual"]
    for secret in (secrets["serverSecretName"], secrets["clientSecretName"]):
        (certificate,) = (
            found
            for found in of_kind(objects, "Certificate")
            if found["spec"]["secretName"] == secret
        )
        assert set(certificate["spec"]["usages"]) == {"server auth", "client auth"}, secret


def test_production_has_three_racks_in_three_zones() -> None:
    (datacenter,) = of_kind(rendered("prod"), "CassandraDatacenter")
    zones = {
        rack["nodeAffinityLabels"]["topology.kubernetes.io/zone"]
        for rack in datacenter["spec"]["racks"]
    }
    assert len(zones) == len(datacenter["spec"]["racks"]) == 3


def test_cassandra_takes_nobody_without_tls_and_a_password(objects: tuple[Object, ...]) -> None:
    (datacenter,) = of_kind(objects, "CassandraDatacenter")
    config = datacenter["spec"]["config"]["cassandra-yaml"]
    assert config["authenticator"] == "PasswordAuthenticator"
    assert config["authorizer"] == "CassandraAuthorizer"
    for side in ("client", "server"):
        options = config[f"{side}_encryption_options"]
        assert options["optional"] is False
        # Both files are among those that the Certificate's Secret brings, where it is mounted.
        (volume,) = datacenter["spec"]["storageConfig"]["additionalVolumes"]
        files = {
            options[store].removeprefix(volume["mountPath"] + "/")
            for store in ("keystore", "truststore")
        }
        assert files == {"tls-combined.pem", "ca.crt"}
    assert config["client_encryption_options"]["enabled"] is True
    assert config["server_encryption_options"]["internode_encryption"] == "all"
    assert config["server_encryption_options"]["require_client_auth"] is True


def test_each_service_has_a_role_and_the_job_lets_it_do_its_work(
    objects: tuple[Object, ...],
) -> None:
    (datacenter,) = of_kind(objects, "CassandraDatacenter")
    users = {user["secretName"]: user["superuser"] for user in datacenter["spec"]["users"]}
    assert set(users.values()) == {False}
    # The Secrets are there before the datacenter is.
    assert users.keys() == {name for name in made_by_script() if name.endswith("-cassandra")}
    (granting,) = (
        container
        for container in workload(objects, "prepare").containers
        if container["args"][:2] == ["schema", "grant"]
    )
    granted = {re.split("[=:]", argument)[1] for argument in granting["args"][2:]}
    assert granted == {name.removesuffix("-cassandra").replace("-", "_") for name in users}


STORES_WRITTEN = {
    "post_service": ("posts", "idempotency_keys"),
    "graph_service": ("users", "tickets"),
    "feed_service": ("activity", "tickets"),
    "operator": ("revocations", "sweeps"),
    "fanout_service": (
        *("posts", "timelines", "users", "follows", "jobs", "ties", "likes", "pulled_authors"),
        "cache_switch",
    ),
}
"""The stores to which each service writes: modules of the Cassandra adapter."""


def test_a_service_may_write_the_tables_of_its_stores_and_no_other(
    objects: tuple[Object, ...],
) -> None:
    (granting,) = (
        container
        for container in workload(objects, "prepare").containers
        if container["args"][:2] == ["schema", "grant"]
    )
    granted = [
        argument.removeprefix("--write=").partition(":")
        for argument in granting["args"]
        if argument.startswith("--write=")
    ]
    for service, stores in STORES_WRITTEN.items():
        statements = "".join(
            (ROOT / f"fanfold/adapters/cassandra/{store}.py").read_text() for store in stores
        )
        written = set(re.findall(r"\b(?:INSERT INTO|UPDATE|DELETE FROM) ([a-z_]+)", statements))
        assert {table for role, _, table in granted if role == service} == written, service
    assert {role for role, _, _ in granted} == STORES_WRITTEN.keys()


def test_repairs_come_well_within_the_time_that_a_tombstone_is_kept() -> None:
    minute, hour, *_, weekday = _repair()["spec"]["schedule"].split()
    assert minute.isdigit()
    assert hour.isdigit()
    assert weekday.isdigit()  # once a week
    tables = "\n".join(path.read_text() for path in (ROOT / "schemas/cassandra").glob("*.cql"))
    grace_s = [int(found) for found in re.findall(r"gc_grace_seconds *= *(\d+)", tables)]
    # Tables that don't say otherwise keep them for ten days.
    ordinary = [seconds for seconds in grace_s if seconds > 86_400] or [864_000]
    assert min(ordinary) > 7 * 86_400


def test_every_table_is_repaired_but_those_of_time_windows() -> None:
    schema = "\n".join(path.read_text() for path in (ROOT / "schemas/cassandra").glob("*.cql"))
    tables = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+) \((.*?);", schema, re.DOTALL)
    (container,) = workload(rendered("prod"), "cassandra-repair").containers
    repaired = [
        argument.removeprefix("--repair=").partition(":")
        for argument in container["command"]
        if argument.startswith("--repair=")
    ]
    assert {keyspace: set(filter(None, names.split(","))) for keyspace, _, names in repaired} == {
        "fanfold": {name for name, text in tables if "TimeWindowCompactionStrategy" not in text},
        "system_auth": set(),
    }
    assert len(tables) > 20


def test_a_repair_ends_itself_before_its_job_is_killed() -> None:
    job = _repair()["spec"]["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    (within,) = (
        int(argument.removeprefix("--within-s="))
        for argument in container["command"]
        if argument.startswith("--within-s=")
    )
    assert within < job["activeDeadlineSeconds"] < 7 * 86_400


def _repair() -> Object:
    return named(rendered("prod"), "CronJob", "cassandra-repair")


def test_workers_are_scaled_on_the_lag_of_every_topic_that_they_consume() -> None:
    triggers = _triggers()
    assert {trigger["type"] for trigger in triggers} == {"kafka"}
    assert {trigger["metadata"]["topic"] for trigger in triggers} == {
        f"{PREFIX}.{topic.name}"
        for topic in load_topics().values()
        if "fanout_service" in topic.consumers
    }
    assert {trigger["metadata"]["consumerGroup"] for trigger in triggers} == {GROUP}


def test_there_are_never_more_workers_than_partitions_and_never_none() -> None:
    spec = _scaled()["spec"]
    # More would not all get work of every kind.
    most = min(
        topic.partitions["many"]
        for topic in load_topics().values()
        if "fanout_service" in topic.consumers
    )
    assert 1 <= spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= most
    assert spec["maxReplicaCount"] == most


def test_a_stuck_worker_does_not_read_as_idle() -> None:
    for trigger in _triggers():
        metadata = trigger["metadata"]
        # With either of these the lag of a worker that doesn't get on would count as none.
        assert metadata["excludePersistentLag"] == "false"
        assert metadata["scaleToZeroOnInvalidOffset"] == "false"
        # What was never acknowledged counts from the first record, as the workers read it.
        assert metadata["offsetResetPolicy"] == "earliest"
        assert metadata["allowIdleConsumers"] == "false"
    assert _scaled()["spec"]["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert "idleReplicaCount" not in _scaled()["spec"]


def test_keda_knows_every_key_that_it_is_given() -> None:
    """The server doesn't: to it they are words."""
    objects, known = rendered("prod"), keda_kafka_keys()
    for trigger in _triggers():
        assert trigger["metadata"].keys() <= set(known["triggerMetadata"])
        authentication = named(
            objects, "TriggerAuthentication", trigger["authenticationRef"]["name"]
        )
        given = {reference["parameter"] for reference in authentication["spec"]["secretTargetRef"]}
        assert given <= set(known["authParams"])
        assert given == {"ca", "cert", "key"}
        assert trigger["metadata"]["tls"] == "enable"


def test_keda_asks_the_kafka_of_its_own_namespace() -> None:
    (namespace,) = of_kind(rendered("prod"), "Namespace")
    for trigger in _triggers():
        # KEDA runs in another one: a short name would mean another Kafka there.
        assert trigger["metadata"]["bootstrapServers"] == (
            f"{BOOTSTRAP}.{namespace['metadata']['name']}.svc:9093"
        )


def _scaled() -> Object:
    return named(rendered("prod"), "ScaledObject", "fanout-service")


def _triggers() -> list[Object]:
    triggers: list[Object] = _scaled()["spec"]["triggers"]
    return triggers


def test_a_volume_is_kept_where_losing_it_would_hurt() -> None:
    objects = rendered("prod")
    for pool in of_kind(objects, "KafkaNodePool"):
        for volume in pool["spec"]["storage"]["volumes"]:
            assert volume["deleteClaim"] is False
            assert quantity(volume["size"]) > 0
    (datacenter,) = of_kind(objects, "CassandraDatacenter")
    assert datacenter["metadata"]["annotations"]["cassandra.datastax.com/delete-pvc"] == "false"
