"""Write the image's SBOM as CycloneDX JSON, validated against the standard's schema.

Runs while the image is built, in a Python with requirements/image.txt. `python sbom.py ENVIRONMENT ROOT OUTPUT` lists the Python
packages that are installed in `ENVIRONMENT`, Python itself, and the Debian packages of the files below `ROOT`, by this system's
`dpkg`. The same contents give the same file (docs/decisions/0029).
"""

from __future__ import annotations

import json
import platform
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

APPLICATION = "fanfold"
_DPKG = Path("/var/lib/dpkg")
# The standard requires a timestamp; that of the build would make two SBOMs of the same contents differ.
_NO_TIME = datetime.fromtimestamp(0, UTC)


def contents(environment: Path, root: Path) -> Bom:
    """The application and everything that is installed with it."""
    site_packages = next(environment.glob("lib/python3*/site-packages"))
    installed = {
        canonicalize_name(package.name): package
        for package in distributions(path=[str(site_packages)])
    }
    application = _described(installed.pop(canonicalize_name(APPLICATION)))
    application.type = ComponentType.APPLICATION
    packages = {name: _described(package) for name, package in installed.items()}
    system = [_python(), *_debian_packages(root)]
    # Swagger UI's files are copied into the package, so no metadata of an installed package names them.
    system += [
        _copied(json.loads(release.read_text()))
        for release in sorted(site_packages.glob(f"{APPLICATION}/http/static/*.json"))
    ]
    bom = Bom(components=[*packages.values(), *system])
    bom.metadata.component = application
    bom.metadata.timestamp = _NO_TIME
    for name, component in packages.items():
        bom.register_dependency(component, _required(installed[name], packages))
    bom.register_dependency(application, [*packages.values(), *system])
    identity = "\n".join(
        sorted(str(component.purl) for component in [application, *bom.components])
    )
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, identity)
    return bom


def _described(package: Distribution) -> Component:
    purl = PackageURL("pypi", name=canonicalize_name(package.name), version=package.version)
    return Component(
        name=package.name,
        version=package.version,
        description=package.metadata["Summary"],
        licenses=_licenses(package),
        purl=purl,
        bom_ref=str(purl),
    )


def _copied(release: Mapping[str, str]) -> Component:
    purl = PackageURL("npm", name=release["name"], version=release["version"])
    return Component(
        name=release["name"],
        version=release["version"],
        licenses=[LicenseFactory().make_from_string(release["license"])],
        purl=purl,
        bom_ref=str(purl),
    )


def _licenses(package: Distribution) -> list[License]:
    """The package's own metadata: an SPDX expression, else its classifiers, else the `License` line."""
    metadata = package.metadata
    make = LicenseFactory().make_from_string
    if expression := metadata["License-Expression"]:
        return [make(expression)]
    classified = [
        classifier.rpartition(" :: ")[2]
        for classifier in metadata.get_all("Classifier", [])
        if classifier.startswith("License :: ") and not classifier.endswith(":: OSI Approved")
    ]
    # Some packages put the whole license text there.
    if not classified and "\n" not in (line := metadata["License"] or "\n"):
        classified = [line]
    return [LicenseFactory().make_with_name(name) for name in classified]


def _required(package: Distribution, by_name: Mapping[str, Component]) -> list[Component]:
    requirements = [Requirement(line) for line in package.requires or ()]
    return [
        by_name[name]
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if (name := canonicalize_name(requirement.name)) in by_name
    ]


def _python() -> Component:
    version = platform.python_version()
    purl = PackageURL("generic", name="python", version=version)
    return Component(
        name="python",
        version=version,
        type=ComponentType.PLATFORM,
        purl=purl,
        bom_ref=str(purl),
        # Scanners look Python up by its CPE.
        cpe=f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    )


def _debian_packages(root: Path) -> Iterator[Component]:
    status = (_DPKG / "status").read_text() if (_DPKG / "status").exists() else ""
    versions = dict(re.findall(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)$", status, re.MULTILINE))
    owners = _owners()
    files = {Path("/") / path.relative_to(root) for path in root.rglob("*") if path.is_file()}
    system = platform.freedesktop_os_release()
    # Scanners choose the advisories by it.
    release = {"distro": f"{system['ID']}-{system.get('VERSION_ID', 'unstable')}"}
    for name, architecture in sorted({owners[path] for path in files if path in owners}):
        qualifiers = release | ({"arch": architecture} if architecture else {})
        purl = PackageURL("deb", system["ID"], name, versions.get(name), qualifiers=qualifiers)
        yield Component(name=name, version=versions.get(name), purl=purl, bom_ref=str(purl))


def _owners() -> dict[Path, tuple[str, str]]:
    """Every installed file by its resolved path, with its package and the architecture of the package."""
    directories: dict[Path, Path] = {}
    found: dict[Path, tuple[str, str]] = {}
    for listing in (_DPKG / "info").glob("*.list"):
        name, _, architecture = listing.stem.partition(":")
        for line in listing.read_text().splitlines():
            path = Path(line)
            # dpkg lists /lib/…, which is a link into /usr.
            parent = directories.setdefault(path.parent, path.parent.resolve())
            found[parent / path.name] = (name, architecture)
    return found


def main(environment: Path, root: Path, output: Path) -> None:
    text = JsonV1Dot6(contents(environment, root)).output_as_string(indent=2)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"not CycloneDX 1.6: {wrong}")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
