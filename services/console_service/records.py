"""Records as the console shows them, as JSON. Pure."""

from __future__ import annotations

import shlex
from typing import Any

from console_service.browse import Page
from fanfold.core.clock import rfc3339
from fanfold.core.dead_letters import read_letter
from fanfold.core.errors import Rejected
from fanfold.core.events import event_name
from fanfold.core.ports.log import Record

LONGEST_TEXT = 2_000


def event_rows(page: Page) -> dict[str, Any]:
    """A page of events."""
    return {"items": [_event(record) for record in page.records], **_end(page)}


def dead_letter_rows(page: Page, *, replays: bool) -> dict[str, Any]:
    """A page of dead letters. `command` handles one again; None where no command reaches the log."""
    return {"items": [_letter(record, replays=replays) for record in page.records], **_end(page)}


def is_dead_letter(record: Record) -> bool:
    """Whether it is one, and not another program's record."""
    try:
        read_letter(record)
    except Rejected:
        return False
    return True


def _end(page: Page) -> dict[str, Any]:
    return {"looked_at": page.looked_at, "next_cursor": page.cursor}


def _event(record: Record) -> dict[str, Any]:
    return {
        "position": str(record.position),
        "appended_at": rfc3339(record.appended_at_ms),
        "type": event_name(record.headers),
        "key": _text(record.key),
        "source": _text(record.headers.get("ce_source")),
        "value": _text(record.value),
    }


def _letter(record: Record, *, replays: bool) -> dict[str, Any]:
    letter = read_letter(record)
    origin = str(letter.record.position)
    command = f"fanfold dead-letters replay --at {shlex.quote(origin)}"
    return {
        "position": origin,
        "type": event_name(letter.record.headers),
        "key": _text(letter.record.key),
        "reason": letter.reason[:LONGEST_TEXT],
        "dead_lettered_at": rfc3339(letter.dead_lettered_at_ms),
        "replay_of": str(letter.replay_of) if letter.replay_of else None,
        "command": command if replays else None,
    }


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="replace")[:LONGEST_TEXT]
