"""The shared cache as deploy/k8s starts it: the script of its container, its configuration and its rules, run by the server that is installed here."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.plan import find_cache_server
from fanfold.core.settings import Settings
from tests.support.certificates import Authority
from tests.support.k8s import Object, environment, named, workload
from tests.support.probes import free_port

SERVER = "fanfold-cache"
_START_WITHIN_S = 10.0


class SecuredCache:
    """A context in which it runs. Each user's password is "the secret of" and its name."""

    def __init__(self, directory: Path, objects: tuple[Object, ...]) -> None:
        self.port = free_port()
        self.authority = Authority(directory / "pki", name="the cache's")
        self._directory = directory
        self._pod = workload(objects, SERVER).pod
        self._container = next(c for c in self._pod["containers"] if c["name"] == "valkey")
        self._settings = environment(objects, self._container)
        self._files = self._configuration(objects)
        self._process: subprocess.Popen[bytes] | None = None

    def settings(self, user: str, **others: object) -> Settings:
        """The settings of a process that uses it as this user."""
        given = {
            "cache": f"valkeys://localhost:{self.port}",
            "cache_ca": self.authority.ca,
            "cache_user": user,
            "cache_password": f"the secret of {user}",
            # Longer than a busy machine needs for the first handshake.
            "cache_timeout_s": 2,
        }
        return Settings.model_validate(given | others)

    def ask(self, user: str, *command: str, password: str | None = None) -> str:
        """The answer to one command, in redis-cli's words."""
        secret = password or f"the secret of {user}"
        login = ["--user", user, "--pass", secret, "--no-auth-warning"]
        ca = ["--tls", "--cacert", str(self.authority.ca), "-h", "localhost"]
        return self._said(*ca, *login, *command)

    def ask_without_tls(self, *command: str) -> str:
        return self._said(*command)

    def _said(self, *arguments: str) -> str:
        done = subprocess.run(
            [_client(), "-p", str(self.port), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def probe(self, kind: str) -> int:
        """The exit status of a probe of its container; a negative one if it does not end in time."""
        probe = self._container[kind]
        _, *arguments = probe["exec"]["command"]
        command = [self._here(argument) for argument in arguments]
        command[command.index("-p") + 1] = str(self.port)
        try:
            return subprocess.run(
                [_client(), *command],
                timeout=probe["timeoutSeconds"],
                capture_output=True,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL

    def pause(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def _configuration(self, objects: tuple[Object, ...]) -> dict[str, str]:
        (name,) = (
            volume["configMap"]["name"] for volume in self._pod["volumes"] if "configMap" in volume
        )
        files: dict[str, str] = named(objects, "ConfigMap", name)["data"]
        return files

    def _here(self, text: str) -> str:
        """With the container's paths and port replaced by those of this directory."""
        text = re.sub(r"/(?:etc|run)/valkey", rf"{self._directory}\g<0>", text)
        return text.replace("tls-port 6379", f"tls-port {self.port}")

    def __enter__(self) -> Self:
        tls, configuration, run = (
            self._directory / path for path in ("etc/valkey-tls", "etc/valkey", "run/valkey")
        )
        for directory in (tls, configuration, run):
            directory.mkdir(parents=True)
        identity = self.authority.identity(SERVER)
        for source, name in (
            (self.authority.ca, "ca.crt"),
            (identity.cert, "tls.crt"),
            (identity.key, "tls.key"),
        ):
            shutil.copy(source, tls / name)
        for name, text in self._files.items():
            (configuration / name).write_text(self._here(text))
        server = find_cache_server()
        assert server is not None, "install redis-server"
        shell, options, script = self._container["command"]
        script = self._here(script).replace("exec valkey-server", f"exec {server}")
        self._process = subprocess.Popen(
            [shell, options, f"{script.strip()} --bind 127.0.0.1"],
            # The script needs PATH and the like.
            env={**os.environ, **self._environment()},  # noqa: TID251
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_WITHIN_S
        while self.probe("startupProbe") != 0:
            assert self._process.poll() is None, "the cache does not start"
            assert time.monotonic() < deadline, "the cache does not answer"
        return self

    def _environment(self) -> dict[str, str]:
        return {
            name: f"the secret of {name.removesuffix('_PASSWORD').lower()}"
            if name.endswith("_PASSWORD")
            else value
            for name, value in self._settings.items()
        }

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _client() -> str:
    server = find_cache_server()
    assert server is not None, "install redis-server"
    return server.replace("-server", "-cli")
