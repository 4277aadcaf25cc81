"""What a family of exits may still fill, however little the venue tells of the order that waits beside the other."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from holdfast._native import JournalName, JournalWriter, OrderClass, OrderEvent, OrderEventKind, OrderStatus, Side
from holdfast.execution.ledger import Ledger
from holdfast.venues.alpaca.orders import RawOrder, VenueOrder

E9 = 1_000_000_000
ENTRY, PROFIT, STOP = (f"00000000-0000-0000-0000-00000000000{digit}" for digit in "123")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[JournalWriter]:
    """Write a journal that only the ledger of one example at a time uses."""
    writer = JournalWriter(str(tmp_path), JournalName.EXECUTIONS, now_ns=1)
    yield writer
    writer.close()


@profile(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    quantity=st.integers(1, 20),
    fills=st.lists(st.integers(1, 5), max_size=5),
    is_told=st.lists(st.booleans(), min_size=5, max_size=5),
    is_oco=st.booleans(),
)
def test_a_family_may_fill_what_none_of_its_orders_has_filled(
    writer: JournalWriter, *, quantity: int, fills: list[int], is_told: list[bool], is_oco: bool
) -> None:
    """The profit order of a bracket or an oco fills bit by bit; the stop beside it shrinks, told or not."""
    ledger = Ledger(writer)
    order_class = OrderClass.OCO if is_oco else OrderClass.BRACKET
    parents = {PROFIT: "" if is_oco else ENTRY, STOP: PROFIT if is_oco else ENTRY}

    def tell(name: str, status: OrderStatus, left: int, *, filled: int = 0) -> None:
        event = OrderEvent(
            client_order_id=name,
            venue_order_id=name,
            parent_order_id=parents[name],
            symbol="IBM",
            quantity_e9=(left + filled) * E9,
            filled_quantity_e9=filled * E9,
            kind=OrderEventKind.UPDATED,
            status=status,
            side=Side.SELL,
            order_class=order_class,
        )
        ledger.write(event)

    tell(PROFIT, OrderStatus.NEW, quantity)
    tell(STOP, OrderStatus.HELD, quantity)
    filled = 0
    for fill, is_shrink_told in zip(fills, is_told, strict=False):
        if filled + fill >= quantity:
            break
        filled += fill
        tell(PROFIT, OrderStatus.PARTIALLY_FILLED, quantity - filled, filled=filled)
        if is_shrink_told:
            tell(STOP, OrderStatus.HELD, quantity - filled)
        assert ledger.families_e9(ledger.orders.open_orders()) == (quantity - filled) * E9
    assert ledger.families_e9(ledger.orders.open_orders()) == (quantity - filled) * E9


def _shown(name: str, *, legs: tuple[str, ...] = ()) -> VenueOrder:
    """Return an order of a filled entry's family as the venue shows it; a leg alone has no word of its entry."""
    is_entry = name == ENTRY
    raw = RawOrder(
        id=name,
        client_order_id="hf-1-7" if is_entry else name,
        symbol="IBM",
        side="buy" if is_entry else "sell",
        type="stop" if name == STOP else "limit",
        time_in_force="day",
        order_class="bracket",
        status="filled" if is_entry else "held" if name == STOP else "new",
        qty=Decimal(5),
        filled_qty=Decimal(5 if is_entry else 0),
        limit_price=Decimal(100),
    )
    shown = VenueOrder.of(raw)
    return replace(shown, legs=tuple(replace(_shown(leg), parent_order_id=ENTRY) for leg in legs))


@profile(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shown=st.permutations((ENTRY, PROFIT, STOP)), repeated=st.lists(st.sampled_from((ENTRY, PROFIT, STOP)), max_size=3)
)
def test_the_legs_of_an_entry_are_its_family_and_ours_though_they_are_heard_of_before_it(
    writer: JournalWriter, *, shown: list[str], repeated: list[str]
) -> None:
    """An entry that the venue refused and made all the same is known by its legs first."""
    ledger = Ledger(writer)
    for kind, status in (
        (OrderEventKind.SUBMITTING, OrderStatus.SUBMITTING),
        (OrderEventKind.REJECTED, OrderStatus.REJECTED),
    ):
        ledger.write(
            OrderEvent(
                client_order_id="hf-1-7",
                symbol="IBM",
                side=Side.BUY,
                decision_seq=7,
                strategy="momentum",
                quantity_e9=5 * E9,
                kind=kind,
                status=status,
            )
        )
    for name in (*shown, *repeated):
        ledger.venue_order(_shown(name, legs=(PROFIT, STOP) if name == ENTRY else ()), OrderEventKind.UPDATED)
    legs = ledger.orders.open_orders()
    assert {(leg.client_order_id, leg.parent_order_id, leg.decision_seq) for leg in legs} == {
        (PROFIT, ENTRY, 7),
        (STOP, ENTRY, 7),
    }
    assert not any(leg.is_external for leg in legs)
    assert ledger.families_e9(legs) == 5 * E9
    assert not ledger.venue_order(_shown(ENTRY, legs=(PROFIT, STOP)), OrderEventKind.UPDATED)
