"""Knocks at every port of an address, or hears who knocks: what a firewall lets through, without waiting for silence.

A raw socket gets a packet after the firewall of its host has let it in, whether or not anybody listens at the port.
Run inside a network by `python -m lab.knock`; needs nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import json
import socket
import struct
import sys
import time
from contextlib import suppress

PORTS = range(1, 65536)
# More than the system's limit; Linux knows it, Python has no name for it.
SO_RCVBUFFORCE = 33
BUFFER_BYTES = 64 << 20
PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
SYN_ALONE = 0x02
SYN_OR_ACK = 0x12
PORT_OF_OURS = 40404
WORD_OF_OURS = b"knock"
UDP_HEADER_BYTES = 8
BATCH = 512
PAUSE_S = 0.002


def knock(source: str, target: str, protocol: str) -> None:
    """Send one packet to every port: a datagram with a word, or the first of a connection."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_RAW
    with socket.socket(socket.AF_INET, kind, PROTOCOLS[protocol]) as sender:
        sender.bind((source, 0))
        for port in PORTS:
            packet, end = (WORD_OF_OURS, port) if protocol == "udp" else (opening(source, target, port), 0)
            # What the firewall of this side refuses is an error here, and a packet that nobody hears.
            with suppress(OSError):
                sender.sendto(packet, (target, end))
            if port % BATCH == 0:
                time.sleep(PAUSE_S)


def opening(source: str, target: str, port: int) -> bytes:
    """Return the TCP segment that asks for a connection."""
    segment = struct.pack("!HHIIBBHHH", PORT_OF_OURS, port, 1, 0, 5 << 4, SYN_ALONE, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", socket.IPPROTO_TCP, len(segment))
    total = sum(struct.unpack(f"!{(len(pseudo) + len(segment)) // 2}H", pseudo + segment))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return segment[:16] + struct.pack("!H", ~total & 0xFFFF) + segment[18:]


def listen(source: str, target: str, protocol: str) -> list[int]:
    """Hear until told on stdin to stop; return the ports at which packets of `source` came in."""
    heard: set[int] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOLS[protocol]) as ear:
        ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        ear.bind((target, 0))
        ear.settimeout(0)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        while True:
            try:
                packet = ear.recv(65535)
            except BlockingIOError:
                return sorted(heard)
            start = (packet[0] & 0x0F) * 4
            if is_knock(packet[start:], protocol) and packet[12:16] == socket.inet_aton(source):
                heard.add(int.from_bytes(packet[start + 2 : start + 4]))


def is_knock(packet: bytes, protocol: str) -> bool:
    """Whether it is one of ours: the services of the source open connections and answer questions meanwhile."""
    if protocol == "udp":
        return packet[UDP_HEADER_BYTES:] == WORD_OF_OURS
    return packet[13] & SYN_OR_ACK == SYN_ALONE and int.from_bytes(packet[:2]) == PORT_OF_OURS


def main() -> int:
    """Run one side: `knock SOURCE TARGET PROTOCOL UID` or `listen SOURCE TARGET PROTOCOL`."""
    action, source, target, protocol, *user = sys.argv[1:]
    if action == "listen":
        sys.stdout.write(json.dumps(listen(source, target, protocol)) + "\n")
        return 0
    # Whose a socket is, as the firewall sees it, is decided by this identity; the right to send any packet stays.
    ctypes.CDLL(None).setfsuid(int(user[0]))
    knock(source, target, protocol)
    return 0


if __name__ == "__main__":
    sys.exit(main())
