"""`python -m lab.judge ROOT LEDGER`: the project's checkers on a host's journals and the venue's ledger, as JSON.

Releases of a host may have had other limits each. What is judged by limits is a violation only if it is one by those of
every generation that is kept, the current one included: when each was in force is not looked up.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from holdfast.invariants import Evidence, StoredJournals, check
from holdfast.settings import load_settings
from holdfast.settings.risk_limits import load_risk_limits
from holdfast.venues.simulated.ledger import Ledger

Violations = dict[tuple[int, str, str], str]


def violations(root: Path, ledger: Ledger, configuration: Path) -> Violations:
    """Return what is violated by a configuration's limits: by invariant, name and the record or order that it is of."""
    settings = load_settings(configuration, env="production", environment={})
    limits = load_risk_limits(settings).limits
    settings = settings.model_copy(update={"state_dir": root / "var/lib/holdfast"})
    found = check(Evidence(ledger=ledger, journals=StoredJournals(settings), limits=limits))
    return {(each.invariant, each.name, each.detail.partition(":")[0]): each.detail for each in found}


def configurations(root: Path) -> Iterator[Path]:
    """Yield the folder of the configuration now, and of those that are kept with other limits."""
    current = root / "etc/holdfast"
    seen = {(current / "risk_limits.toml").read_bytes()}
    yield current
    for kept in sorted(root.glob("var/lib/holdfast-generations/*/configuration")):
        limits = (kept / "risk_limits.toml").read_bytes()
        if limits not in seen:
            seen.add(limits)
            yield kept


def main() -> int:
    """Print a list of what is violated."""
    root = Path(sys.argv[1])
    ledger = Ledger.read(Path(sys.argv[2]))
    first, *others = (violations(root, ledger, configuration) for configuration in configurations(root))
    left = [key for key in first if all(key in other for other in others)]
    sys.stdout.write(json.dumps([f"{key[0]} {key[1]}: {first[key]}" for key in left]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
