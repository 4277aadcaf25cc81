"""`holdfast journal` and `holdfast keys`."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import zmq
from typer.testing import CliRunner

from holdfast import curve
from holdfast._native import JournalName, JournalWriter, Quote, Trade
from holdfast.cli import journal, keys
from holdfast.errors import ConfigError, OperatingError
from patience import PATIENCE_S

COUNT = 30


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with one journal: quotes of two symbols, and a trade."""
    with JournalWriter(str(tmp_path / "journals" / "market_data"), JournalName.MARKET_DATA, now_ns=5) as writer:
        for number in range(1, COUNT):
            writer.append(Quote(symbol="IBM" if number % 2 else "KO", bid_price_e9=number), ts_ns=number)
        writer.append(Trade(symbol="IBM", price_e9=1_500_000_000), ts_ns=COUNT, cause_seq=0)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    """Run a command in this process and return what it printed."""
    app = typer.Typer()
    journal.register(app)
    keys.register(app)
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


def test_ls_says_what_each_journal_holds(state: Path) -> None:
    rows = json.loads(run("journal", "ls", "--state", str(state), "--json"))["journals"]
    assert [(row["journal"], row["first_seq"], row["last_seq"], row["segments"]) for row in rows] == [
        ("market_data", 1, COUNT, 1)
    ]
    assert "market_data" in run("journal", "ls", "--state", str(state))


def test_tail_shows_the_last_that_match(state: Path) -> None:
    lines = run("journal", "tail", "market_data", "-n", "3", "--json", "--state", str(state)).splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [COUNT - 2, COUNT - 1, COUNT]
    chosen = ("--record", "Quote", "--where", "symbol=KO", "-n", "2")
    lines = run("journal", "tail", "market_data", *chosen, "--json", "--state", str(state)).splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [COUNT - 4, COUNT - 2]
    assert "price=1.5" in run("journal", "tail", "market_data", "-n", "1", "--state", str(state))


def test_tail_follows_until_it_is_interrupted(state: Path) -> None:
    # A shell's background job ignores SIGINT, and so would its children: the test may run in one.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from holdfast.cli import main; raise SystemExit(main())"
    )
    command = [sys.executable, "-c", program, "journal", "tail"]
    options = ["market_data", "-n", "1", "-f", "--json", "--state", str(state)]
    with (
        JournalWriter(str(state / "journals" / "market_data"), JournalName.MARKET_DATA, now_ns=6) as writer,
        subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        ) as follower,
    ):
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["seq"] == COUNT
        writer.append(Quote(symbol="IBM"), ts_ns=9)
        assert json.loads(follower.stdout.readline())["ts_ns"] == 9
        follower.send_signal(signal.SIGINT)
        assert follower.wait(PATIENCE_S) == 0


def test_verify_fails_on_damage(state: Path) -> None:
    assert json.loads(run("journal", "verify", "--state", str(state), "--json"))["ok"]
    segment = next((state / "journals" / "market_data").glob("*.segment"))
    content = bytearray(segment.read_bytes())
    content[100] ^= 1
    segment.write_bytes(content)
    answer = json.loads(run("journal", "verify", "--state", str(state), "--json", code=1))
    assert not answer["ok"]
    assert "checksum differs" in answer["journals"][0]["damage"]


def test_export_writes_json_lines_and_csv(state: Path, tmp_path: Path) -> None:
    lines = run("journal", "export", "market_data", "--from", "3", "--to", "5", "--state", str(state)).splitlines()
    assert [json.loads(line)["bid_price_e9"] for line in lines] == [3, 4, 5]
    sheet = tmp_path / "quotes.csv"
    options = ("--format", "csv", "--record", "Quote", "-o", str(sheet), "--state", str(state))
    run("journal", "export", "market_data", *options)
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == COUNT - 1
    assert (rows[0]["seq"], rows[0]["record"], rows[0]["symbol"], rows[0]["bid_price_e9"]) == ("1", "Quote", "IBM", "1")


def test_what_cannot_be_done_is_said(state: Path, tmp_path: Path) -> None:
    with pytest.raises(OperatingError, match="no journal"):
        run("journal", "tail", "signals", "--state", str(state))
    with pytest.raises(ConfigError, match="one type of record"):
        run("journal", "export", "market_data", "--format", "csv", "--state", str(state))
    with pytest.raises(ConfigError, match="found Nonsense"):
        run("journal", "tail", "market_data", "--record", "Nonsense", "--state", str(state))
    with pytest.raises(OperatingError, match="ends at record"):
        run("journal", "export", "market_data", "--from", "99", "--state", str(state))
    with pytest.raises(OperatingError, match="start the services"):
        run("journal", "ls", "--state", str(tmp_path / "none"))


def test_a_public_key_is_never_taken_for_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dashed = (b"-" + b"a" * 39, b"b" * 40)
    usable = (b"a" * 40, b"b" * 40)
    pairs = iter([dashed, dashed, usable])
    monkeypatch.setattr(zmq, "curve_keypair", lambda: next(pairs))
    assert curve.generate(tmp_path, "relay").public == usable[0]


def test_keys_are_private_and_clients_are_named(tmp_path: Path) -> None:
    folder = ("--dir", str(tmp_path / "keys"))
    public = run("keys", "generate", "relay", *folder).strip()
    secret_file = tmp_path / "keys" / "relay.secret"
    assert secret_file.stat().st_mode & 0o777 == 0o600
    assert run("keys", "show", "relay", *folder).strip() == public
    assert secret_file.read_text().strip() not in public
    with pytest.raises(ConfigError, match="no key yet"):
        run("keys", "generate", "relay", *folder)
    run("keys", "allow", "host-b", public, "market_data", "orders", *folder)
    assert json.loads(run("keys", "show", *folder, "--json")) == {
        "host-b": {"public_key": public, "journals": ["market_data", "orders"]}
    }
    with pytest.raises(ConfigError, match="the key of host-b"):
        run("keys", "allow", "host-c", public, "orders", *folder)
    with pytest.raises(ConfigError, match="40 Z85 characters"):
        run("keys", "allow", "host-c", "short", "orders", *folder)
    with pytest.raises(ConfigError, match="found gossip"):
        run("keys", "allow", "host-c", public, "gossip", *folder)
    secret_file.chmod(0o640)
    with pytest.raises(ConfigError, match="expected mode 0600, found 0640"):
        curve.load_pair(tmp_path / "keys", "relay")
