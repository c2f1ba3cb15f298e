"""Settings, from `FANFOLD_*` in the environment: every knob, with its unit in the name and its reason.

Only composition roots read them; everything else is handed what it needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveInt, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MS_PER_DAY = 24 * 3600 * 1000


class Settings(BaseSettings):
    """One frozen object for all services: what two of them must agree on has one home and one name."""

    model_config = SettingsConfigDict(env_prefix="FANFOLD_", frozen=True, extra="ignore")

    # What a feed is.
    pull_threshold: PositiveInt = Field(
        100_000, description="Followers at which an author is pulled instead of pushed."
    )
    pull_hysteresis: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Back to push below this share of the threshold, so that nobody flutters.",
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
        2000, description="Longest post, in characters as people count them."
    )
    max_following: PositiveInt = Field(5000, description="Most accounts one user may follow.")

    # Fan-out.
    bucket_followers: PositiveInt = Field(
        6250,
        description="Followers in a bucket, on average, before the next generation opens: a slice's size. "
        "16 such buckets reach the default threshold, so no pushed author has the next 256, nearly empty ones.",
    )
    slices_in_flight: PositiveInt = Field(
        4, description="Slices one worker delivers at a time; bounds its memory."
    )
    write_batch_rows: PositiveInt = Field(
        100,
        le=500,
        description="Rows in an UNLOGGED batch; 100 pointers stay under Cassandra's 50 KiB limit.",
    )
    writes_in_flight: PositiveInt = Field(
        8,
        description="Batches one process has on the way to Cassandra. Each statement of a small post queues behind "
        "them there: 64 delayed small posts more, and were no faster.",
    )
    take_events: PositiveInt = Field(200, description="Events a worker handles as one batch.")
    take_within_s: float = Field(
        0.02, gt=0, description="How long a worker waits to fill a batch: the floor of its latency."
    )
    retry_budget_s: float = Field(
        45,
        gt=0,
        description="How long a worker retries before it leaves to be restarted; under the group's 60 s.",
    )
    dead_letter_limit: PositiveInt = Field(
        100,
        description="Dead letters in a row after which a worker stops: more likely its fault than theirs.",
    )
    worker_id: str | None = Field(
        None,
        description="Fixed name of this worker in its group; with one, a restart is back in 1.5 s.",
    )

    # Reading.
    pulled_refresh_s: float = Field(
        0.5, gt=0, le=1, description="How often the set of pulled authors is read again."
    )
    tail_max_behind_s: float = Field(
        1, gt=0, description="Caches are bypassed while the tail of the log is further behind."
    )
    cache_ttl_s: float = Field(60, gt=0, description="No cached entry is older than this.")
    cached_viewer_graphs: PositiveInt = Field(
        10_000, description="Viewers whose graph, own posts and recent likes are cached."
    )
    cached_heads: PositiveInt = Field(
        10_000, description="Celebrities whose newest posts are cached."
    )
    cached_posts: PositiveInt = Field(100_000, description="Posts whose content is cached.")
    cached_names: PositiveInt = Field(100_000, description="Users whose display name is cached.")

    active_days: int = Field(
        30,
        ge=2,
        description="Whoever has read no feed for so long falls asleep: nothing is delivered until the next read. Reads are "
        "noted once a day, hence two at least.",
    )

    live_feeds: PositiveInt = Field(
        1000,
        description="Live feeds (`GET …/feed/stream`) open in one process; each looks at its feed at most twice a second.",
    )

    # HTTP.
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on.")
    auth: Literal["header"] = Field(
        "header",
        description="`header` trusts `X-User-Id`: local use, or behind a gateway that authenticates.",
    )
    request_timeout_s: float = Field(
        5, gt=0, description="A write that the log has not taken by then is answered 503."
    )
    max_clock_skew_s: float = Field(
        2, gt=0, description="An API whose clock is further from the log's answers 503."
    )

    # Engines.
    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Kafka, as `host:port,host:port`.")
    kafka_replication: PositiveInt = Field(
        1, description="Replicas of each topic that `topics apply` creates; 3 in production."
    )
    kafka_ca: Path | None = Field(
        None, description="CA certificates (PEM) that Kafka's is checked against; with it, TLS."
    )
    kafka_cert: Path | None = Field(
        None, description="Certificate (PEM) that this process shows Kafka; with its key."
    )
    kafka_key: Path | None = Field(None, description="Private key (PEM) of that certificate.")
    kafka_user: str | None = Field(
        None, description="User at Kafka, by SCRAM-SHA-512; with a password, over TLS."
    )
    kafka_password: SecretStr | None = Field(None, description="Password of that user.")
    topic_prefix: str = Field(
        "fanfold", description="Before each topic and group name: `fanfold.posts.v1`."
    )
    cassandra_hosts: str = Field("127.0.0.1", description="Contact points, comma-separated.")
    cassandra_port: int = Field(9042, description="Cassandra's native port.")
    cassandra_datacenter: str = Field(
        "datacenter1", description="The local datacenter; all workers are in it."
    )
    cassandra_keyspace: str = Field("fanfold", description="The keyspace.")
    cassandra_replication: PositiveInt = Field(
        1, description="Replicas that `schema migrate` creates the keyspace with; 3 in production."
    )
    cassandra_ca: Path | None = Field(
        None,
        description="CA certificates (PEM) that a node's is checked against; with it, TLS. The name in it is not "
        "looked at: nodes are found by address.",
    )
    cassandra_cert: Path | None = Field(
        None, description="Certificate (PEM) that this process shows a node; with its key."
    )
    cassandra_key: Path | None = Field(None, description="Private key (PEM) of that certificate.")
    cassandra_user: str | None = Field(
        None, description="Role at Cassandra; with a password, over TLS."
    )
    cassandra_password: SecretStr | None = Field(None, description="Password of that role.")
    cassandra_timeout_s: float = Field(2, gt=0, description="Longest wait for one statement.")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged, as JSON on stderr."
    )

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        for engine in ("kafka", "cassandra"):
            ca, cert, key, user, password = (
                getattr(self, f"{engine}_{part}")
                for part in ("ca", "cert", "key", "user", "password")
            )
            name = f"FANFOLD_{engine.upper()}"
            if (cert is None) != (key is None):
                raise ValueError(f"{name}_CERT and {name}_KEY go together")
            if (user is None) != (password is None):
                raise ValueError(f"{name}_USER and {name}_PASSWORD go together")
            if ca is None and (cert, user) != (None, None):
                raise ValueError(f"set {name}_CA too: credentials are only sent over TLS")
        return self

    @property
    def retention_ms(self) -> int:
        return self.retention_days * MS_PER_DAY

    @property
    def active_ms(self) -> int:
        return self.active_days * MS_PER_DAY
