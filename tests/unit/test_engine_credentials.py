"""Credentials for the engines: whole, over TLS only, and not shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from fanfold.adapters.kafka.security import client_security
from fanfold.adapters.redis.address import Address, CacheUrl
from fanfold.adapters.redis.address import client_tls as cache_tls
from fanfold.adapters.stacks import real
from fanfold.adapters.tls import client_context
from fanfold.core.clock import SystemClock
from fanfold.core.errors import Fault
from fanfold.core.settings import Settings


@pytest.mark.parametrize("engine", ["kafka", "cassandra"])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ca": "ca.pem", "cert": "c.pem"}, "_CERT and FANFOLD_"),
        ({"ca": "ca.pem", "key": "k.pem"}, "_CERT and FANFOLD_"),
        ({"ca": "ca.pem", "user": "alice"}, "_USER and FANFOLD_"),
        ({"ca": "ca.pem", "password": "s"}, "_USER and FANFOLD_"),
        ({"user": "alice", "password": "s"}, "only sent over TLS"),
        ({"cert": "c.pem", "key": "k.pem"}, "only sent over TLS"),
    ],
)
def test_credentials_that_are_not_whole_or_would_go_in_the_clear_are_refused(
    engine: str, given: dict[str, str], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings.model_validate({f"{engine}_{part}": value for part, value in given.items()})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"cache": "redis"}, "redis://host:port"),
        ({"cache": "http://cache:6379"}, "redis://host:port"),
        ({"cache": "redis://cache:99999"}, "Port out of range"),
        ({"cache": "redis://[:]"}, "IPv6 address"),
        ({"cache": "redis://one,two"}, r"redis\+cluster://host:port"),
        ({"cache": "redis+cluster://one,two:99999"}, "Port out of range"),
        ({"cache": "redis+cluster://one/1"}, r"redis\+cluster://host:port"),
        ({"cache": "redis+sentinel://one,two"}, "host:port/master"),
        ({"cache": "redis+sentinel://one,two/cache", "cache_password": "s"}, "only sent over TLS"),
        ({"cache": "redis://alice:s@cache:6379"}, "without user and password"),
        ({"cache": "rediss://cache", "cache_user": "alice"}, "_USER and FANFOLD_CACHE_PASSWORD"),
        ({"cache": "redis://cache", "cache_password": "s"}, "only sent over TLS"),
        ({"cache": "valkey://cache", "cache_ca": "ca.pem"}, "only sent over TLS"),
    ],
)
def test_a_cache_that_cannot_be_used_as_given_is_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings.model_validate(given)


@pytest.mark.parametrize(
    "cache",
    [
        *("none", "memory", "redis://cache", "valkey://[::1]:6379/2", "rediss://a.b:6379"),
        *("valkey+cluster://a:1,[::1],b", "rediss+sentinel://a,b:2,c/my.cache/3"),
    ],
)
def test_a_cache_by_its_address(cache: str) -> None:
    assert Settings(cache=cache).cache == cache


def test_several_addresses_say_which_server_to_use() -> None:
    cluster = CacheUrl.of(Settings(cache="valkeys+cluster://a:1,[::1],b"))
    assert cluster == CacheUrl(
        "cluster", (Address("a", 1), Address("::1", 6379), Address("b", 6379)), "", 0
    )
    watched = CacheUrl.of(Settings(cache="redis+sentinel://a,b:2/my.cache/3"))
    assert watched == CacheUrl("sentinel", (Address("a", 26379), Address("b", 2)), "my.cache", 3)
    assert CacheUrl.of(Settings(cache="redis://a/4")) == CacheUrl(
        "", (Address("a", 6379, 4),), "", 4
    )


async def test_the_memory_of_one_process_is_no_cache_for_several() -> None:
    with pytest.raises(Fault, match="FANFOLD_CACHE"):
        async with real(Settings(cache="memory"), clock=SystemClock(), source="test"):
            pass


def test_a_password_is_not_shown_where_settings_are() -> None:
    settings = Settings(
        kafka_ca="ca.pem",
        kafka_user="alice",
        kafka_password="open sesame",
        cassandra_ca="ca.pem",
        cassandra_user="alice",
        cassandra_password="open sesame",
        cache="rediss://cache:6379",
        cache_password="open sesame",
    )

    assert "sesame" not in f"{settings!r} {settings.model_dump()}"


def test_without_a_ca_kafka_is_spoken_to_in_the_clear() -> None:
    assert client_security(Settings()) == {"security_protocol": "PLAINTEXT"}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"

    with pytest.raises(Fault, match=str(missing)):
        client_context(missing, cert=None, key=None, check_hostname=True)


def test_a_file_that_holds_no_certificate_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")

    with pytest.raises(Fault, match=str(empty)):
        client_context(empty, cert=None, key=None, check_hostname=True)


def test_the_certificates_of_the_system_are_read_once() -> None:
    """A cache that is away is tried twice a second, in the event loop that answers requests."""
    settings = Settings(cache="rediss://cache")
    assert cache_tls(settings) is cache_tls(settings) is not None
    assert cache_tls(Settings(cache="redis://cache")) is None
