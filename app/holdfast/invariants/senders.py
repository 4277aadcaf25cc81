"""Who sends, by the User-Agent in the venue's ledger: the execution-engines with their tokens, the watchdog."""

from collections.abc import Iterator

from holdfast.invariants.evidence import Evidence

CLIENT = "holdfast-execution-engine/"
WATCHDOG = "holdfast-watchdog/"


def one_sender_at_a_time(evidence: Evidence) -> Iterator[str]:
    """Tokens only rise: once a later holder of the account has sent, an earlier one sends nothing more."""
    latest = 0
    for line in evidence.ledger.of_kind("request"):
        client = str(line.get("client", ""))
        if not client.startswith(CLIENT):
            continue
        token = int(client.removeprefix(CLIENT))
        if token < latest:
            yield f"request {line['number']}: sent by token {token} after token {latest}"
        latest = max(latest, token)
