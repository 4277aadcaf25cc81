"""How a simulated venue behaves."""

from dataclasses import dataclass, field
from pathlib import Path

from holdfast.errors import ConfigError

E9 = 1_000_000_000
DEFAULT_SYMBOLS = ("AAPL", "BAC", "IBM", "MSFT", "SPY", "BTC/USD")
SPEED_MAX = float("inf")

FeeRow = tuple[int, str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedVenueSettings:
    """Everything that can be chosen about a venue.

    `session` is `synthetic:SEED`, a directory of recorded ticks or a journal directory. `speed` multiplies time;
    `SPEED_MAX` goes as fast as clients read. Latencies are session time. `rate_limit` is requests a minute and key.
    `faults` is a fault script. `history_s` of a synthetic session were published before its start, from the opening on.
    """

    session: str = "synthetic:1"
    speed: float = 1.0
    seed: int = 1
    ledger: Path = Path("ledger.jsonl")
    host: str = "127.0.0.1"
    port: int = 0
    tls_dir: Path = Path("tls")
    symbols: tuple[str, ...] = DEFAULT_SYMBOLS
    start: str = ""
    key_id: str = "PKSIMULATED"
    secret_key: str = field(default="simulated-secret", repr=False)
    rate_limit: int = 200
    cash_usd: int = 100_000
    margin_multiplier: int = 2
    partial_fill_ppm: int = 100_000
    latency_ms_min: float = 0.0
    latency_ms_max: float = 0.0
    quotes_per_s: float = 20.0
    history_s: float = 86_400.0
    symbols_max: int = 0
    fees: tuple[FeeRow, ...] = ()
    faults: Path | None = None

    @property
    def is_synthetic(self) -> bool:
        """Whether the market is made up."""
        return self.session.startswith("synthetic:")

    @property
    def is_by_host_clock(self) -> bool:
        """Whether the session's time is the host's, as a service wants it that trusts its own clock."""
        return self.start == "now"

    @property
    def is_as_fast_as_read(self) -> bool:
        """Whether clients set the pace."""
        return self.speed == SPEED_MAX


def parse_speed(text: str) -> float:
    """Read `max` or a positive number.

    Raises: ConfigError.
    """
    if text == "max":
        return SPEED_MAX
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed <= 1_000_000.0:
        raise ConfigError(file="holdfast venue", key="--speed", expected="max or a number above 0", found=text)
    return speed
