"""What the simulated venue's ledger says."""

import json
from pathlib import Path

from holdfast.venues.simulated.ledger import Ledger


def test_a_suspension_is_no_request_for_an_order(tmp_path: Path) -> None:
    orders = [("POST", "/v2/orders"), ("PATCH", "/v2/orders/1")]
    others = [("PATCH", "/v2/account/configurations"), ("DELETE", "/v2/orders"), ("GET", "/v2/orders")]
    lines = [json.dumps({"kind": "request", "method": method, "path": path}) for method, path in orders + others]
    file = tmp_path / "ledger.jsonl"
    file.write_text("\n".join(lines) + "\n")
    assert [(line["method"], line["path"]) for line in Ledger.read(file).entry_requests()] == orders
