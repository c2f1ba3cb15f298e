"""`Fanfold-Position` and `Fanfold-After`: the position of a write's event in the log, and what the event changed.

    graph.v1/3/127;graph:alice:follow:bob:on

A read that has to see the write then looks at the rows that the event changed, and never at the log. To clients the text is opaque. A
position alone (`graph.v1/3/127`), as a consumer of the topics knows it, is looked up in the log.

Anyone can make up such a text: it makes one's own read wait and look at rows, and changes nothing that others see.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final, assert_never
from uuid import UUID

from fastapi import Depends, Header, Request, Response

from fanfold.core.events import (
    PROJECTED_TOPICS,
    AwakeningBegun,
    Change,
    DeliveryChanged,
    Event,
    LikeChanged,
    NameChanged,
    PostAdded,
    PostChanged,
    UserGone,
    ViewerCell,
    ViewerGraphChanged,
)
from fanfold.core.ids import USER_ID_PATTERN
from fanfold.core.ports.log import EventLog, Position
from fanfold.http.openapi import POSITION_HEADER
from fanfold.http.params import POST_ID
from fanfold.http.problems import Invalid
from fanfold.http.stale_writes import refuse_stale

MOST_AWAITED: Final = 100
"""As many as one write answers: following a hundred users."""

AFTER_HEADER: Final = "Fanfold-After"

_MOST_CHANGES = 2  # of one event: a block is one for each of two viewers
_USER_ID = re.compile(f"(?=.{{1,64}}$){USER_ID_PATTERN}")


@dataclass(frozen=True, slots=True)
class Written:
    """An event that the log has: its position and its changes. `changes` is None if only the position is known."""

    position: Position
    changes: tuple[Change, ...] | None = None

    def __str__(self) -> str:
        """The form of the headers."""
        texts = [text for change in self.changes or () if (text := _text(change)) is not None]
        return ";".join((str(self.position), *texts))

    @classmethod
    def parse(cls, text: str) -> Written:
        """What this text names. Raises `ValueError`."""
        position_text, *changes = text.split(";")
        position = Position.parse(position_text)
        if position.topic not in PROJECTED_TOPICS:
            raise ValueError(f"{position.topic!r} is no topic of writes")
        if len(changes) > _MOST_CHANGES:
            raise ValueError(f"{len(changes)} changes are more than one event makes")
        return cls(position, tuple(map(_change, changes)) or None)


async def append(log: EventLog, event: Event) -> Written | None:
    """Append an event as `EventLog.append` does: None when the log has it but can't tell its position.

    Raises `Unavailable` also where nobody waits for the request any more.
    """
    refuse_stale()
    position = await log.append(event)
    return None if position is None else Written(position, event.changes())


def position_fields(*written: Written | None) -> dict[str, str]:
    """The header that names all events of a write; none if the log could not tell the position of one.

    With only some of them, a client would wait for half of a write and take it for all of it.
    """
    known = [str(one) for one in written if one is not None]
    return {POSITION_HEADER: ", ".join(known)} if known and len(known) == len(written) else {}


def set_position(response: Response, *written: Written | None) -> None:
    """Add `position_fields` to an answer."""
    response.headers.update(position_fields(*written))


def no_content(*written: Written | None) -> Response:
    """The 204 of a write, with `position_fields`."""
    return Response(status_code=204, headers=position_fields(*written))


def written_after(headers: list[str]) -> list[Written]:
    """The writes that these `Fanfold-After` headers name. Answers 422 for what isn't one."""
    texts = [text.strip() for header in headers for text in header.split(",")]
    if len(texts) > MOST_AWAITED:
        raise Invalid.at("header", AFTER_HEADER, f"Send at most {MOST_AWAITED} positions.")
    try:
        return [Written.parse(text) for text in texts]
    except ValueError as error:
        raise Invalid.at(
            "header", AFTER_HEADER, f"Send values that writes answered in {POSITION_HEADER}."
        ) from error


async def named_writes(
    request: Request,
    _documented: Annotated[
        str | None,
        Header(
            alias=AFTER_HEADER,
            description=f"Positions that writes have answered (`{POSITION_HEADER}`), separated by commas, {MOST_AWAITED} at most. "
            "This read sees those writes. If one is not visible within a second, a feed reports `behind`, and any other read "
            "answers 503.",
        ),
    ] = None,
) -> list[Written]:
    """The writes that a request has to see. Answers 422 for what isn't one."""
    # One string in OpenAPI, because generators leave out routes with a list in a header; but a field may come in several lines.
    return written_after(request.headers.getlist(AFTER_HEADER))


After = Annotated[list[Written], Depends(named_writes)]
"""A parameter of this type makes a route take the header, and receives the writes that it names."""


def _text(change: Change) -> str | None:
    """A change as text; None for one that no read waits for."""
    fields: tuple[str | UUID, ...]
    match change:
        case PostAdded(author_id, post_id):
            fields = "post", author_id, post_id
        case PostChanged(author_id, post_id, deleted):
            fields = "text", author_id, post_id, _on(not deleted)
        case LikeChanged(user_id, post_id, author_id, active):
            fields = "like", user_id, post_id, author_id, _on(active)
        case NameChanged(user_id):
            fields = "name", user_id
        case UserGone(user_id):
            fields = "left", user_id
        case ViewerGraphChanged(viewer_id, (kind, other_id), active):
            fields = "graph", viewer_id, kind, other_id, _on(active)
        case AwakeningBegun() | DeliveryChanged():
            return None
        case _:
            assert_never(change)
    return ":".join(map(str, fields))


def _change(text: str) -> Change:
    """The change of a text. Raises `ValueError`."""
    change: Change
    match text.split(":"):
        case ["post", author, post]:
            change = PostAdded(_user(author), _post(post))
        case ["text", author, post, on]:
            change = PostChanged(_user(author), _post(post), deleted=not _is_on(on))
        case ["like", user, post, author, on]:
            change = LikeChanged(_user(user), _post(post), _user(author), _is_on(on))
        case ["name", user]:
            change = NameChanged(_user(user))
        case ["left", user]:
            change = UserGone(_user(user))
        case ["graph", viewer, "asleep", "", on]:
            change = ViewerGraphChanged(_user(viewer), ViewerCell("asleep"), _is_on(on))
        case ["graph", viewer, ("follow" | "mute" | "block" | "blocked_by") as kind, other, on]:
            cell = ViewerCell(kind, _user(other))
            change = ViewerGraphChanged(_user(viewer), cell, _is_on(on))
        case _:
            raise ValueError(f"{text!r} is no change")
    return change


def _on(active: bool) -> str:
    return "on" if active else "off"


def _is_on(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError(f"{text!r} is neither on nor off")
    return text == "on"


def _user(text: str) -> str:
    if _USER_ID.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no user id")
    return text


def _post(text: str) -> UUID:
    if POST_ID.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no post id")
    return UUID(text)
