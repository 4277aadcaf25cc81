"""What Prometheus is told of fills."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from holdfast._native import Decision, Side
from holdfast.execution.figures import REFERENCES_MAX, Figures, slippage_bps
from holdfast.venues.alpaca.orders import VenueFill

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
