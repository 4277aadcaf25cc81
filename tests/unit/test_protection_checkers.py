"""The judge of protective stops sees a stop that is missing, too large or too late, by the venue's ledger alone."""

import pytest

from holdfast._native import BreakerTripped, Reason, TradingState
from holdfast.invariants import Ending, Evidence
from holdfast.invariants.protection import every_position_protected, no_stop_for_more_than_the_position
from holdfast.journals import WRITERS
from holdfast.venues.simulated.ledger import Ledger

E9 = 1_000_000_000


class Tape:
    """Writes the lines of a ledger; times in seconds."""

    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def fill(self, at_s: float, quantity: int, position: int, *, client_order_id: str = "hf-1-1") -> "Tape":
        return self._add(
            "fill",
            at_s,
            symbol="IBM",
            side="buy" if quantity > 0 else "sell",
            quantity_e9=abs(quantity) * E9,
            position_quantity_e9=position * E9,
            client_order_id=client_order_id,
        )

    def order(self, at_s: float, name: str, status: str, quantity: float, **more: object) -> "Tape":
        order: dict[str, object] = {"id": name, "client_order_id": name, "symbol": "IBM", "side": "sell"}
        order |= {"status": status}
        order |= {"qty": str(quantity), "filled_qty": "0"} | more
        return self._add("order", at_s, data={"event": status, "order": order})

    def post(self, at_s: float, name: str, quantity: int) -> "Tape":
        body = {"client_order_id": name, "symbol": "IBM", "side": "sell", "qty": str(quantity)}
        return self._add("request", at_s, method="POST", path="/v2/orders", body=body)

    def _add(self, kind: str, at_s: float, **facts: object) -> "Tape":
        self.lines.append({"kind": kind, "host_ns": int(at_s * E9), "session_ns": int(at_s * E9), **facts})
        return self

    def evidence(
        self, *told: BreakerTripped | TradingState, is_undisturbed: bool = True, is_healed: bool = False
    ) -> Evidence:
        return Evidence(
            ledger=Ledger(self.lines),
            journals=dict.fromkeys(WRITERS, ()) | {"orders": told},
            external_order_ids=frozenset({"manual-1"}),
            is_undisturbed=is_undisturbed,
            ending=Ending(is_healed=is_healed),
        )


@pytest.mark.parametrize(("placed_s", "is_found"), [(4.9, False), (5.1, True)])
def test_a_stop_that_comes_too_late_is_seen(*, placed_s: float, is_found: bool) -> None:
    tape = Tape().fill(0, 10, 10).order(placed_s, "hf-1-2-stop", "new", 10)
    assert bool(list(every_position_protected(tape.evidence()))) == is_found
    assert not list(every_position_protected(tape.evidence(is_undisturbed=False)))


@pytest.mark.parametrize(
    ("quantity", "status", "is_found"),
    [(10, "new", False), (9, "new", True), (9.5, "new", False), (10, "canceled", True), (10, "rejected", True)],
)
def test_a_position_without_its_whole_stop_at_the_end_is_seen(*, quantity: float, status: str, is_found: bool) -> None:
    tape = Tape().fill(0, 10, 10).order(1, "hf-1-2-stop", status, quantity)
    evidence = tape.evidence(is_undisturbed=False, is_healed=True)
    assert bool(list(every_position_protected(evidence))) == is_found


def test_a_symbol_whose_entries_were_stopped_for_it_is_excused() -> None:
    tape = Tape().fill(0, 10, 10).order(20, "hf-1-2-stop", "rejected", 10)
    assert list(every_position_protected(tape.evidence()))
    told = BreakerTripped(symbol="IBM", rule=Reason.PROTECTION_MISSING)
    assert not list(every_position_protected(tape.evidence(told)))


