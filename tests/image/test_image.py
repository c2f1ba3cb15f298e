"""The image: its contents, and that every service works from it without any privileges."""

from __future__ import annotations

import asyncio
import contextlib
import json
import platform
import re
import socket
from collections.abc import Iterator
from importlib.metadata import distributions
from importlib.util import cache_from_source
from pathlib import Path

import httpx2
import pytest
from packaging.utils import canonicalize_name

from deploy.docker.assemble import USER_ID
from fanfold.core.exit_codes import ExitCode
from fanfold.core.settings import Settings
from tests.support.engines import RealEngines, settings_for
from tests.support.eventually import eventually
from tests.support.image import STOPS_WITHIN_S, VERSION, Container, Image, build, why_not
from tests.support.probes import free_port

# The first test waits for the build.
pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

SERVICES = ("post", "graph", "fanout", "feed", "console")
NOT_IN_IT = {
    *("sh", "bash", "dash", "busybox", "env", "ldconfig"),
    *("apt", "apt-get", "dpkg", "pip", "setuptools", "ensurepip", "hatchling", "cyclonedx"),
    *("gcc", "cc", "ld", "as", "make", "perl", "curl", "wget"),
}


@pytest.fixture(scope="module")
def image() -> Image:
    if reason := why_not():
        pytest.skip(f"the image is not built here: {reason}")
    return build()


@pytest.fixture(scope="module")
def files(image: Image) -> Iterator[Path]:
    with image.mounted() as mounted:
        yield mounted


def test_it_holds_one_program_and_no_shell_package_manager_or_compiler(files: Path) -> None:
    names = {path.name for path in files.rglob("*")}
    assert names & NOT_IN_IT == set()
    programs = {
        path.name
        for path in files.rglob("*")
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o111
        if path.read_bytes()[:4] == b"\x7fELF" and ".so" not in path.name
    }
    assert [re.sub(r"[\d.]+", "", name) for name in programs] == ["python"]
    commands = files / "opt/fanfold/bin"
    assert {path.name for path in commands.iterdir()} == {"python", "fanfold"}
    assert (commands / "fanfold").read_text().startswith("#!/opt/fanfold/bin/python\n")


def test_nothing_in_it_can_be_written_or_raises_rights_but_the_temporary_directory(
    files: Path,
) -> None:
    found = [(path, path.lstat()) for path in files.rglob("*") if not path.is_symlink()]
    assert len(found) > 1000
    assert {path for path, status in found if status.st_uid == USER_ID} == set()
    assert {path for path, status in found if status.st_mode & 0o6000} == set()
    assert {path.name for path, status in found if status.st_mode & 0o022} == {"tmp"}


def test_every_module_in_it_is_compiled(files: Path) -> None:
    """On a read-only root nothing can be compiled later: every start would be slower."""
    modules = list(files.rglob("*.py"))
    assert len(modules) > 1000
    assert [path for path in modules if not Path(cache_from_source(str(path))).exists()] == []


def test_its_labels_describe_it_and_it_runs_as_a_numeric_user_that_is_not_root(
    image: Image,
) -> None:
    configured = image.configured()
    assert configured["User"] == f"{USER_ID}:{USER_ID}"
    assert configured["Entrypoint"] == ["/opt/fanfold/bin/fanfold"]
    assert configured["StopSignal"] == "SIGTERM"
    labels = {key.rpartition(".")[2]: text for key, text in configured["Labels"].items()}
    assert labels["version"] == VERSION
    # The commit, and whether it has uncommitted changes.
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["revision"])
    assert (labels["licenses"], labels["title"]) == ("Apache-2.0", "Fanfold")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels["created"])


def test_its_sbom_names_every_package_in_it(image: Image, files: Path) -> None:
    assert image.sbom.read_text() == (files / "usr/share/fanfold/sbom.cdx.json").read_text()
    listed = json.loads(image.sbom.read_text())
    named = {
        (kind, name): version
        for component in [listed["metadata"]["component"], *listed["components"]]
        for kind, name, version in re.findall(r"pkg:(\w+)/(.+)@([^?]+)", component["purl"])
    }
    site_packages = next((files / "opt/fanfold").glob("lib/*/site-packages"))
    installed: dict[tuple[str, str], str] = {
        ("pypi", canonicalize_name(package.name)): package.version
        for package in distributions(path=[str(site_packages)])
    }
    assert {key: version for key, version in named.items() if key[0] == "pypi"} == installed
    assert installed["pypi", "fanfold"] == VERSION
    assert {("generic", "python"), ("npm", "swagger-ui-dist")} <= named.keys()
    if Path("/var/lib/dpkg/status").exists():
        debian = platform.freedesktop_os_release()["ID"]
        assert {("deb", f"{debian}/libc6"), ("deb", f"{debian}/libssl3")} <= named.keys()


def environment(settings: Settings, **overrides: object) -> dict[str, str]:
    chosen = settings.model_dump(include=settings.model_fields_set) | overrides
    return {f"FANFOLD_{name.upper()}": str(value) for name, value in chosen.items()}


