"""Write the image's list of contents (SBOM) as CycloneDX JSON, checked against the standard's own schema.

Run while the image is built, by a Python that has requirements/image.txt. `python sbom.py ENVIRONMENT ROOT OUTPUT`
lists the Python packages that are installed in `ENVIRONMENT`, Python itself, and the Debian packages that the files
below `ROOT` come from, by this system's `dpkg`. The same contents give the same file.
"""

from __future__ import annotations

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
# The standard wants a time; that of the build would make two lists of the same contents differ.
_NO_TIME = datetime.fromtimestamp(0, UTC)


def contents(environment: Path, root: Path) -> Bom:
    """The application, and everything that it brings along."""
    site_packages = next(environment.glob("lib/python3*/site-packages"))
    installed = {
        canonicalize_name(each.name): each for each in distributions(path=[str(site_packages)])
    }
    application = _described(installed.pop(canonicalize_name(APPLICATION)))
    application.type = ComponentType.APPLICATION
    packages = {name: _described(each) for name, each in installed.items()}
    system = [_python(), *_debian_packages(root)]
    bom = Bom(components=[*packages.values(), *system])
    bom.metadata.component = application
    bom.metadata.timestamp = _NO_TIME
    for name, component in packages.items():
        bom.register_dependency(component, _required(installed[name], packages))
    bom.register_dependency(application, [*packages.values(), *system])
    identity = "\n".join(sorted(str(each.purl) for each in [application, *bom.components]))
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


def _licenses(package: Distribution) -> list[License]:
    """What the package says: an SPDX expression, else its classifiers, else a line of its own."""
    metadata = package.metadata
    make = LicenseFactory().make_from_string
    if expression := metadata["License-Expression"]:
        return [make(expression)]
    classified = [
        each.rpartition(" :: ")[2]
        for each in metadata.get_all("Classifier", [])
        if each.startswith("License :: ") and not each.endswith(":: OSI Approved")
    ]
    # Some put the whole text there.
    if not classified and "\n" not in (line := metadata["License"] or "\n"):
        classified = [line]
    return [LicenseFactory().make_with_name(each) for each in classified]


def _required(package: Distribution, by_name: Mapping[str, Component]) -> list[Component]:
    requirements = [Requirement(each) for each in package.requires or ()]
    return [
        by_name[name]
        for each in requirements
        if each.marker is None or each.marker.evaluate({"extra": ""})
        if (name := canonicalize_name(each.name)) in by_name
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
        # What scanners know it by.
        cpe=f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    )


def _debian_packages(root: Path) -> Iterator[Component]:
    status = (_DPKG / "status").read_text() if (_DPKG / "status").exists() else ""
    versions = dict(re.findall(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)$", status, re.MULTILINE))
    owners = _owners()
    files = {Path("/") / path.relative_to(root) for path in root.rglob("*") if path.is_file()}
    system = platform.freedesktop_os_release()
    # By which scanners know whose advisories to read.
    release = {"distro": f"{system['ID']}-{system.get('VERSION_ID', 'unstable')}"}
    for name, architecture in sorted({owners[path] for path in files if path in owners}):
        qualifiers = release | ({"arch": architecture} if architecture else {})
        purl = PackageURL("deb", system["ID"], name, versions.get(name), qualifiers=qualifiers)
        yield Component(name=name, version=versions.get(name), purl=purl, bom_ref=str(purl))


def _owners() -> dict[Path, tuple[str, str]]:
    """Every installed file, where it is really, with its package and that one's architecture."""
    directories: dict[Path, Path] = {}
    found: dict[Path, tuple[str, str]] = {}
    for listing in (_DPKG / "info").glob("*.list"):
        name, _, architecture = listing.stem.partition(":")
        for line in listing.read_text().splitlines():
            path = Path(line)
            # Listed as /lib/…, which is a link into /usr.
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
