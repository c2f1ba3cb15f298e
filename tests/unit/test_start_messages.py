"""A process that can't start says in one line what is wrong and what to do, and exits with a status of the table."""

from __future__ import annotations

import logging
import runpy
import signal
import socket
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from deploy.local import one_at_a_time
from fanfold.core.errors import Fault
from fanfold.core.exit_codes import ExitCode
from fanfold.core.read_settings import read_settings
from fanfold.http.listen import base_url, check_address, close, listen
from fanfold.ops import options

DEV = ("fanfold", "dev", "--port", "0")
UP = ("deploy.local.up",)
SERVICE = ("post_service",)
COMMAND = ("fanfold", "topics", "apply")

WRONG_SETTINGS = {
    "PULL_THRESHOLD=0": "FANFOLD_PULL_THRESHOLD: use a number above 0",
    "PULL_THRESHOLD=many": "FANFOLD_PULL_THRESHOLD: use a whole number",
    "PULL_THRESHOLD=1.5": "FANFOLD_PULL_THRESHOLD: use a whole number",
    "PULL_HYSTERESIS=2": "FANFOLD_PULL_HYSTERESIS: use a number up to 1.0",
    "PULL_HYSTERESIS=": "FANFOLD_PULL_HYSTERESIS: use a number",
    "ACTIVE_DAYS=1": "FANFOLD_ACTIVE_DAYS: use a number from 2 on",
    "REQUEST_TIMEOUT_S=inf": "FANFOLD_REQUEST_TIMEOUT_S: use a finite number",
    "PORT=70000": "FANFOLD_PORT: use a number up to 65535",
    "CASSANDRA_PORT=0": "FANFOLD_CASSANDRA_PORT: use a number from 1 on",
    "CASSANDRA_HOSTS=a b": "FANFOLD_CASSANDRA_HOSTS: use host,host, without ports",
    "KAFKA_BOOTSTRAP=kafka": "FANFOLD_KAFKA_BOOTSTRAP: use host:port,host:port",
    "ALLOWED_HOSTS=a.example:80": "FANFOLD_ALLOWED_HOSTS: use name,name, without ports and schemes, or *",
    "ALLOWED_HOSTS=https://a.example": "FANFOLD_ALLOWED_HOSTS: use name,name, without ports and schemes, or *",
    "ALLOWED_HOSTS=*.a.example": "FANFOLD_ALLOWED_HOSTS: use name,name, without ports and schemes, or *",
    "METRICS_PORT=8080": "use another FANFOLD_METRICS_PORT than FANFOLD_PORT",
    "TOPIC_PREFIX=": "FANFOLD_TOPIC_PREFIX: use 1-100 of A-Z a-z 0-9 . _ -",
    "LOG_LEVEL=loud": "FANFOLD_LOG_LEVEL: use 'debug', 'info', 'warning' or 'error'",
    "KAFKA_CERT=x.pem": "set both FANFOLD_KAFKA_CERT and FANFOLD_KAFKA_KEY, or neither",
    "KAFKA_PASSWORD=secret": "set both FANFOLD_KAFKA_USER and FANFOLD_KAFKA_PASSWORD, or neither",
}


