"""The pods that Strimzi makes of a Kafka resource and its node pools, as far as their templates say what they are."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.k8s import Object, of_kind

IMAGE = "quay.io/strimzi/kafka:1.2.0-kafka-4.3.1"
_PARTS = {
    # Part of the Kafka resource: the name of the template of each of its containers.
    "entityOperator": {
        "userOperator": "userOperatorContainer",
        "topicOperator": "topicOperatorContainer",
    },
    "kafkaExporter": {"kafkaExporter": "container"},
    "cruiseControl": {"cruiseControl": "cruiseControlContainer"},
}


def strimzi_pods(objects: Sequence[Object]) -> dict[str, Object]:
    """The `spec` of one pod of each kind. A template that isn't there leaves its container as Strimzi makes it: without a context."""
    (kafka,) = of_kind(objects, "Kafka")
    pods = {}
    for pool in of_kind(objects, "KafkaNodePool"):
        template = pool["spec"]["template"]
        pods[pool["metadata"]["name"]] = _pod(
            template,
            containers={"kafka": "kafkaContainer"},
            # It asks for the zone of the node; controllers have no use for it.
            init={"kafka-init": "initContainer"}
            if "rack" in kafka["spec"]["kafka"] and "broker" in pool["spec"]["roles"]
            else {},
        )
    for part, containers in _PARTS.items():
        if declared := kafka["spec"].get(part):
            made = {
                name: template
                for name, template in containers.items()
                if part == name or name in declared
            }
            pods[part] = _pod(declared.get("template", {}), containers=made, init={})
    return pods


def _pod(template: Object, *, containers: dict[str, str], init: dict[str, str]) -> Object:
    def made(names: dict[str, str]) -> list[Object]:
        return [
            {
                "name": name.lower(),
                "image": IMAGE,
                "securityContext": template.get(container, {}).get("securityContext", {}),
            }
            for name, container in names.items()
        ]

    return {
        "securityContext": template.get("pod", {}).get("securityContext", {}),
        "initContainers": made(init),
        "containers": made(containers),
    }
