"""JSON schemas of everything that the manifests may hold: Kubernetes' own kinds, and those of every operator's CRD.

`python -m tests.support.k8s_schemas .cache/k8s` writes them beside what `scripts/fetch_k8s` has fetched. They are closed: a
field that isn't described is an error, as it is for a server that validates strictly. Rules in CEL are the server's alone.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft4Validator

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".cache" / "k8s"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"

Kind = tuple[str, str]
"""apiVersion and kind."""


def write_schemas(home: Path) -> None:
    """Make `schemas.json`, and `keda-kafka.json`: the names that KEDA's Kafka trigger knows."""
    definitions = json.loads((home / "kubernetes.json").read_text())["definitions"]
    definitions[_INT_OR_STRING] = {"type": ["string", "integer"]}
    definitions[_QUANTITY] = {"type": ["string", "number"]}
    kinds: dict[str, Any] = {}
    for name, definition in definitions.items():
        _close(definition)
        for gvk in definition.get("x-kubernetes-group-version-kind", ()):
            version = "/".join(filter(None, (gvk["group"], gvk["version"])))
            kinds[f"{version} {gvk['kind']}"] = {"$ref": f"#/definitions/{name}"}
    for crd in _crds(home):
        for version in crd["spec"]["versions"]:
            schema = _of_crd(version["schema"]["openAPIV3Schema"])
            kinds[f"{crd['spec']['group']}/{version['name']} {crd['spec']['names']['kind']}"] = (
                schema
            )
    (home / "schemas.json").write_text(json.dumps({"definitions": definitions, "kinds": kinds}))
    (home / "keda-kafka.json").write_text(json.dumps(_keda_keys(home)))


def errors_of(document: Mapping[str, Any]) -> list[str]:
    """What a schema sees wrong in one object; an unknown kind is an error too."""
    schemas = _schemas()
    kind = f"{document['apiVersion']} {document['kind']}"
    if kind not in schemas["kinds"]:
        return [f"no schema of {kind}: is its CRD in scripts/fetch_k8s?"]
    validator = Draft4Validator({**schemas["kinds"][kind], "definitions": schemas["definitions"]})
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        for error in validator.iter_errors(document)
    ]


def keda_kafka_keys() -> Mapping[str, list[str]]:
    """What a Kafka trigger reads: from its `triggerMetadata`, and from `authParams`."""
    keys: dict[str, list[str]] = json.loads((HOME / "keda-kafka.json").read_text())
    return keys


@cache
def _schemas() -> Any:
    made = HOME / "schemas.json"
    if not made.exists():
        raise RuntimeError(f"no {made}: run `scripts/fetch_k8s` (`make test` does)")
    return json.loads(made.read_text())


def _crds(home: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((home / "crds").rglob("*.yaml")):
        for document in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            if document and document.get("kind") == "CustomResourceDefinition":
                yield document


def _of_crd(schema: dict[str, Any]) -> dict[str, Any]:
    _close(schema)
    schema.setdefault("properties", {}).update(
        apiVersion={"type": "string"},
        kind={"type": "string"},
        metadata={"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
    )
    schema["additionalProperties"] = False
    return schema


def _close(schema: Any) -> None:
    if isinstance(schema, list):
        for part in schema:
            _close(part)
        return
    if not isinstance(schema, dict):
        return
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
    open_ = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not open_:
        schema["additionalProperties"] = False
    for part in schema.values():
        _close(part)


def _keda_keys(home: Path) -> dict[str, list[str]]:
    source = (home / "keda-kafka-scaler.go").read_text()
    source = source[source.index("type kafkaMetadata struct") :]
    tags = re.findall(r'`keda:"name=(\w+),order=([\w;]+)', source[: source.index("\n}")])
    return {
        place: sorted(name for name, order in tags if place in order.split(";"))
        for place in ("triggerMetadata", "authParams")
    }


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
