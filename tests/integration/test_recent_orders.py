"""Many orders asked for at once, by pages of the simulated venue's list; its ledger counts the questions."""

from dataclasses import dataclass

import pytest

from fix_venue import KEY_ID, SECRET_KEY, OpenVenue
from holdfast._native import IntentAction, OrderIntent, OrderType, Side, TimeInForce
from holdfast.venues.alpaca.connection import Connection, Origin, tls_context
from holdfast.venues.alpaca.trading import ORDERS_PER_PAGE, TradingGateway
from holdfast.venues.simulated import SimulatedVenue
from holdfast.venues.simulated.ledger import Ledger

E9 = 1_000_000_000
MILLISECOND_NS = 1_000_000
ORDERS = 2 * ORDERS_PER_PAGE + 10
WINDOW_NS = 10 * E9


@dataclass(slots=True)
class CountingPace:
    """Lets every query leave, and counts them."""

    permitted: int = 0

    async def permit(self) -> None:
        self.permitted += 1

    def refused(self, retry_after_s: float) -> None:
        pytest.fail(f"refused for {retry_after_s} s")


def submit(venue: SimulatedVenue, client_order_id: str, at_ns: int) -> str:
    intent = OrderIntent(
        symbol=venue.symbols()[0],
        action=IntentAction.NEW,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        quantity_e9=E9,
        limit_price_e9=E9,
    )
    status, answer = venue.engine.submit(at_ns, intent, client_order_id)
    assert status == 200, answer
    return client_order_id


def listings(ledger: Ledger) -> int:
    return sum(line["path"] == "/v2/orders" for line in ledger.of_kind("request"))


async def asked(
    venue: SimulatedVenue, wanted: set[str], *, after_ns: int = 0
) -> tuple[dict[str, str], CountingPace, int]:
    """Return the client order id found for each wanted id, what was permitted, and how many lists were read."""
    origin = Origin.parse(venue.url, headers={"APCA-API-KEY-ID": KEY_ID, "APCA-API-SECRET-KEY": SECRET_KEY})
    pace = CountingPace()
    async with Connection(origin, tls_context(venue.ca_file), lines=1) as connection:
        gateway = TradingGateway(entries=connection, cancels=connection, queries=connection, pace=pace)
        found = await gateway.recent_orders(wanted, after_ns=after_ns)
    count = listings(Ledger.read(venue.settings.ledger))
    return {each: order.client_order_id for each, order in found.items()}, pace, count


@pytest.mark.parametrize("orders_an_instant", [1, 7, 100])
async def test_pages_hold_every_order_whatever_shares_the_instant_of_their_ends(
    open_venue: OpenVenue, orders_an_instant: int
) -> None:
    async with open_venue(cash_usd=100_000_000) as venue:
        start_ns = venue.now_ns()
        old = submit(venue, "old", start_ns)
        begin_ns = start_ns + 2 * WINDOW_NS
        own = [
            submit(venue, f"hf-1-{number:x}", begin_ns + number // orders_an_instant * MILLISECOND_NS)
            for number in range(ORDERS)
        ]
        found, pace, count = await asked(venue, {old, "never sent", *own}, after_ns=begin_ns - WINDOW_NS)
    # What is older than the window, and what the venue does not have, is left to be asked for singly.
    assert found == {each: each for each in own}
    assert count == pace.permitted == 3


async def test_more_orders_of_one_instant_than_a_page_holds_end_the_list(open_venue: OpenVenue) -> None:
    async with open_venue(cash_usd=100_000_000) as venue:
        start_ns = venue.now_ns()
        before = submit(venue, "before", start_ns)
        own = [submit(venue, f"hf-1-{number:x}", start_ns + E9) for number in range(ORDERS)]
        found, _, count = await asked(venue, {before, *own})
    assert found == {each: each for each in [before, *own[-ORDERS_PER_PAGE:]]}
    assert count == 3


@pytest.mark.parametrize(("wanted_count", "pages"), [(1, 0), (2, 1), (5, 2)])
async def test_a_list_costs_at_most_one_question_for_two_orders(
    open_venue: OpenVenue, wanted_count: int, pages: int
) -> None:
    async with open_venue(cash_usd=100_000_000) as venue:
        start_ns = venue.now_ns()
        own = [submit(venue, f"hf-1-{number:x}", start_ns + number * MILLISECOND_NS) for number in range(ORDERS)]
        found, pace, count = await asked(venue, set(own[:wanted_count]))
    assert found == {}
    assert count == pace.permitted == pages