@pytest.mark.parametrize(("last_rule", "is_found"), [(Reason.KILL_LATCH, False), (Reason.NONE, True)])
def test_no_stop_is_missed_while_a_loss_holds_the_kill_latch(*, last_rule: Reason, is_found: bool) -> None:
    tape = Tape().fill(0, 10, 10).order(20, "hf-1-2-stop", "canceled", 10)
    latched = TradingState(rule=last_rule)
    assert list(every_position_protected(tape.evidence(latched, is_healed=True))), "an operator's latch excuses nothing"
    killed = (BreakerTripped(rule=Reason.DAILY_LOSS_KILL), latched)
    assert bool(list(every_position_protected(tape.evidence(*killed, is_healed=True)))) == is_found


def test_an_exit_that_works_covers_what_it_closes() -> None:
    tape = Tape().fill(0, 10, 10).order(1, "hf-1-3", "new", 10).order(20, "hf-1-3", "new", 10)
    assert not list(every_position_protected(tape.evidence()))


def test_a_strangers_position_needs_no_stop_of_ours() -> None:
    tape = Tape().fill(0, 10, 10, client_order_id="manual-1").order(20, "hf-1-3", "canceled", 10)
    assert not list(every_position_protected(tape.evidence()))


def test_the_held_leg_of_a_canceled_pair_covers_only_while_it_is_open() -> None:
    leg = {"id": "leg", "client_order_id": "leg", "status": "held", "side": "sell", "qty": "10"}
    legs = {"legs": [leg], "order_class": "oco"}
    tape = Tape().fill(0, 10, 10).order(1, "hf-1-2-stop", "new", 10, **legs).order(1, "leg", "held", 10)
    tape.order(2, "hf-1-2-stop", "canceled", 10, **legs).order(20, "leg", "new", 10)
    assert not list(every_position_protected(tape.evidence()))
    tape.order(21, "leg", "canceled", 10).order(30, "other", "canceled", 1)
    assert list(every_position_protected(tape.evidence(is_healed=True)))


@pytest.mark.parametrize(
    ("status", "filled", "is_found"),
    [("filled", 4, False), ("filled", 3, True), ("partially_filled", 4, True), ("canceled", 4, False)],
)
def test_the_legs_of_an_entry_cover_what_it_has_filled_once_it_has_ended(
    *, status: str, filled: int, is_found: bool
) -> None:
    shared = {"symbol": "IBM", "side": "sell", "status": "held", "qty": "10", "filled_qty": "0"}
    legs = [{"id": name, "client_order_id": name, **shared} for name in ("profit", "stop")]
    entry: dict[str, object] = {"side": "buy", "legs": legs}
    tape = Tape().order(0, "hf-1-1", "new", 10, **entry).fill(1, 4, 4)
    tape.order(1, "hf-1-1", status, 10, **entry, filled_qty=str(filled))
    assert bool(list(every_position_protected(tape.evidence(is_healed=True)))) == is_found


def test_what_a_stranger_names_like_a_stop_of_ours_is_none() -> None:
    tape = Tape().fill(0, 10, 10).order(1, "hf-1-2-stop", "new", 10).order(2, "manual-stop", "new", 1)
    assert not list(no_stop_for_more_than_the_position(tape.order(3, "hf-1-4", "canceled", 1).evidence()))


def test_stops_beyond_the_position_are_seen() -> None:
    tape = Tape().fill(0, 10, 10).order(1, "hf-1-2-stop", "new", 10)
    assert not list(no_stop_for_more_than_the_position(tape.evidence()))
    tape.order(2, "hf-1-3-stop", "new", 1).order(3, "hf-1-4", "canceled", 1)
    assert list(no_stop_for_more_than_the_position(tape.evidence()))


@pytest.mark.parametrize(
    ("asked_s", "quantity", "is_found"), [(1, 10, False), (1, 11, True), (5, 10, False), (20, 10, True)]
)
def test_a_stop_asked_for_more_than_was_held_of_late_is_seen(*, asked_s: float, quantity: int, is_found: bool) -> None:
    tape = Tape().fill(0, 10, 10).fill(0.5, -4, 6) if asked_s > 1 else Tape().fill(0, 10, 10)
    if asked_s > 10:
        tape.fill(8, -6, 0)
    tape.post(asked_s, "hf-1-2-stop", quantity)
    assert bool(list(no_stop_for_more_than_the_position(tape.evidence()))) == is_found