class Started:
    """Runs a module as `python -m` would, in this process: a process of its own costs a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, module: Sequence[str], *variables: str) -> tuple[int, str]:
        """The exit status and what is on stderr, with these environment variables."""
        for variable in variables:
            self._monkeypatch.setenv(*variable.split("=", 1))
        self._monkeypatch.setattr(sys, "argv", list(module))
        # Another test may have imported it: then runpy warns.
        ignoring = warnings.catch_warnings(action="ignore", category=RuntimeWarning)
        with ignoring, pytest.raises(SystemExit) as ended:
            runpy.run_module(module[0], run_name="__main__", alter_sys=False)
        assert isinstance(ended.value.code, int), ended.value.code
        return ended.value.code, self._capsys.readouterr().err


@pytest.fixture
def started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Started]:
    """A way to start a process that ends at once; what it changes of this one is restored."""
    root, sigterm = logging.getLogger(), signal.getsignal(signal.SIGTERM)
    handlers, level, timeout_s = root.handlers[:], root.level, socket.getdefaulttimeout()
    # The consoles were made for an earlier stderr.
    for console in (options.console, one_at_a_time.errors):
        monkeypatch.setattr(console, "_file", None)
    yield Started(monkeypatch, capsys)
    root.handlers, root.level = handlers, level
    socket.setdefaulttimeout(timeout_s)
    signal.signal(signal.SIGTERM, sigterm)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(("wrong", "said"), WRONG_SETTINGS.items())
def test_a_wrong_setting_is_one_line_that_names_it_and_never_its_value(
    wrong: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, value = wrong.partition("=")
    monkeypatch.setenv(f"FANFOLD_{name}", value)
    with pytest.raises(Fault) as refused:
        read_settings()
    assert str(refused.value) == said
    assert "secret" not in said


def test_all_wrong_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANFOLD_FEED_DEPTH", "0")
    monkeypatch.setenv("FANFOLD_TAKE_EVENTS", "x")
    with pytest.raises(Fault, match=r"^FANFOLD_FEED_DEPTH: [^;]+; FANFOLD_TAKE_EVENTS: [^;]+$"):
        read_settings()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "wrong", "status", "said"),
    [
        (DEV, "FANFOLD_HOST=nowhere.invalid", ExitCode.FAILED, "no known name: use an address"),
        (DEV, "FANFOLD_HOST=192.0.2.1", ExitCode.FAILED, "no address of this machine: use one"),
        (DEV, "FANFOLD_PULL_THRESHOLD=0", ExitCode.FAILED, "FANFOLD_PULL_THRESHOLD: use"),
        (("fanfold", "dev", "--port", "70000"), "", ExitCode.USAGE, "'--port'"),
        ((*DEV, "--data", "/etc/hostname"), "", ExitCode.FAILED, "choose another: make run DATA="),
        ((*DEV, "--data", "/proc/x"), "", ExitCode.FAILED, "choose another: make run DATA="),
        (SERVICE, "FANFOLD_HOST=nowhere.invalid", ExitCode.FAILED, "no known name: use an address"),
        (SERVICE, "FANFOLD_PORT=70000", ExitCode.FAILED, "FANFOLD_PORT: use"),
        (SERVICE, "FANFOLD_KAFKA_CA=/no/ca.pem", ExitCode.FAILED, "/no/ca.pem can't be used"),
        (("fanout_service",), "FANFOLD_HOST=nowhere.invalid", ExitCode.FAILED, "no known name"),
        (("fanfold", "serve", "feed"), "FANFOLD_LOG_LEVEL=loud", ExitCode.FAILED, "LOG_LEVEL: use"),
        (COMMAND, "FANFOLD_KAFKA_BOOTSTRAP=x", ExitCode.FAILED, "use host:port"),
        (COMMAND, "FANFOLD_KAFKA_CA=/no/ca.pem", ExitCode.FAILED, "/no/ca.pem can't be used"),
        (("fanfold", "topics", "nothing"), "", ExitCode.USAGE, "see `"),
        ((*UP, "--port", "70000"), "", ExitCode.USAGE, "use a port from 1 to 65535"),
        ((*UP, "--ports", "65530"), "", ExitCode.USAGE, "use a port from 1 to 65498"),
        ((*UP, "--data", "/etc/hostname"), "", ExitCode.FAILED, "choose another with DATA="),
        ((*UP, "--data", "/proc/x"), "", ExitCode.FAILED, "choose another with DATA="),
        (("deploy.local.down", "--bogus"), "", ExitCode.USAGE, "--bogus"),
    ],
)
def test_a_process_that_cannot_start_prints_one_line(
    started: Started, module: Sequence[str], wrong: str, status: ExitCode, said: str
) -> None:
    returned, printed = started(module, *filter(None, [wrong]))
    assert returned == status, printed
    assert printed.count("\n") == 1, printed
    assert said in printed


def test_make_up_refuses_a_wrong_setting_before_it_starts_anything(
    started: Started, tmp_path: Path
) -> None:
    returned, printed = started((*UP, "--data", str(tmp_path)), "FANFOLD_PULL_THRESHOLD=0")
    assert returned == ExitCode.FAILED
    assert printed == "make up: FANFOLD_PULL_THRESHOLD: use a number above 0\n"
    assert not (tmp_path / "system.json").exists()


def test_a_taken_port_is_named_with_the_way_to_choose_another(started: Started, taken: int) -> None:
    returned, printed = started(("fanfold", "dev", "--port", str(taken)))
    assert returned == ExitCode.FAILED
    assert printed == (
        f"fanfold: port {taken} is taken; choose another: make run PORT={taken + 1}\n"
    )
    with pytest.raises(Fault, match=rf"port {taken} is taken; choose another: FANFOLD_PORT="):
        check_address("127.0.0.1", taken)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_server_listens_on_every_address_of_its_host(host: str) -> None:
    sockets = listen(host, 0)
    try:
        for listener in sockets:
            socket.create_connection(listener.getsockname()[:2], timeout=5).close()
        assert sockets
    finally:
        close(sockets)


def test_an_ipv6_address_stands_in_brackets_in_a_url() -> None:
    assert base_url("::1", 8080) == "http://[::1]:8080"
    assert base_url("127.0.0.1", 8080) == "http://127.0.0.1:8080"
    assert base_url("localhost", 8080) == "http://localhost:8080"
