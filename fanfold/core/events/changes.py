"""What an event changes: whose cell, which one, and its new value.

Every event declares its changes (`changes()`), and what reacts to events reacts to these: readers that wait for a write, and
dead letters that a later event has overtaken. Each matches `Change` exhaustively, so that the type
checker finds every place that a new kind of change must be decided in.

A cell is the smallest thing that one event sets and a later one sets again. All events that set a cell have one topic and one key,
so their offsets say which is the later one. A change without a cell is for good, or means the same whenever it is handled.
"""

from __future__ import annotations

from typing import Literal, NamedTuple
from uuid import UUID

from fanfold.core.delivery import Delivery


class Cell(NamedTuple):
    """The cell's owner, and which of the owner's cells it is: about a post, about another user, or about nothing more."""

    owner_id: str
    kind: Literal["text", "like", "name", "follow", "mute", "block", "blocked_by", "asleep"]
    about: str | UUID = ""


class ViewerCell(NamedTuple):
    """One of the cells that decide which posts a viewer sees: of which kind, and about which other user."""

    kind: Literal["follow", "mute", "block", "blocked_by", "asleep"]
    other_id: str = ""


class PostAdded(NamedTuple):
    """An author's list of posts has one more."""

    author_id: str
    post_id: UUID

    @property
    def cell(self) -> None:
        return None


class PostChanged(NamedTuple):
    """A post has another text, or is deleted."""

    author_id: str
    post_id: UUID
    deleted: bool

    @property
    def cell(self) -> Cell | None:
        return None if self.deleted else Cell(self.author_id, "text", self.post_id)


class LikeChanged(NamedTuple):
    """A user's like of a post begins (`active`) or ends."""

    user_id: str
    post_id: UUID
    author_id: str
    active: bool

    @property
    def cell(self) -> Cell:
        return Cell(self.user_id, "like", self.post_id)


class NameChanged(NamedTuple):
    """A user is registered, or has another display name."""

    user_id: str

    @property
    def cell(self) -> Cell:
        return Cell(self.user_id, "name")


class UserGone(NamedTuple):
    """A user and their posts are hidden."""

    user_id: str

    @property
    def cell(self) -> None:
        return None


class ViewerGraphChanged(NamedTuple):
    """One of a viewer's cells is on (`active`) or off."""

    viewer_id: str
    viewer_cell: ViewerCell
    active: bool

    @property
    def cell(self) -> Cell:
        return Cell(self.viewer_id, *self.viewer_cell)


class AwakeningBegun(NamedTuple):
    """A sleeping user's timeline is to be filled again. Until it is, the user stays asleep."""

    user_id: str

    @property
    def cell(self) -> Cell:
        return Cell(self.user_id, "asleep")


class DeliveryChanged(NamedTuple):
    """An author's posts are pushed or pulled from now on. Readers don't ask: they find pulled posts by themselves."""

    author_id: str
    delivery: Delivery

    @property
    def cell(self) -> None:
        return None


Change = (
    PostAdded
    | PostChanged
    | LikeChanged
    | NameChanged
    | UserGone
    | ViewerGraphChanged
    | AwakeningBegun
    | DeliveryChanged
)