@contextlib.contextmanager
def services(image: Image, settings: Settings) -> Iterator[dict[str, tuple[Container, int]]]:
    """Each service in a container of its own, with the port that it listens on."""
    with contextlib.ExitStack() as stack:
        running = {}
        for name in SERVICES:
            port = free_port()
            # The image listens on every address, and the test names its users itself.
            variables = environment(settings, port=port, anyone_may_claim_any_user=True)
            container = image.run("serve", name, settings=variables)
            stack.callback(container.remove)
            running[name] = (container, port)
        yield running


def confinement(container: Container) -> dict[str, str]:
    """The rights of its first process, by the kernel."""
    proc = Path("/proc") / str(container.pid())
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
    root = next(
        line.split()[5]
        for line in (proc / "mountinfo").read_text().splitlines()
        if line.split()[4] == "/"
    )
    return {
        "user": status["Uid"].split()[0],
        "first process": str(status["NSpid"].split()[-1] == "1"),
        "capabilities": status["CapEff"].strip("0") + status["CapBnd"].strip("0"),
        "new privileges": status["NoNewPrivs"],
        "root": root.split(",")[0],
    }


async def test_every_service_works_from_it_on_a_read_only_root_without_capabilities(
    image: Image, engines: RealEngines
) -> None:
    settings = settings_for(engines)
    for command in (("schema", "migrate"), ("topics", "apply")):
        await asyncio.to_thread(image.finished, *command, settings=environment(settings))
    with services(image, settings) as running:
        for name, (container, _) in running.items():
            assert confinement(container) == {
                "user": str(USER_ID),
                "first process": "True",
                "capabilities": "",
                "new privileges": "1",
                "root": "ro",
            }, name
        await posts_and_reads({name: port for name, (_, port) in running.items()})
        for name, (container, _) in running.items():
            status, took_s = await asyncio.to_thread(container.stop)
            assert status == 0, f"{name}: {status}\n{container.said()}"
            print(f"{name} stopped in {took_s:.1f} s")


async def posts_and_reads(ports: dict[str, int]) -> None:
    async with httpx2.AsyncClient(timeout=10) as client:

        async def ask(
            service: str, method: str, path: str, actor: str, **body: str
        ) -> httpx2.Response:
            url = f"http://127.0.0.1:{ports[service]}{path}"
            return await client.request(
                method, url, headers={"X-User-Id": actor}, json=body or None
            )

        async def all_ready() -> bool:
            try:
                found = [await ask(name, "GET", "/readyz", "") for name in ports]
            except httpx2.TransportError:
                return False
            return {response.status_code for response in found} == {200}

        await eventually(all_ready, within_s=60, what="every container is ready")
        for user in ("alice", "bob"):
            registered = await ask("graph", "PUT", f"/users/{user}", user, display_name=user)
            assert registered.status_code == 200, registered.text

        async def follows() -> bool:
            # Refused until bob's registration is in the tables; counted once the follow is.
            await ask("graph", "PUT", "/users/alice/following/bob", "alice")
            found = (await ask("graph", "GET", "/users/bob/followers", "bob")).json()
            return [follower["user_id"] for follower in found["items"]] == ["alice"]

        await eventually(follows, within_s=30, what="alice follows bob")
        posted = await ask("post", "POST", "/posts", "bob", content="from a container")
        assert posted.status_code == 201, posted.text

        async def shown() -> bool:
            page = (await ask("feed", "GET", "/users/alice/feed", "alice")).json()
            return [item["content"] for item in page["items"]] == ["from a container"]

        await eventually(shown, within_s=30, what="the post is in the follower's feed")

        async def delivered() -> bool:
            path = f"/posts/{posted.json()['post_id']}/fanout"
            return bool((await ask("post", "GET", path, "bob")).json()["delivered"] == 1)

        await eventually(delivered, within_s=30, what="the worker has pushed it")


@pytest.mark.parametrize("command", [("serve", "fanout"), ("topics", "apply")])
def test_a_starting_command_stops_on_sigterm_as_the_first_process_too(
    command: tuple[str, ...], image: Image
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        container = image.run(*command, settings={"FANFOLD_KAFKA_BOOTSTRAP": address})
        try:
            with silent.accept()[0]:
                status, took_s = container.stop()
            assert status == ExitCode.TERMINATED, container.said()
            assert took_s < STOPS_WITHIN_S / 2
        finally:
            container.remove()


async def test_the_whole_api_with_its_demo_runs_from_it_without_engines(image: Image) -> None:
    port = free_port()
    container = image.run("dev", "--port", str(port), settings={"FANFOLD_HOST": "127.0.0.1"})
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def served() -> bool:
                try:
                    found = await client.get("/users/alice/feed", headers={"X-User-Id": "alice"})
                except httpx2.TransportError:
                    return False
                return {item["source"] for item in found.json()["items"]} == {"push", "pull"}

            await eventually(served, within_s=60, what="the demo's feed")
        assert (await asyncio.to_thread(container.stop))[0] == 0
    finally:
        container.remove()
