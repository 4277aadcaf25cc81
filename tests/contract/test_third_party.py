"""Somebody else's script trades at the simulated venue and notices nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fix_venue import StartVenue
from patience import PATIENCE_S

SCRIPT = Path(__file__).with_name("third_party.py")


def test_a_script_written_from_alpacas_documents_trades_over_tls(start_venue: StartVenue) -> None:
    venue = start_venue(speed=2)
    ca_file = str(venue.ca_file)
    result = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning",
            str(SCRIPT),
            venue.url,
            venue.key_id,
            venue.secret_key,
            "IBM",
        ],
        env={**os.environ, "REQUESTS_CA_BUNDLE": ca_file, "SSL_CERT_FILE": ca_file},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["quotes"] > 0
    assert "fill sell" in report["events"]
    ledger = venue.ledger()
    assert float(report["cash"]) == pytest.approx(ledger.cash_e9() / 1e9, abs=0.01)
    assert ledger.positions_e9() == {}
    assert len(ledger.orders()) == 2 * report["rounds"]
