"""Settings, from `FANFOLD_*` in the environment, each with its unit in the name and its reason.

Only composition roots read them; everything else gets what it needs as arguments.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, model_validator

from fanfold.core.addresses import CacheAddress, HostPorts, Hosts, ServedNames, names_in
from fanfold.core.console_settings import ConsoleSettings
from fanfold.core.identity_settings import IdentitySettings
from fanfold.core.topic_settings import TopicSettings

MS_PER_DAY = 24 * 3600 * 1000


class Settings(TopicSettings, IdentitySettings, ConsoleSettings):
    """One frozen object for all services: a setting that two of them must agree on has one name and one home."""

    # What a feed is.
    pull_threshold: PositiveInt = Field(
        100_000, description="Followers at which an author is pulled instead of pushed."
    )
    pull_hysteresis: float = Field(
        0.8,
        gt=0,
        le=1,
        description="An author returns to push below this share of the threshold, so that authors near it don't flap.",
    )
    overlap_s: float = Field(
        60,
        ge=0,
        description="After crossing to pull, posts are both pushed and pulled for this long.",
    )
    retention_days: PositiveInt = Field(30, le=3650, description="How far back a feed reaches.")
    feed_depth: PositiveInt = Field(1000, description="Posts in a whole chronological feed.")
    relevance_window: PositiveInt = Field(
        100, le=100, description="Newest candidates that the relevance ranking chooses from."
    )
    post_max_chars: PositiveInt = Field(
        2000, description="Longest post, in grapheme clusters: characters as people count them."
    )
    max_following: PositiveInt = Field(
        5000,
        description="Most accounts one user may follow at a time; over all time four times as many, because ended follows stay as rows.",
    )
    max_muted: PositiveInt = Field(
        5000,
        description="Most accounts one user may mute at a time; over all time four times as many.",
    )
    max_blocked: PositiveInt = Field(
        5000,
        description="Most accounts one user may block at a time; over all time four times as many.",
    )

    # Fan-out.
    bucket_followers: PositiveInt = Field(
        6250,
        description="Followers in a bucket, on average, before the next generation opens: a slice's size. "
        "16 such buckets reach the default threshold, so a pushed author never has the next generation of 256 nearly empty buckets.",
    )
    slices_in_flight: PositiveInt = Field(
        4,
        description="Full slices that one worker delivers at a time, or more small ones with as many followers together; bounds its memory.",
    )
    write_batch_rows: PositiveInt = Field(
        250,
        le=500,
        description="Rows in an UNLOGGED batch. A batch also ends at 24 KiB as it is sent, so that Cassandra, which refuses 50 KiB of its own form, takes it.",
    )
    writes_in_flight: PositiveInt = Field(
        8,
        description="Batches that one process sends to Cassandra at a time, without pushes larger than a batch.",
    )
    large_writes_in_flight: PositiveInt = Field(
        3,
        description="The same of pushes larger than a batch. With 6,400 rows in flight, small posts were delayed more than with 800, and large ones were no faster.",
    )
    take_events: PositiveInt = Field(
        200, description="The most events that a worker handles as one batch."
    )
    retry_budget_s: float = Field(
        45,
        gt=0,
        description="How long a worker retries before it exits, to be restarted; less than the group's 60 s.",
    )
    dead_letter_limit: PositiveInt = Field(
        100,
        description="Dead letters in a row after which a worker stops: the worker is then more likely wrong than the records. Foreign records don't count, nor records that are rejected "
        "from one source only.",
    )
    worker_id: str | None = Field(
        None,
        description="Fixed name of this worker in its group; with one, a restarted worker gets its partitions back in 1.5 s.",
    )

    # Reading.
    pulled_refresh_s: float = Field(
        0.5, gt=0, le=1, description="How often newly pulled authors are looked up."
    )
    cached_heads: PositiveInt = Field(
        10_000, description="Celebrities whose newest posts one process keeps for half a second."
    )
    cached_posts: PositiveInt = Field(
        100_000, description="Posts that one process keeps for half a second."
    )
    cached_names: PositiveInt = Field(
        100_000, description="Users whose display name one process keeps for half a second."
    )

    active_days: int = Field(
        30,
        ge=2,
        description="Users who have read no feed for this long fall asleep: they receive no deliveries until their next read. Reads are "
        "recorded once a day, hence at least 2.",
    )
    live_feeds: PositiveInt = Field(
        1000,
        description="Live feeds (`GET …/feed/stream`) that one process keeps open; a live feed reads its feed at most three times a second.",
    )
    live_feeds_per_user: PositiveInt = Field(
        5, description="Live feeds of one user that one process keeps open; one more answers 429."
    )

    # HTTP.
    host: str = Field("127.0.0.1", description="Address to listen on.")
    allowed_hosts: ServedNames = Field(
        "",
        description="Names in the `Host` header that this process serves, as `a.example,b.example`; `*` for all, where a gateway checks them. "
        "Loopback names and names without a dot are always served. Other names are answered 421, so that no web page reaches a local server.",
    )
    max_connections: PositiveInt = Field(
        2_000, description="Connections that a process keeps open; further ones are answered 503."
    )
    max_in_flight: PositiveInt = Field(
        64,
        description="Reads that a process works on at a time, and as many writes; further ones are answered 503 at once.",
    )
    max_cpu_wait_s: PositiveFloat = Field(
        0.05,
        description="While a process has no core time left: how long reads may wait for the CPU time of other reads, and writes for that of other writes; further ones are answered 503 at once.",
    )
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on.")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port that serves `/metrics` and nothing else, so that scrapers reach no other route; 0: `/metrics` is at `FANFOLD_PORT`.",
    )
    request_timeout_s: float = Field(
        5, gt=0, description="A write that the log has not acknowledged by then is answered 503."
    )
    max_clock_skew_s: float = Field(
        2,
        gt=0,
        description="An API whose clock differs more from the log's answers writes with 503. A worker dead-letters events dated further ahead of their append.",
    )

    # Engines.
    kafka_bootstrap: HostPorts = Field(
        "127.0.0.1:9092", description="Kafka, as `host:port,host:port`."
    )
    kafka_ca: Path | None = Field(
        None, description="Trusted CA certificates (PEM) for Kafka's certificate; turns TLS on."
    )
    kafka_cert: Path | None = Field(
        None, description="Client certificate (PEM) for Kafka; needs its key."
    )
    kafka_key: Path | None = Field(None, description="Private key (PEM) of that certificate.")
    kafka_user: str | None = Field(
        None, description="User name at Kafka (SCRAM-SHA-512, over TLS); needs a password."
    )
    kafka_password: SecretStr | None = Field(None, description="Password of that user.")
    cassandra_hosts: Hosts = Field("127.0.0.1", description="Contact points, comma-separated.")
    cassandra_port: int = Field(9042, ge=1, le=65535, description="Cassandra's native port.")
    cassandra_datacenter: str = Field(
        "datacenter1", description="The local datacenter; all workers are in it."
    )
    cassandra_keyspace: str = Field("fanfold", description="The keyspace.")
    cassandra_replication: PositiveInt = Field(
        1, description="Replicas that `schema migrate` creates the keyspace with; 3 in production."
    )
    cassandra_ca: Path | None = Field(
        None,
        description="Trusted CA certificates (PEM) for the nodes' certificates; turns TLS on.",
    )
    cassandra_tls_name: str | None = Field(
        None,
        description="DNS name that the certificate of every node must have. Nodes are found by address, so without this no name is "
        "checked, and the CA must sign nothing but nodes.",
    )
    cassandra_cert: Path | None = Field(
        None, description="Client certificate (PEM) for Cassandra; needs its key."
    )
    cassandra_key: Path | None = Field(None, description="Private key (PEM) of that certificate.")
    cassandra_user: str | None = Field(
        None, description="Role at Cassandra (over TLS); needs a password."
    )
    cassandra_password: SecretStr | None = Field(None, description="Password of that role.")
    cassandra_timeout_s: float = Field(2, gt=0, description="Longest wait for one statement.")
    cache: CacheAddress = Field(
        "none",
        description="The shared cache: `redis://host:port`, `rediss://…` over TLS (`valkey://…`, `valkeys://…` likewise); `redis+sentinel://host:port,host:port/master` and `redis+cluster://host:port,host:port`, where any of several addresses says which server to use; `memory`, which only `make run` can use and uses by default; or `none`.",
    )
    cache_ca: Path | None = Field(
        None,
        description="Trusted CA certificates (PEM) for the shared cache's certificate; without it, those of the system.",
    )
    cache_user: str | None = Field(None, description="User at the shared cache (over TLS).")
    cache_password: SecretStr | None = Field(None, description="Password of that user.")
    cache_timeout_s: float = Field(0.1, gt=0, description="Longest wait for the shared cache.")
    shared_cache_ttl_s: PositiveInt = Field(
        3600,
        le=86_400,
        description="How long a value is kept; a feed is kept this long after its last read.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged. Logs are JSON on stderr."
    )

    @property
    def known_hosts(self) -> frozenset[str]:
        """The names of `allowed_hosts`."""
        return names_in(self.allowed_hosts)

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.metrics_port and self.metrics_port == self.port:
            raise ValueError("use another FANFOLD_METRICS_PORT than FANFOLD_PORT")
        return self

    @model_validator(mode="after")
    def _cache_credentials_are_whole(self) -> Self:
        if self.cache_user is not None and self.cache_password is None:
            raise ValueError("set both FANFOLD_CACHE_USER and FANFOLD_CACHE_PASSWORD, or neither")
        over_tls = self.cache.startswith(("rediss", "valkeys"))
        if not over_tls and (self.cache_ca, self.cache_password) != (None, None):
            raise ValueError("use rediss:// in FANFOLD_CACHE: credentials are only sent over TLS")
        return self

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        for engine in ("kafka", "cassandra"):
            ca, cert, key, user, password = (
                getattr(self, f"{engine}_{part}")
                for part in ("ca", "cert", "key", "user", "password")
            )
            name = f"FANFOLD_{engine.upper()}"
            if (cert is None) != (key is None):
                raise ValueError(f"set both {name}_CERT and {name}_KEY, or neither")
            if (user is None) != (password is None):
                raise ValueError(f"set both {name}_USER and {name}_PASSWORD, or neither")
            if ca is None and (cert, user) != (None, None):
                raise ValueError(f"set {name}_CA too: credentials are only sent over TLS")
        if self.cassandra_tls_name is not None and self.cassandra_ca is None:
            raise ValueError("set FANFOLD_CASSANDRA_CA too: without TLS there is no certificate")
        return self

    @property
    def retention_ms(self) -> int:
        return self.retention_days * MS_PER_DAY

    @property
    def keep_ms(self) -> int:
        """How long after a post's creation its pointers and its fan-out are kept: a day longer than feeds show it."""
        return self.retention_ms + MS_PER_DAY

    @property
    def active_ms(self) -> int:
        return self.active_days * MS_PER_DAY
