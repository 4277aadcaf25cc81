"""What a request's outcome proves, against a real TLS server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fix_tls import serve
from holdfast.errors import RetryLater
from holdfast.venues.alpaca.connection import (
    HEAD_BYTES_MAX,
    Connection,
    NotSent,
    Origin,
    Response,
    Unproven,
    tls_context,
)

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nX-RateLimit-Remaining: 7\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def connected(
    tmp_path: Path, script: Script, *, lines: int = 1, idle_s_max: float = 45.0
) -> AsyncIterator[Connection]:
    async with serve(tmp_path, script) as port:
        origin = Origin.parse(f"https://127.0.0.1:{port}", headers={"APCA-API-KEY-ID": "k"})
        context = tls_context(tmp_path / "cert.pem")
        async with Connection(origin, context, lines=lines, idle_s_max=idle_s_max) as connection:
            yield connection


def answering(*answers: bytes) -> tuple[Script, list[bytes]]:
    """A script that answers one request after another, on whatever connection, and keeps what it read."""
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0
            )
            seen.append(head + await reader.readexactly(length))
            answer = answers[min(len(seen), len(answers)) - 1]
            if not answer:
                return
            writer.write(answer)
            await writer.drain()

    return script, seen


async def test_requests_reuse_one_warm_connection(tmp_path: Path) -> None:
    script, seen = answering(OK)
    async with connected(tmp_path, script) as connection:
        for _ in range(3):
            answer = await connection.get("/v2/clock")
            assert (answer.status, answer.body, answer.headers["x-ratelimit-remaining"]) == (200, b"{}", "7")
        assert connection.connects == 1
        assert connection.is_warm
    assert len(seen) == 3
    assert seen[0].startswith(b"GET /v2/clock HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"APCA-API-KEY-ID: k\r\n" in seen[0]


async def test_a_post_whose_connection_drops_is_unproven_and_not_repeated(tmp_path: Path) -> None:
    script, seen = answering(b"")
    async with connected(tmp_path, script) as connection:
        outcome = await connection.request(connection.origin.encode("POST", "/v2/orders", b"{}"), timeout_s=5)
        assert isinstance(outcome, Unproven)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * (HEAD_BYTES_MAX + 1),
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
    ids=["half a body", "garbage", "endless headers", "interim only"],
)
async def test_an_incomplete_answer_proves_nothing(tmp_path: Path, answer: bytes) -> None:
    script, _ = answering(answer)
    async with connected(tmp_path, script) as connection:
        outcome = await connection.request(connection.origin.encode("POST", "/v2/orders", b"{}"), timeout_s=0.2)
        assert isinstance(outcome, Unproven)


async def test_the_line_opens_again_after_a_failure(tmp_path: Path) -> None:
    script, seen = answering(b"", OK)
    async with connected(tmp_path, script) as connection:
        with pytest.raises(RetryLater, match="GET /v2/orders"):
            await connection.get("/v2/orders?status=open", timeout_s=5)
        assert (await connection.get("/v2/orders")).status == 200
        assert connection.connects == 2
    assert len(seen) == 2


async def test_a_late_answer_does_not_reach_the_next_request(tmp_path: Path) -> None:
    release = asyncio.Event()
    count = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while True:
            await reader.readuntil(b"\r\n\r\n")
            count += 1
            if count == 1:
                await release.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
            else:
                writer.write(OK)

    async with connected(tmp_path, script) as connection:
        assert isinstance(await connection.request(connection.origin.encode("GET", "/1"), timeout_s=0.1), Unproven)
        release.set()
        assert (await connection.get("/2")).body == b"{}"


async def test_nothing_is_sent_without_a_connection(tmp_path: Path) -> None:
    origin = Origin(host="127.0.0.1", port=9)
    async with Connection(origin, tls_context()) as connection:
        outcome = await connection.request(origin.encode("POST", "/v2/orders", b"{}"), timeout_s=0.1)
        assert isinstance(outcome, NotSent)


async def test_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    script, seen = answering(OK)
    async with (
        serve(tmp_path, script) as port,
        Connection(Origin(host="127.0.0.1", port=port), tls_context()) as connection,
    ):
        outcome = await connection.request(connection.origin.encode("GET", "/"), timeout_s=0.5)
        assert isinstance(outcome, NotSent)
        assert "certificate" in connection.last_error.lower()
    assert not seen


async def test_a_line_carries_one_request_at_a_time(tmp_path: Path) -> None:
    script, _ = answering(OK)
    async with connected(tmp_path, script) as connection:
        line = await connection.acquire(timeout_s=5)
        assert line is not None
        first = line.send(connection.origin.encode("GET", "/1"), timeout_s=5)
        assert isinstance(await line.send(connection.origin.encode("GET", "/2"), timeout_s=5), NotSent)
        assert connection.take() is None
        assert isinstance(await first, Response)


async def test_lines_work_side_by_side(tmp_path: Path) -> None:
    arrived = asyncio.Barrier(3)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await arrived.wait()
            writer.write(OK)

    async with connected(tmp_path, script, lines=3) as connection:
        answers = await asyncio.gather(*(connection.get(f"/{number}") for number in range(3)))
        assert [answer.status for answer in answers] == [200] * 3


async def test_an_idle_line_is_replaced_before_the_venue_closes_it(tmp_path: Path) -> None:
    opened: asyncio.Queue[None] = asyncio.Queue()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.put_nowait(None)
        await reader.read()

    async with connected(tmp_path, script, idle_s_max=0.1):
        for _ in range(2):
            await asyncio.wait_for(opened.get(), 5)


async def test_a_chunked_answer_is_put_together(tmp_path: Path) -> None:
    script, _ = answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")
    async with connected(tmp_path, script) as connection:
        assert (await connection.get("/")).body == b"{}"


def test_a_header_cannot_carry_a_second_line() -> None:
    with pytest.raises(AssertionError):
        Origin(host="h", port=443, headers={"a": "b\r\nc: d"}).head()


async def test_only_so_many_wait_for_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.venues.alpaca.connection.WAITING_MAX", 3)
    async with connected(tmp_path, answering(OK)[0]) as connection:
        line = await connection.acquire(timeout_s=5)
        assert line is not None
        waiting = [asyncio.create_task(connection.acquire(timeout_s=30)) for _ in range(3)]
        await asyncio.sleep(0)
        assert len(connection._waiting) == 3
        assert await connection.acquire(timeout_s=30) is None
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not connection._waiting
        connection.give_back(line)
        assert await connection.acquire(timeout_s=5) is line
