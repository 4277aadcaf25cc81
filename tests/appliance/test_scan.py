"""What the scan expects follows from the matrix and an inventory alone, both firewalls of a way included."""

import pytest

from lab.knock import PORT_OF_OURS, WORD_OF_OURS, is_knock, opening
from lab.scan import Matrix, Way, ports, ways

MARKET, TRADER, DATABASE, OPERATOR, STRANGER = "10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.1", "198.51.100.7"
MATRIX = Matrix(
    flows=[
        {"name": "ssh", "from": ["operators"], "to": ["all"], "ports": ["22"]},
        {"name": "journals", "from": ["trading"], "to": ["market_data"], "ports": ["5555-5557"]},
        {"name": "database", "from": ["trading"], "to": ["database"], "ports": ["5432"]},
        {"name": "venue", "from": ["trading"], "to": ["venue"], "ports": ["443"], "users": ["holdfast"]},
        {"name": "time", "from": ["all"], "to": ["venue"], "protocol": "udp", "ports": ["123"]},
    ],
    networks={"operators": ["10.0.0.1"], "venue": ["0.0.0.0/0"]},
    groups={"market_data": {"market"}, "trading": {"trader"}, "database": {"database"}},
    addresses={"market": MARKET, "trader": TRADER, "database": DATABASE},
)


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (Way(OPERATOR, "root", TRADER, "tcp"), {22}),
        (Way(STRANGER, "root", TRADER, "tcp"), set()),
        (Way(TRADER, "root", MARKET, "tcp"), {5555, 5556, 5557}),
        (Way(MARKET, "root", TRADER, "tcp"), set()),
        (Way(TRADER, "root", DATABASE, "tcp"), {5432}),
        (Way(TRADER, "holdfast", STRANGER, "tcp"), {443}),
        (Way(TRADER, "root", STRANGER, "tcp"), set()),
        (Way(DATABASE, "root", OPERATOR, "udp"), {123}),
        # The trader's firewall lets it out to everywhere; the database's does not let it in.
        (Way(TRADER, "holdfast", DATABASE, "udp"), set()),
    ],
    ids=str,
)
def test_a_way_is_open_where_both_its_ends_say_so(way: Way, expected: set[int]) -> None:
    assert MATRIX.expected(way) == expected


def test_ports_are_single_or_from_first_to_last() -> None:
    assert ports(["22", "5555-5558"]) == {22, 5555, 5556, 5557, 5558}


def test_every_host_is_tried_from_each_other_and_from_outside_and_tries_what_is_outside() -> None:
    tried = set(ways(MATRIX))
    for name in (MARKET, TRADER, DATABASE):
        assert {way.source for way in tried if way.target == name} >= {MARKET, TRADER, DATABASE, OPERATOR, STRANGER} - {
            name
        }
        users = {way.user for way in tried if (way.source, way.target) == (name, OPERATOR)}
        assert users == {"holdfast", "nobody"}


def test_what_services_say_meanwhile_is_no_knock() -> None:
    udp = bytes.fromhex("007b e3a8 0000 0000")
    assert is_knock(udp + WORD_OF_OURS, "udp")
    assert not is_knock(udp + bytes(48), "udp"), "the answer of a time server"
    tcp = opening(OPERATOR, TRADER, 22)
    assert is_knock(tcp, "tcp")
    assert not is_knock((PORT_OF_OURS + 1).to_bytes(2) + tcp[2:], "tcp")
