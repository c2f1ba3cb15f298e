"""Which broker is the active controller: no client library that is here asks Kafka for it."""

from __future__ import annotations

import socket
import struct

_TOPIC = b"__cluster_metadata"
# DescribeQuorum v0 (key 55), correlation id 1, no client id, no tags; one topic with its partition 0. Lengths of compact arrays and
# strings are one more than what they count.
_BODY = struct.pack(">hhihb", 55, 0, 1, -1, 0) + bytes([2, len(_TOPIC) + 1]) + _TOPIC
_QUESTION = _BODY + bytes([2]) + struct.pack(">i", 0) + bytes(3)


def controller_by(host: str, port: int) -> int:
    """The id of the controller, as this broker hears from it. Raises `OSError` if it does not answer in time."""
    with socket.create_connection((host, port), timeout=5) as broker:
        broker.sendall(struct.pack(">i", len(_QUESTION)) + _QUESTION)
        answer = b""
        while len(answer) < 4 or len(answer) < 4 + struct.unpack(">i", answer[:4])[0]:
            part = broker.recv(4096)
            if not part:
                raise OSError(f"{host}:{port} hung up")
            answer += part
    # After the name: the number of partitions, the partition, its error; then the leader.
    at = answer.index(_TOPIC) + len(_TOPIC) + 1
    partition, error, leader = struct.unpack(">ihi", answer[at : at + 10])
    if (partition, error) != (0, 0):
        raise OSError(f"the quorum is not known: error {error}")
    return int(leader)
