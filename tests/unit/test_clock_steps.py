"""A step of the wall clock stops nobody's heartbeat, and what was said by a clock that was ahead is no word of now."""

from pathlib import Path

import pytest

from holdfast import clock
from holdfast._native import JournalName, JournalReader, JournalWriter
from holdfast.gateway.view import JournalView
from holdfast.journals import open_writer
from holdfast.lease import Lease
from holdfast.services.signal_bridge import Loop, SignalBridge
from holdfast.settings import Settings
from holdfast.strategies.host import StrategyHost

NOW_NS = 1_700_000_000 * 10**9
HOUR_NS = 3_600 * 10**9


def test_signal_bridge_goes_on_telling_that_it_lives_when_the_clock_stepped_forward_and_back(tmp_path: Path) -> None:
    for name in (JournalName.MARKET_DATA, JournalName.EXECUTIONS):
        JournalWriter(str(tmp_path / name.label), name, now_ns=1).close()
    with (
        JournalReader(str(tmp_path / "market_data")) as market,
        JournalReader(str(tmp_path / "executions")) as executions,
        JournalWriter(str(tmp_path / "signals"), JournalName.SIGNALS, now_ns=1) as writer,
        JournalReader(str(tmp_path / "signals")) as signals,
    ):
        host = StrategyHost([], on_failure=lambda _name: None)
        bridge = SignalBridge(host, writer, market=market, executions=executions, read_clock=lambda: NOW_NS)
        loop = Loop(bridge, writer, market=market, executions=executions)
        for now_ns in (NOW_NS, NOW_NS + HOUR_NS, NOW_NS + 1, NOW_NS + 10**9):
            loop.turn(now_ns)
            assert signals.heartbeat_ns == now_ns


@pytest.mark.parametrize(("step_ns", "is_word"), [(0, True), (-HOUR_NS, False), (HOUR_NS, False)])
def test_a_heartbeat_or_a_lease_told_by_another_time_is_none(
    *, step_ns: int, is_word: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_writer(settings, "orders"):
        Lease(mode="host", account="paper", state="held").write(settings)
        real = clock.now_ns
        monkeypatch.setattr(clock, "now_ns", lambda: real() + step_ns)
        view = JournalView(settings)
        view.catch_up()
        assert [head.is_alive for head in view.heads()] == [is_word]
        view.close()
        lease = Lease.read(settings)
        assert lease is not None
        assert lease.is_held == is_word
