"""The page's timeline: what it shows when a page that was read and the stream's events come in either order."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from console_service.page import WEB

RUN = """
const { afterEvent, newestFirst, nothing, withChange, withPage } = await import(process.argv[1] + "/timeline.js");
const kinds = { page: withPage, change: withChange, event: (known, { name, ...data }) => afterEvent(known, name, data) };
const cases = JSON.parse(process.argv[2]);
console.log(JSON.stringify(cases.map(steps => newestFirst(steps.reduce((known, [kind, data]) => kinds[kind](known, data), nothing())))));
"""

Step = tuple[str, Any]
LEVEL: Step = ("event", {"name": "level"})


def post(n: int, **more: Any) -> dict[str, Any]:
    return {"post_id": f"{n:04}", "content": f"post {n}", **more}


def sent(n: int, **more: Any) -> Step:
    return ("event", {"name": "post", **post(n, **more)})


def shown(*cases: Sequence[Step]) -> list[list[str]]:
    """The contents after each case's steps, newest first."""
    arguments = ("--input-type=module", "--eval", RUN, str(WEB), json.dumps(cases))
    done = subprocess.run(["node", *arguments], capture_output=True, text=True, check=True)
    return [[item["content"] for item in case] for case in json.loads(done.stdout)]


def test_a_page_that_comes_late_undoes_nothing_that_the_stream_has_told() -> None:
    late: Step = ("page", [post(1), post(2)])
    window = [sent(n) for n in range(100, 120)]
    edited, gone, older, not_yet_level = shown(
        [sent(1, content="edited"), sent(2), LEVEL, late],
        [sent(1), sent(2), LEVEL, ("event", {"name": "removed", "post_id": "0002"}), LEVEL, late],
        # The stream answers for its window alone: older posts come by pages.
        [*window, LEVEL, late],
        [sent(1), late],
    )
    assert edited == ["post 2", "edited"]
    assert gone == ["post 1"]
    assert older[-2:] == ["post 2", "post 1"]
    assert len(older) == 22
    assert not_yet_level == ["post 2", "post 1"]


def test_without_a_stream_a_page_is_all_there_is() -> None:
    cut: Step = ("event", {"name": "cut"})
    again: Step = ("page", [post(1, content="edited"), post(2)])
    (read,) = shown([sent(1), LEVEL, cut, again])
    assert read == ["post 2", "edited"]


def test_a_change_of_a_post_that_is_gone_does_not_bring_it_back() -> None:
    liked: Step = ("change", {"post_id": "0001", "like_count": 1})
    gone, still_there = shown(
        [sent(1), LEVEL, ("event", {"name": "removed", "post_id": "0001"}), LEVEL, liked],
        [sent(1), LEVEL, liked],
    )
    assert gone == []
    assert still_there == ["post 1"]
