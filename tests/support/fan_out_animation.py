"""One fan-out as an animated SVG, with the times that were measured. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

SHOWN = (0.06, 0.24, 0.42, 0.78)
"""When each step is shown, as a share of the loop.

The steps are evenly spaced, because the measured times are too short to be seen; these are written beside the steps.
"""
COLUMNS, ROWS = 20, 8
_STYLE = """
svg { --card: #fff; --ink: #1d1b22; --soft: #5d5a66; --line: #e4dfd8; --push: #0b655d; }
@media (prefers-color-scheme: dark) { svg { --card: #1c1b22; --ink: #edebf2; --soft: #a9a5b4; --line: #34323d; --push: #5eead4; } }
.card { fill: var(--card); stroke: var(--line); }
text { fill: var(--ink); font: 600 13px system-ui, sans-serif; text-anchor: middle; }
.soft { fill: var(--soft); font-weight: 400; }
.empty { fill: var(--line); }
.done { fill: var(--push); }
@media (prefers-reduced-motion: no-preference) { .done { animation-duration: 8s; animation-iteration-count: infinite; } }
"""


def animation(author: str, followers: int, steps: Sequence[tuple[str, int]]) -> str:
    """The picture. `steps` are the four of a fan-out, with the milliseconds since the first: followers get the post between the last two.

    Readers who ask for less motion see the last step.
    """
    if len(steps) != len(SHOWN):
        raise ValueError("a fan-out has four steps")
    first, last = SHOWN[2:]
    columns = [first + (last - first) * n / (COLUMNS - 1) for n in range(COLUMNS)]
    rules = [_appears(f"s{n}", at) for n, at in enumerate(SHOWN)]
    rules += [_appears(f"c{n}", at) for n, at in enumerate(columns)]
    about = f"{author}'s post reaches {followers:,} followers in {steps[-1][1]:,} ms"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 270" role="img" aria-label="{about}">',
            f"<style>{_STYLE}{''.join(rules)}</style>",
            '<rect class="card" x="1" y="1" width="678" height="268" rx="14"/>',
            *(_step(n, name, ms) for n, (name, ms) in enumerate(steps)),
            *(_column(n) for n in range(COLUMNS)),
            f'<text class="soft" x="340" y="252">{followers:,} timelines; a square stands for {followers / (COLUMNS * ROWS):g}</text>',
            "</svg>\n",
        ]
    )


def steps_of(created_at: str, fanout: Mapping[str, str]) -> list[tuple[str, int]]:
    """The steps of a post's fan-out, from the answers of the API."""
    times = {
        "appended": created_at,
        "planned": fanout["started_at"],
        "first slice": fanout["first_slice_at"],
        "last slice": fanout["finished_at"],
    }
    began = datetime.fromisoformat(created_at)
    return [
        (name, round((datetime.fromisoformat(at) - began).total_seconds() * 1000))
        for name, at in times.items()
    ]


def _appears(name: str, at: float) -> str:
    share = f"{100 * at:.1f}%"
    return f".{name} {{ animation-name: {name}; }} @keyframes {name} {{ 0%, {share} {{ opacity: 0; }} {100 * at + 2:.1f}%, 100% {{ opacity: 1; }} }}\n"


def _step(n: int, name: str, ms: int) -> str:
    x = 100 + 160 * n
    when = f"+{ms:,} ms" if n else "0 ms"
    line = f'<rect class="empty" x="{x - 150}" y="47" width="140" height="4"/>' if n else ""
    return (
        f'{line}<text x="{x}" y="30">{name}</text><circle class="empty" cx="{x}" cy="49" r="8"/>'
        f'<g class="done s{n}"><circle cx="{x}" cy="49" r="8"/><text class="soft" x="{x}" y="78">{when}</text></g>'
    )


def _column(n: int) -> str:
    x = 82 + 26 * n
    squares = [
        f'<rect x="{x}" y="{96 + 17 * row}" width="22" height="13" rx="3"/>' for row in range(ROWS)
    ]
    inside = "".join(squares)
    return f'<g class="empty">{inside}</g><g class="done c{n}">{inside}</g>'
