"""The worker's metrics. No label has more than a dozen values."""

from __future__ import annotations

from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from fanfold.core.events import COMMANDS, PROJECTED_TOPICS
from fanfold.core.metric_labels import start_at_zero
from fanout_service.dead_letter_limit import CAUSES, SOURCES
from fanout_service.push_or_pull import Strategy

_TOPICS = (*PROJECTED_TOPICS, COMMANDS)

EVENTS = Counter(
    "fanfold_fanout_events",
    "Records processed, by topic and by result: projected or dead_letter.",
    ["topic", "result"],
)
DEAD_LETTERS = Counter(
    "fanfold_fanout_dead_letters",
    "Records dead-lettered, by source (one of our services, own, foreign, or none) and by cause (undecodable, rejected or unexpected).",
    ["source", "cause"],
)
RETRIES = Counter(
    "fanfold_fanout_retries",
    "Attempts that failed with a transient error, by topic.",
    ["topic"],
)
DELIVERIES = Counter(
    "fanfold_fanout_deliveries",
    "Pointers written into timelines, by cause: fanout, backfill or awakening.",
    ["cause"],
)
SAVED_DELIVERIES = Counter(
    "fanfold_fanout_saved_deliveries",
    "Pointers that a fan-out did not write because their readers are asleep.",
)
POSTS_PLANNED = Counter(
    "fanfold_fanout_posts_planned",
    "Posts planned, by strategy: push, pull or both.",
    ["strategy"],
)
SLICE_SECONDS = Histogram(
    "fanfold_fanout_slice_seconds",
    "Time to deliver one slice: read its followers, write their timelines, record it.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
PLANNED_AFTER_SECONDS = Histogram(
    "fanfold_fanout_planned_after_seconds",
    "From the log's append of a post to the plan of its fan-out.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300),
)
_AGES_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
DELIVERY_AGE_SECONDS = Histogram(
    "fanfold_delivery_age_seconds",
    "Age of a post, by the time in its id, when one slice of its followers has it.",
    buckets=_AGES_S,
)
LAST_SLICE_AGE_SECONDS = Histogram(
    "fanfold_delivery_last_slice_age_seconds",
    "Age of a post, by the time in its id, when the last slice of its followers has it.",
    buckets=_AGES_S,
)
LAG = Gauge(
    "fanfold_fanout_lag_records",
    "Records of this worker's partitions that are not acknowledged, by topic.",
    ["topic"],
)

start_at_zero(EVENTS, _TOPICS, ("projected", "dead_letter"))
start_at_zero(DEAD_LETTERS, SOURCES, CAUSES)
start_at_zero(RETRIES, _TOPICS)
start_at_zero(DELIVERIES, ("fanout", "backfill", "awakening"))
start_at_zero(POSTS_PLANNED, get_args(Strategy))
start_at_zero(LAG, _TOPICS)
