"""How the bytes of an answer leave, or do not."""

import asyncio
import random
from dataclasses import dataclass

SLOW_INTERVAL_S = 1.0
GARBAGE_BYTES = 256


def silent(transport: asyncio.Transport, answer: bytes) -> None:
    """Send nothing; the connection stays open."""


def reset(transport: asyncio.Transport, answer: bytes) -> None:  # noqa: ARG001 - one signature
    """Cut the connection."""
    transport.abort()


@dataclass(frozen=True, slots=True)
class Garbage:
    """Send bytes that are no HTTP, and close."""

    seed: int

    def __call__(self, transport: asyncio.Transport, answer: bytes) -> None:
        """Send them."""
        transport.write(random.Random(self.seed).randbytes(max(GARBAGE_BYTES, len(answer))))  # noqa: S311 - replayable
        transport.close()


@dataclass(frozen=True, slots=True)
class Late:
    """Send the whole answer after a delay."""

    delay_s: float

    def __call__(self, transport: asyncio.Transport, answer: bytes) -> None:
        """Send it."""
        asyncio.get_running_loop().call_later(self.delay_s, _write, transport, answer)


def slow(transport: asyncio.Transport, answer: bytes) -> None:
    """Send one byte a second until the client has had enough."""
    if transport.is_closing() or not answer:
        return
    transport.write(answer[:1])
    asyncio.get_running_loop().call_later(SLOW_INTERVAL_S, slow, transport, answer[1:])


def _write(transport: asyncio.Transport, answer: bytes) -> None:
    if not transport.is_closing():
        transport.write(answer)
