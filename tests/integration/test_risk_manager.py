"""The risk-manager service in its frame: it starts on the shipped configuration, judges, tells its counters, stops."""

import asyncio
import json
import shutil
import time
import uuid
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from fix_risk import intent, quote
from holdfast._native import (
    AccountSnapshot,
    AverageVolume,
    Decision,
    Fill,
    JournalReader,
    JournalWriter,
    OrderEvent,
    OrderEventKind,
    OrderStatus,
    Reason,
    Reconciled,
    ReconcileScope,
    Side,
)
from holdfast.journals import open_reader, open_writer
from holdfast.replay import replay_decisions
from holdfast.service import Frame
from holdfast.services import risk_manager
from holdfast.services.risk_manager import CANCELS_BEGIN_WITHIN_S
from holdfast.settings import Settings, load_settings
from holdfast.settings.defaults import default_config_dir
from patience import PATIENCE_S

E9 = 1_000_000_000
INPUTS = ("market_data", "signals", "executions", "control")
# A session of 2013 by the venue's clock: the tests run at any hour.
SESSION_NS = 1_380_034_800 * E9


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    config = tmp_path / "config"
    shutil.copytree(default_config_dir(), config)
    system = json.loads((config / "system.json").read_text())
    system |= {"state_dir": str(tmp_path / "state"), "clock": {"session_time": "venue"}}
    (config / "system.json").write_text(json.dumps(system))
    limits = config / "risk_limits.toml"
    # A busy machine may take longer than a second between the quote and its intent.
    limits.write_text(limits.read_text().replace("age_max_ms = 1000", "age_max_ms = 60000"))
    return load_settings(config, environment={})


def denied(rule: Reason) -> float:
    labels = {"verdict": "denied", "reason": rule.label}
    return REGISTRY.get_sample_value("holdfast_risk_decisions_total", labels) or 0.0


async def test_it_judges_by_the_shipped_limits_and_a_replay_agrees(settings: Settings) -> None:
    writers: dict[str, JournalWriter] = {name: open_writer(settings, name) for name in INPUTS}
    account = AccountSnapshot(equity_e9=10**5 * E9, buying_power_e9=10**5 * E9)
    for record in (account, Reconciled(scope=ReconcileScope.START_UP, is_complete=1)):
        writers["executions"].append(record, ts_ns=time.time_ns())
    day_ns = SESSION_NS - 86_400 * E9
    volume = AverageVolume(symbol="IBM", volume_e9=10**6 * E9, session_count=20, ts_event_ns=day_ns)
    writers["market_data"].append(volume, ts_ns=time.time_ns())
    before = denied(Reason.ORDER_QUANTITY)
    frame = Frame(name="risk-manager", settings=settings)
    service = asyncio.create_task(risk_manager.run(frame))
    orders = await asyncio.to_thread(open_reader, settings, "orders")
    decisions = []
    for quantity in (10, 2_000):
        _quote(writers["market_data"])
        # One that expires is judged even if it was written before the service had started.
        wish = intent(quantity, expires_ns=time.time_ns() + 60 * E9)
        seq = writers["signals"].append(wish, ts_ns=time.time_ns())
        decisions.append(await asyncio.wait_for(_decision(orders, seq), PATIENCE_S))
    frame.stopping.set()
    await asyncio.wait_for(service, PATIENCE_S)
    assert [decision.rule for decision in decisions] == [Reason.NONE, Reason.ORDER_QUANTITY]
    assert denied(Reason.ORDER_QUANTITY) == before + 1
    replayed = replay_decisions(settings)
    assert (replayed.difference, replayed.inputs) == ("", 2)
    for writer in writers.values():
        writer.close()


