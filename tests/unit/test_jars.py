"""Every jar that Maven fetches has a checksum in this repository, and a jar that differs is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from deploy.engines.jars import ChangedJars, check, write

ROOT = Path(__file__).parents[2]
SUMS_OF = {
    "deploy/engines/kafka/pom.xml": "deploy/engines/kafka/jars.sha256",
    "deploy/engines/cassandra/pom.xml": "deploy/engines/cassandra/jars.sha256",
    "deploy/k8s/strimzi.xml": "deploy/k8s/strimzi.sha256",
}
MAVEN = "{http://maven.apache.org/POM/4.0.0}"


@pytest.fixture
def jars(tmp_path: Path) -> tuple[Path, Path]:
    """The checksums of a directory, and the directory."""
    directory = tmp_path / "jars"
    directory.mkdir()
    for name in ("kafka.jar", "scala.jar"):
        (directory / name).write_text(name)
    sums = tmp_path / "jars.sha256"
    write(sums, directory)
    return sums, directory


def test_the_jars_of_the_checksums_are_accepted(jars: tuple[Path, Path]) -> None:
    sums, directory = jars
    check(sums, directory)
    assert re.fullmatch(r"([0-9a-f]{64}  \w+\.jar\n){2}", sums.read_text())


def test_a_changed_an_added_and_a_removed_jar_are_refused_by_name(jars: tuple[Path, Path]) -> None:
    sums, directory = jars
    (directory / "kafka.jar").write_text("something else")
    (directory / "more.jar").write_text("more")
    (directory / "scala.jar").unlink()
    with pytest.raises(
        ChangedJars, match=r"changed: kafka\.jar, unknown: more\.jar, missing: scala\.jar"
    ):
        check(sums, directory)


def test_the_refusal_is_one_line_and_an_exit_status(jars: tuple[Path, Path]) -> None:
    sums, directory = jars
    (directory / "kafka.jar").write_text("something else")
    ran = subprocess.run(
        [sys.executable, "-m", "deploy.engines.jars", "check", sums, directory],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert "changed: kafka.jar" in ran.stderr


@pytest.mark.parametrize(("pom", "sums"), SUMS_OF.items())
def test_every_version_of_a_pom_has_its_checksum(pom: str, sums: str) -> None:
    names = {line.split("  ")[1] for line in (ROOT / sums).read_text().splitlines()}
    strimzi = re.search(r"STRIMZI=(\S+)", (ROOT / "deploy/k8s/versions.env").read_text())
    assert strimzi
    for dependency in ET.parse(ROOT / pom).iter(f"{MAVEN}dependency"):
        artifact, version = (
            dependency.findtext(f"{MAVEN}{part}", "") for part in ("artifactId", "version")
        )
        version = version.replace("${strimzi.version}", strimzi[1])
        assert f"{artifact}-{version}.jar" in names


def test_maven_is_only_started_where_its_jars_are_checked() -> None:
    scripts = {path: path.read_text() for path in (ROOT / "scripts").iterdir()}
    starting = {
        path.name
        for path, text in scripts.items()
        if re.search(r"^\s*(quietly )?mvn ", text, re.MULTILINE)
    }
    assert starting == {"fetch_jars", "fetch_registry"}
    _, _, after_maven = scripts[ROOT / "scripts" / "fetch_registry"].partition("dependency:copy")
    assert "sha256sum --check --quiet --strict" in after_maven.partition("tar --extract")[0]
    poms = {str(path.relative_to(ROOT)) for path in (ROOT / "deploy").rglob("pom.xml")}
    assert poms | {"deploy/k8s/strimzi.xml"} == set(SUMS_OF)
    assert (
        scripts[ROOT / "scripts" / "fetch_jars"]
        .rstrip()
        .endswith('-m deploy.engines.jars check "$sums" "$jars"')
    )
