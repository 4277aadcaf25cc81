"""What may be sold short now: the venue's words on each symbol, read by the borrow rules of the date."""

import datetime as dt

from holdfast import clock
from holdfast._native import Shortability
from holdfast.errors import BadInput
from holdfast.settings.borrow_rules import borrow_rules_at
from holdfast.venues.alpaca.trading import TradingGateway

INTERVAL_S = 3600.0
NS_PER_S = 1_000_000_000


async def shortability(gateway: TradingGateway, symbol: str) -> Shortability:
    """Ask the venue about a symbol; one that it does not know cannot be sold short. Raises: RetryLater, BadInput."""
    now_ns = clock.now_ns()
    rules = borrow_rules_at(dt.datetime.fromtimestamp(now_ns / NS_PER_S, dt.UTC).date())
    asset = await gateway.asset(symbol)
    if asset is not None and asset.get("symbol") != symbol:
        raise BadInput(f"GET /v2/assets/{symbol}: it tells of {asset.get('symbol')!r}")
    is_shortable = rules is not None and asset is not None and rules.is_shortable(asset)
    return Shortability(symbol=symbol, ts_event_ns=now_ns, is_shortable=int(is_shortable))