async def test_at_a_stop_it_outlasts_an_execution_engine_that_cancels_its_entries(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The test itself writes the heartbeat: a machine that lets it wait must not look like the end of execution-engine.
    monkeypatch.setattr(risk_manager, "HEARD_WITHIN_NS", 60 * E9)
    writers: dict[str, JournalWriter] = {name: open_writer(settings, name) for name in INPUTS}
    executions = writers["executions"]
    engine = asyncio.create_task(_beat(executions))
    account = AccountSnapshot(equity_e9=10**5 * E9, buying_power_e9=10**5 * E9)
    for record in (account, Reconciled(scope=ReconcileScope.START_UP, is_complete=1)):
        executions.append(record, ts_ns=time.time_ns())
    day_ns = SESSION_NS - 86_400 * E9
    volume = AverageVolume(symbol="IBM", volume_e9=10**6 * E9, session_count=20, ts_event_ns=day_ns)
    writers["market_data"].append(volume, ts_ns=time.time_ns())
    frame = Frame(name="risk-manager", settings=settings)
    service = asyncio.create_task(risk_manager.run(frame))
    orders = await asyncio.to_thread(open_reader, settings, "orders")
    _quote(writers["market_data"])
    seq = writers["signals"].append(intent(10, expires_ns=time.time_ns() + 60 * E9), ts_ns=time.time_ns())
    entry = await asyncio.wait_for(_decision(orders, seq), PATIENCE_S)
    _tell(executions, entry, OrderStatus.NEW)
    _tell(executions, entry, OrderStatus.NONE, OrderEventKind.CANCEL_REQUESTED)
    frame.stopping.set()
    # Longer than its loop sleeps: without a reason to stay it has ended by now.
    await asyncio.wait({service}, timeout=CANCELS_BEGIN_WITHIN_S / 2)
    _fill(executions, entry, 4)
    _tell(executions, entry, OrderStatus.CANCELED, filled=4)
    stop = await asyncio.wait_for(_decision(orders, 0), PATIENCE_S)
    assert (stop.side, stop.quantity_e9) == (Side.SELL, 4 * E9)
    _tell(executions, stop, OrderStatus.NEW)
    await asyncio.wait_for(service, PATIENCE_S)
    engine.cancel()
    for writer in writers.values():
        writer.close()


def _quote(market_data: JournalWriter) -> None:
    now_ns = time.time_ns()
    market_data.append(quote(ts_event_ns=SESSION_NS), ts_ns=now_ns, origin_ns=now_ns)


async def _beat(executions: JournalWriter) -> None:
    """Live as an execution-engine does."""
    while True:
        executions.heartbeat(time.time_ns())
        await asyncio.sleep(0.05)


def _tell(
    executions: JournalWriter,
    decision: Decision,
    status: OrderStatus,
    kind: OrderEventKind = OrderEventKind.UPDATED,
    *,
    filled: int = 0,
) -> None:
    """Write what the venue says of an order."""
    event = OrderEvent(
        client_order_id=decision.client_order_id,
        venue_order_id=str(uuid.uuid5(uuid.NAMESPACE_OID, decision.client_order_id)),
        strategy=decision.strategy,
        symbol=decision.symbol,
        side=decision.side,
        decision_seq=decision.seq,
        quantity_e9=decision.quantity_e9,
        filled_quantity_e9=filled * E9,
        kind=kind,
        status=status,
    )
    executions.append(event, ts_ns=time.time_ns())


def _fill(executions: JournalWriter, decision: Decision, quantity: int) -> None:
    fill = Fill(
        execution_id=str(uuid.uuid4()),
        client_order_id=decision.client_order_id,
        strategy=decision.strategy,
        symbol=decision.symbol,
        ts_event_ns=time.time_ns(),
        quantity_e9=quantity * E9,
        price_e9=100 * E9,
        position_quantity_e9=quantity * E9,
        side=decision.side,
    )
    executions.append(fill, ts_ns=time.time_ns())


async def _decision(orders: JournalReader, intent_seq: int) -> Decision:
    """Return the decision on an intent once it is written."""
    while True:
        for record in orders.read(100):
            if isinstance(record, Decision) and record.intent_seq == intent_seq:
                return record
        await asyncio.sleep(0.005)
