"""A header's checksum is computed once, and is the one that Cassandra expects."""

from __future__ import annotations

from io import BytesIO

import pytest
from cassandra import segment
from cassandra.segment import CRC24_INIT, CRC24_POLY, CrcException, SegmentCodec

import fanfold.adapters.cassandra.connect  # noqa: F401 - it keeps what was computed


def _crc24(data: bytes) -> int:
    """As the protocol describes it: CRC-24 of the bytes, over an initial value."""
    crc: int = CRC24_INIT
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc = crc << 1 ^ (CRC24_POLY if crc & 0x800000 else 0)
    return crc


@pytest.mark.parametrize("data", [0, 1, 0x20_0000 | 57, 0x1FFFF, 0x3FFFF])
def test_the_checksum_of_a_header_is_that_of_the_protocol(data: int) -> None:
    for _ in range(2):
        assert segment.compute_crc24(data, 3) == _crc24(data.to_bytes(3, "little"))


def test_messages_of_the_same_length_share_one_checksum() -> None:
    before = segment.compute_crc24.cache_info()
    for _ in range(50):
        SegmentCodec().encode(BytesIO(), bytes(77))
    after = segment.compute_crc24.cache_info()
    assert after.misses - before.misses <= 1
    assert after.hits - before.hits >= 49


def test_a_header_that_was_damaged_is_still_found_out() -> None:
    sent = BytesIO()
    SegmentCodec().encode(sent, bytes(77))
    SegmentCodec().decode_header(BytesIO(sent.getvalue()))
    damaged = bytes([sent.getvalue()[0] ^ 1]) + sent.getvalue()[1:]
    with pytest.raises(CrcException):
        SegmentCodec().decode_header(BytesIO(damaged))
