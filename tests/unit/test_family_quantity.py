"""What a family of exits may still fill, however little the venue tells of the order that waits beside the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from holdfast._native import JournalName, JournalWriter, OrderClass, OrderEvent, OrderEventKind, OrderStatus, Side
from holdfast.execution.ledger import Ledger

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
