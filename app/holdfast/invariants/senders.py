"""Who sends, by the User-Agent in the venue's ledger: the execution-engines with their tokens, the watchdog."""

from collections.abc import Iterator

from holdfast.invariants.evidence import Evidence

SECOND_NS = 1_000_000_000
CLIENT = "holdfast-execution-engine/"
WATCHDOG = "holdfast-watchdog/"


def one_sender_at_a_time(evidence: Evidence) -> Iterator[str]:
    """Tokens only rise: once a later holder of the account has sent, an earlier one sends nothing more.

    Of a process that died what the kernel still held may arrive for `in_flight_s` more.
    """
    latest, end_ns = 0, 0
    for line in evidence.ledger.of_kind("request"):
        client = str(line.get("client", ""))
        if not client.startswith(CLIENT):
            continue
        token = int(client.removeprefix(CLIENT))
        if token < latest and line["host_ns"] > end_ns:
            yield f"request {line['number']}: sent by token {token} after token {latest}"
        if token > latest:
            latest, end_ns = token, line["host_ns"] + int(evidence.in_flight_s * SECOND_NS)
