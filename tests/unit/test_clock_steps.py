"""A step of the wall clock stops nobody's heartbeat."""

from pathlib import Path

from holdfast._native import JournalName, JournalReader, JournalWriter
from holdfast.services.signal_bridge import Loop, SignalBridge
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
