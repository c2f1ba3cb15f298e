"""Which server of a cluster has which of the 16384 hash slots."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable
from typing import NamedTuple

from fanfold.adapters.redis.address import Address

SLOTS = 16_384


def slot_of(key: str) -> int:
    """The hash slot of a key. No key of the cache has a brace, so that no part of one is a hash tag."""
    return crc_hqx(key.encode(), 0) % SLOTS


class Range(NamedTuple):
    """Slots of one master, the last included. The greater `epoch` of two claims to a slot is the newer one."""

    first: int
    last: int
    epoch: int
    node_id: str
    address: Address


View = tuple[Range, ...]


def view_of(nodes: bytes, *, asked: Address) -> View:
    """What one node answers to `CLUSTER NODES`: the slots of each master. Raises `ValueError`."""
    ranges: list[Range] = []
    for line in nodes.decode().splitlines():
        node_id, where, flags, _, _, _, epoch, _, *slots = line.split(" ")
        if "master" not in flags.split(","):
            continue
        address = _address(where, asked)
        for slot in slots:
            # In brackets: a slot that is moving. It belongs to its old master until it has moved.
            if not slot.startswith("["):
                first, _, last = slot.partition("-")
                ranges.append(Range(int(first), int(last or first), int(epoch), node_id, address))
    return tuple(sorted(ranges))


def _address(where: str, asked: Address) -> Address:
    """The address in `ip:port@bus,hostname`. A node that has met no other doesn't know its own ip."""
    endpoint, _, names = where.partition(",")
    host, _, port = endpoint.partition("@")[0].rpartition(":")
    return Address(names.partition(",")[0] or host or asked.host, int(port))


class SlotMap:
    """The newest claims to the slots, and the `masters` that have one. A claim that is older than a known one changes nothing: a node that was away for a while makes such claims."""

    def __init__(self) -> None:
        self.owners: list[Address | None] = [None] * SLOTS
        self.masters: frozenset[Address] = frozenset()
        self._epochs = [-1] * SLOTS
        self._claims: frozenset[Range] = frozenset()

    def take(self, views: Iterable[View]) -> bool:
        """Take the answers of several nodes. Returns whether a slot has another owner than before."""
        claims = frozenset(claim for view in views for claim in view)
        if claims == self._claims:
            return False
        before = [*self.owners]
        if {claim.node_id for claim in claims}.isdisjoint(claim.node_id for claim in self._claims):
            # Another cluster at the same addresses, whose epochs begin again.
            self.owners, self._epochs = [None] * SLOTS, [-1] * SLOTS
        self._claims = claims
        for claim in claims:
            for slot in range(claim.first, claim.last + 1):
                if claim.epoch >= self._epochs[slot]:
                    self._epochs[slot], self.owners[slot] = claim.epoch, claim.address
        self.masters = frozenset(owner for owner in self.owners if owner is not None)
        return self.owners != before
