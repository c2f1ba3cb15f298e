"""No line is lost, whatever the file holds and wherever an import crashes."""

from __future__ import annotations

import asyncio
import gzip
import tempfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.core.clock import rfc3339
from fanfold.core.ids import USER_ID_PATTERN
from fanfold.core.settings import Settings
from fanfold.ops.graph_import import importer, pace
from fanfold.ops.graph_import.checkpoint import Counts
from fanfold.ops.graph_import.edge_batches import EdgeFile, read_batches
from fanfold.ops.graph_import.edge_list import (
    LONGEST_LINE,
    Columns,
    Edge,
    Line,
    is_blank,
    parse,
    read_lines,
)
from tests.support.clock import START_MS
from tests.support.crashes import Killed, Life
from tests.support.examples import examples
from tests.support.fanout import a_pipeline
from tests.support.graph_import import Importing

user_ids = st.from_regex(USER_ID_PATTERN, fullmatch=True).filter(lambda user_id: len(user_id) <= 64)
few_ids = st.sampled_from([f"u{n}" for n in range(6)])
lines = st.one_of(
    st.builds("{},{}".format, few_ids, few_ids).map(str.encode),
    st.sampled_from([b"", b"# note", b"one", b"a,b,c", b"\xff,u1", b"u1 u2", b'"u1"\t"u3"']),
)


@given(text=st.binary(max_size=3 * LONGEST_LINE))
def test_every_byte_belongs_to_one_line_and_every_line_is_parsed_or_rejected(text: bytes) -> None:
    end = 0
    for number, line in enumerate(read_lines(BytesIO(text)), start=1):
        assert line.number == number
        assert text[end:].startswith(line.raw)
        assert end < line.end <= len(text)
        assert text[line.end - 1 : line.end] == b"\n" or line.end == len(text)
        end = line.end
        is_blank(line)
        parse(line, Columns(), latest_ms=START_MS)
    assert end == len(text)


@given(
    follower=user_ids,
    followee=user_ids,
    at_ms=st.none() | st.integers(0, START_MS),
    separator=st.sampled_from([",", "\t", " ", " , "]),
)
def test_a_written_edge_is_read_back(
    follower: str, followee: str, at_ms: int | None, separator: str
) -> None:
    written = [follower, followee, *([rfc3339(at_ms)] if at_ms is not None else [])]
    raw = separator.join(written).encode()
    found = parse(Line(1, raw, len(raw)), Columns(), latest_ms=START_MS)
    assert (found == Edge(follower, followee, at_ms)) == (follower != followee)


@given(text=st.lists(lines, max_size=12), batch=st.integers(1, 5), stop=st.integers(0, 12))
def test_reading_can_resume_at_any_batch(text: list[bytes], batch: int, stop: int) -> None:
    def read(counts: Counts, end: int) -> list[tuple[int, object]]:
        file = BytesIO(b"\n".join(text))
        batches = read_batches(
            EdgeFile(file, file), counts=counts, end=end, latest_ms=START_MS, lines=batch
        )
        return [
            (line.number, what) for batch in batches for line, what in [*batch.edges, *batch.wrong]
        ]

    whole = read(Counts(), 0)
    before = list(read_lines(BytesIO(b"\n".join(text))))[:stop]
    number, end = (before[-1].number, before[-1].end) if before else (0, 0)
    rest = read(Counts(lines=number), end)
    assert sorted(rest, key=str) == sorted([e for e in whole if e[0] > number], key=str)


@examples(40)
@given(
    text=st.lists(lines, max_size=20),
    batch=st.integers(1, 7),
    lives=st.lists(st.integers(0, 12), max_size=4),
    packed=st.booleans(),
    max_following=st.sampled_from([2, 100]),
    least_lag=st.sampled_from([4, 1000]),
)
def test_an_import_that_crashes_repeatedly_imports_every_good_line_and_keeps_every_bad_one_once(
    *,
    text: list[bytes],
    batch: int,
    lives: list[int],
    packed: bool,
    max_following: int,
    least_lag: int,
) -> None:
    edges = [
        (line.number, parse(line, Columns(), latest_ms=START_MS))
        for line in read_lines(BytesIO(b"\n".join(text)))
        if not is_blank(line)
    ]
    good = {edge[:2] for _, edge in edges if isinstance(edge, Edge)}
    bad = {number for number, edge in edges if not isinstance(edge, Edge)}

    async def scenario(directory: Path) -> None:
        path = directory / "edges"
        path.write_bytes(gzip.compress(b"\n".join(text)) if packed else b"\n".join(text))
        async with a_pipeline(Settings(take_events=5)) as pipeline:
            importing = Importing(
                pipeline, path, rules={"max_following": max_following, "max_lag_s": 0.1}
            )
            for writes in lives:
                try:
                    await importing.run(life=Life(writes))
                except Killed:
                    continue
            counts = await importing.run()
            active = await importing.active()
            kept = importing.rejected.read_bytes() if importing.rejected.exists() else b""
        numbers = [int(line.split()[2][:-1]) for line in kept.split(b"\n") if line[:6] == b"# line"]
        refused = set(numbers)
        assert len(numbers) == len(refused) == counts.rejected
        assert bad <= refused
        if max_following == 100:
            assert (active, refused) == (good, bad)
        else:
            assert active <= good
            followed = [follower for follower, _ in active]
            for follower in {follower for follower, _ in good}:
                wanted = sum(edge[0] == follower for edge in good)
                assert followed.count(follower) == min(wanted, max_following)

    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(importer, "BATCH", batch)
        patch.setattr(pace, "LEAST_LAG", least_lag)
        asyncio.run(scenario(Path(directory)))
