"""Which node of a cluster has which slot, from the answers of its nodes."""

from __future__ import annotations

from fanfold.adapters.redis.address import Address
from fanfold.adapters.redis.slots import SLOTS, SlotMap, slot_of, view_of

ASKED = Address("10.0.0.9", 6379)
FIRST, SECOND = Address("10.0.0.1", 6379), Address("10.0.0.2", 6380)


def nodes(*lines: str) -> bytes:
    return "\n".join([*lines, ""]).encode()


def master(address: str, epoch: int, *slots: str, node_id: str = "", flags: str = "master") -> str:
    return " ".join(
        [node_id or f"id-of-{address}", address, flags, "- 0 0", str(epoch), "connected", *slots]
    )


def owners(*answers: bytes) -> SlotMap:
    slots = SlotMap()
    for answer in answers:
        slots.take([view_of(answer, asked=ASKED)])
    return slots


def test_a_key_has_the_slot_that_the_servers_give_it() -> None:
    # The check value of this CRC, from the specification of Redis Cluster.
    assert slot_of("123456789") == 0x31C3 % SLOTS


def test_masters_have_their_slots_and_replicas_have_none() -> None:
    answer = nodes(
        master("10.0.0.1:6379@16379", 1, "0-99", "200"),
        master("10.0.0.2:6380@16380,", 2, "100-199", flags="myself,master"),
        "id-of-a-replica 10.0.0.3:6379@16379 slave id-of-first 0 0 1 connected",
        master("10.0.0.4:6379@16379", 3),
    )
    slots = owners(answer)
    assert [slots.owners[slot] for slot in (0, 99, 100, 200, 201)] == [
        *(FIRST, FIRST, SECOND, FIRST, None),
    ]
    assert slots.masters == {FIRST, SECOND}


def test_a_slot_that_moves_belongs_to_its_old_master_until_it_has_moved() -> None:
    moving = "[5->-id-of-another]"
    assert view_of(nodes(master("10.0.0.1:6379@16379", 1, "0-9", moving)), asked=ASKED) == (
        view_of(nodes(master("10.0.0.1:6379@16379", 1, "0-9")), asked=ASKED)
    )


def test_a_node_is_known_by_its_name_and_one_without_an_address_by_the_address_that_was_asked() -> (
    None
):
    answer = nodes(
        master("10.0.0.1:6379@16379,cache-1.example.com", 1, "0"),
        master(":7000@17000", 2, "1", flags="myself,master"),
    )
    slots = owners(answer)
    assert slots.owners[:2] == [Address("cache-1.example.com", 6379), Address("10.0.0.9", 7000)]


def test_the_newer_claim_to_a_slot_counts_in_whatever_order_they_are_told() -> None:
    before = nodes(master("10.0.0.1:6379@16379", 3, "0-9"), master("10.0.0.5:6379@1", 1, "10"))
    after = nodes(master("10.0.0.2:6380@16380", 4, "0-9"), master("10.0.0.5:6379@1", 1, "10"))
    for answers in ([before, after], [after, before]):
        assert owners(*answers).owners[0] == SECOND
    both = SlotMap()
    assert both.take([view_of(after, asked=ASKED), view_of(before, asked=ASKED)])
    assert both.owners[0] == SECOND
    assert not both.take([view_of(before, asked=ASKED), view_of(after, asked=ASKED)]), "known"


def test_another_cluster_at_the_same_addresses_begins_again() -> None:
    old = nodes(master("10.0.0.1:6379@16379", 9, "0-9"))
    new = nodes(master("10.0.0.2:6380@16380", 1, "0", node_id="of-another-cluster"))
    slots = owners(old, new)
    assert slots.owners[:2] == [SECOND, None]
