"""`python -m lab.judge ROOT LEDGER`: the project's checkers on a host's journals and the venue's ledger, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from holdfast.invariants import Evidence, StoredJournals, check
from holdfast.settings import load_settings
from holdfast.settings.risk_limits import load_risk_limits
from holdfast.venues.simulated.ledger import Ledger


def main() -> int:
    """Print a list of what is violated."""
    root, ledger = map(Path, sys.argv[1:3])
    settings = load_settings(root / "etc/holdfast", env="production", environment={})
    settings = settings.model_copy(update={"state_dir": root / "var/lib/holdfast"})
    limits = load_risk_limits(settings).limits
    evidence = Evidence(ledger=Ledger.read(ledger), journals=StoredJournals(settings), limits=limits)
    violations = [f"{each.invariant} {each.name}: {each.detail}" for each in check(evidence)]
    sys.stdout.write(json.dumps(violations) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
