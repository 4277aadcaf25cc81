"""What Prometheus is told of fills."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from holdfast._native import OWN_PREFIX, Decision, Side
from holdfast.execution.figures import REFERENCES_MAX, Figures, slippage_bps
from holdfast.venues.alpaca.order_messages import OrderUpdate
from holdfast.venues.alpaca.orders import RawOrder, VenueFill, VenueOrder

E9 = 1_000_000_000
PRICES = st.integers(min_value=1, max_value=10_000 * E9)


@given(reference=PRICES, price=PRICES)
def test_what_is_worse_for_a_buyer_is_better_for_a_seller(reference: int, price: int) -> None:
    bought = slippage_bps(Side.BUY, price_e9=price, reference_price_e9=reference)
    assert (bought > 0) == (price > reference)
    assert bought == -slippage_bps(Side.SELL, price_e9=price, reference_price_e9=reference)


def test_slippage_is_in_hundredths_of_a_percent() -> None:
    assert slippage_bps(Side.BUY, price_e9=101 * E9, reference_price_e9=100 * E9) == pytest.approx(100)


def observed() -> float:
    return REGISTRY.get_sample_value("holdfast_slippage_bps_sum") or 0.0


def test_a_fill_is_compared_with_the_price_its_order_was_decided_at() -> None:
    figures = Figures()
    before = observed()
    figures.decided(Decision(client_order_id="a", symbol="IBM", reference_price_e9=100 * E9))
    fill = VenueFill(
        execution_id="x",
        venue_order_id="v",
        symbol="IBM",
        side=Side.BUY,
        quantity_e9=E9,
        price_e9=102 * E9,
        position_quantity_e9=None,
        ts_event_ns=1,
    )
    figures.filled("a", fill)
    figures.filled("an order of somebody else", fill)
    assert observed() - before == pytest.approx(200)


def test_memory_of_decisions_is_bounded() -> None:
    figures = Figures()
    for number in range(REFERENCES_MAX + 5):
        figures.decided(Decision(client_order_id=str(number), reference_price_e9=E9))
    assert len(figures._reference_e9) == REFERENCES_MAX
    assert "4" not in figures._reference_e9


def ended() -> float:
    return REGISTRY.get_sample_value("holdfast_orders_ended_total", {"how": "canceled"}) or 0.0


@pytest.mark.parametrize(
    ("client_order_id", "counted"), [(f"{OWN_PREFIX}1", 1), (f"{OWN_PREFIX}1-stop", 0), ("a-stranger's", 0)]
)
def test_what_strategies_wished_for_is_counted_at_its_end(client_order_id: str, counted: int) -> None:
    before = ended()
    raw = RawOrder(
        id="v",
        client_order_id=client_order_id,
        symbol="IBM",
        side="sell",
        type="stop",
        time_in_force="gtc",
        order_class="simple",
        status="canceled",
        qty=Decimal(1),
        filled_qty=Decimal(0),
    )
    Figures().updated(OrderUpdate(event="canceled", order=VenueOrder.of(raw), fill=None, ts_event_ns=1))
    assert ended() - before == counted
