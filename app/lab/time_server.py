"""A time server for hosts that reach no other: answers SNTP with this machine's clock."""

from __future__ import annotations

import socket
import struct
import time

EPOCH_1900_S = 2_208_988_800
PORT = 123
SERVER_MODE = 4
STRATUM = 5
PRECISION_LOG2_S = -20


def stamp() -> int:
    """Return the time as NTP writes it: seconds since 1900 in 32.32 bits."""
    now_ns = time.time_ns()
    seconds, rest_ns = divmod(now_ns, 1_000_000_000)
    return (seconds + EPOCH_1900_S) << 32 | (rest_ns << 32) // 1_000_000_000


def answer(request: bytes, received: int) -> bytes:
    """Return the answer to a client's packet, its transmit time echoed as the origin."""
    version = request[0] & 0b00111000
    poll = request[2]
    (origin,) = struct.unpack_from("!Q", request, 40)
    head = struct.pack("!BBBbII4s", version | SERVER_MODE, STRATUM, poll, PRECISION_LOG2_S, 0, 64, b"\x7f\x00\x00\x01")
    return head + struct.pack("!QQQQ", received, origin, received, stamp())


def serve(address: str) -> None:
    """Answer until the process is ended."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, PORT))
        while True:
            request, client = server.recvfrom(1024)
            if len(request) >= 48:
                server.sendto(answer(request, stamp()), client)
