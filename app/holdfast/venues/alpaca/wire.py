"""Alpaca's numbers and times as integers: decimal text times 1e9, RFC 3339 as ns UTC. Never through a float."""

import calendar
import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from holdfast.errors import BadInput

SECOND_NS = 1_000_000_000
_SCALE = Decimal(1_000_000_000)
_ONE = Decimal(1)
PAIRS_QUOTED_IN = ("USDT", "USDC", "USD", "BTC")
_E9_MAX = 2**63 - 1
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)",
    re.ASCII,
)


def e9(number: Decimal | None) -> int:
    """Return the number times 1e9, rounded half to even; None is 0.

    Raises: BadInput for NaN, infinity and what does not fit into 64 bits.
    """
    if number is None:
        return 0
    try:
        scaled = int((number * _SCALE).quantize(_ONE, ROUND_HALF_EVEN))
    except (InvalidOperation, ValueError, OverflowError):
        raise BadInput(f"number: expected a finite decimal below 9.2e9, found {number}") from None
    if abs(scaled) > _E9_MAX:
        raise BadInput(f"number: expected a finite decimal below 9.2e9, found {number}")
    return scaled


def decimal_text(value_e9: int) -> str:
    """Return a number scaled by 1e9 as exact decimal text without trailing zeros."""
    whole, fraction = divmod(abs(value_e9), 1_000_000_000)
    text = f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if value_e9 < 0 else text


def pair(name: str) -> str:
    """Return a pair of cryptocurrencies as orders name it: the venue leaves out the slash where it lists positions.

    Source: https://docs.alpaca.markets/docs/crypto-trading, "Supported Coins": pairs are quoted in these.
    """
    quoted = next((quoted for quoted in PAIRS_QUOTED_IN if name.endswith(quoted) and name != quoted), "")
    return f"{name.removesuffix(quoted)}/{quoted}" if quoted and "/" not in name else name


def rfc3339(at_ns: int) -> str:
    """Return a time as text with nine decimals, UTC."""
    seconds, fraction = divmod(at_ns, SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"


def time_ns(text: str | None) -> int:
    """Return an RFC 3339 time as ns UTC; None and the empty text are 0.

    Raises: BadInput for anything else.
    """
    if not text:
        return 0
    found = _TIME.fullmatch(text)
    if found is None:
        raise BadInput(f"time: expected RFC 3339, found {text[:40]!r}")
    year, month, day, hour, minute, second = (int(found[part]) for part in range(1, 7))
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        raise BadInput(f"time: expected RFC 3339, found {text[:40]!r}")
    seconds = calendar.timegm((year, month, day, hour, minute, second))
    if found[8] != "Z":
        offset_s = int(found[8][1:3]) * 3600 + int(found[8][4:6]) * 60
        seconds += offset_s if found[8][0] == "-" else -offset_s
    return seconds * SECOND_NS + int((found[7] or "0").ljust(9, "0"))
