"""What of the lab needs no host: its time server's answers and the inventory that it writes."""

import json
import struct
import threading
import time
from pathlib import Path

import pytest

from lab import inventory, molecule
from lab.alert_sinks import Heard
from lab.appliance import RECAP
from lab.drill import Fault, hear
from lab.time_server import EPOCH_1900_S, answer, stamp


def test_time_is_answered_with_the_clients_own_stamp_as_origin() -> None:
    request = bytearray(48)
    request[0] = 0b00_100_011
    struct.pack_into("!Q", request, 40, 0x0123456789ABCDEF)
    told = answer(bytes(request), stamp())
    assert len(told) == 48
    assert told[0] == 0b00_100_100
    assert told[1] == 5
    _, origin, received, transmitted = struct.unpack_from("!QQQQ", told, 16)
    assert origin == 0x0123456789ABCDEF
    assert received <= transmitted
    assert abs((transmitted >> 32) - EPOCH_1900_S - time.time()) < 2


def test_ssh_reaches_hosts_by_the_labs_own_network() -> None:
    told = inventory.ssh_config("some")
    assert "ProxyCommand nsenter --net=/run/netns/holdfast-some -- socat - TCP:%h:%p" in told
    assert "StrictHostKeyChecking" not in told


def test_changes_are_counted_over_all_hosts() -> None:
    recap = "PLAY RECAP ****\n" + "".join(
        f"{name:26} : ok=6{changed}   changed={changed}    unreachable=0    failed=0    skipped=1\n"
        for name, changed in (("trader", 4), ("database", 3))
    )
    assert sum(int(found[2]) for found in RECAP.finditer(recap)) == 7


def test_heartbeat_that_stays_away_is_told_once_and_its_return_too(tmp_path: Path) -> None:
    heard = Heard(tmp_path / "heard.jsonl", missed_after_s=0.05)
    told = threading.Event()
    lines: list[dict[str, object]] = []

    def write(way: str, **facts: object) -> None:
        lines.append({"way": way, **facts})
        told.set()

    heard.write = write  # type: ignore[method-assign]
    threading.Thread(target=heard.watch, daemon=True).start()
    heard.heartbeat()
    assert told.wait(30)
    told.clear()
    heard.heartbeat()
    assert told.wait(30)
    assert [line["status"] for line in lines[:2]] == ["firing", "resolved"]


def mail(at_s: float, text: str) -> dict[str, object]:
    return {"at_s": at_s, "way": "mail", "to": "on-call", "subject": "s", "text": text}


def webhook(at_s: float, name: str, status: str) -> dict[str, object]:
    alerts = [{"labels": {"alertname": name}, "status": status}]
    return {"at_s": at_s, "way": "webhook", "body": {"alerts": alerts}}


def test_drill_hears_its_own_alert_in_its_time_and_status_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.alert_sinks.LABS", tmp_path)
    (tmp_path / "some/alerts").mkdir(parents=True)
    lines = [
        mail(99.0, "FIRING DatabaseDown: before"),
        mail(101.0, "FIRING DatabaseDownAgain: another"),
        mail(102.0, "RESOLVED DatabaseDown: over"),
        mail(103.5, "FIRING DatabaseDown: PostgreSQL does not answer"),
        mail(105.0, "FIRING DatabaseDown: again"),
        webhook(101.0, "ServiceDown", "firing"),
        webhook(102.0, "DatabaseDown", "resolved"),
        webhook(104.0, "DatabaseDown", "firing"),
        {"at_s": 104.5, "way": "dead-man", "status": "firing", "text": "no heartbeat"},
    ]
    (tmp_path / "some/alerts/heard.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    fault = Fault("", lambda _: None, lambda _: None, "DatabaseDown", frozenset({"mail", "webhook"}), 1.0)
    found = hear("some", fault, "firing", 100.0)
    assert {way: at_s for way, (at_s, _) in found.items()} == {"mail": 3.5, "webhook": 4.0}
    dead_man = Fault("", lambda _: None, lambda _: None, "", frozenset({"dead-man"}), 1.0)
    assert hear("some", dead_man, "firing", 100.0) == {"dead-man": (4.5, "no heartbeat")}


def test_a_scenario_is_told_by_its_two_runs_and_its_tests() -> None:
    recap = "PLAY RECAP ***\nlocalhost : ok=3 changed=2 unreachable=0\n"
    runs = "".join(f"PLAY RECAP ***\nhost : ok=9 changed={changed} unreachable=0\n" for changed in (5, 0, 1))
    log = f"{recap}{runs}===== 1 failed, 16 passed in 4.20s =====\n{recap}"
    found = molecule.outcome("node_exporter", log, is_ok=False, seconds=3.21)
    assert (found.changed, found.changed_again, found.tests) == (5, 0, "1 failed, 16 passed")
    assert molecule.line(found).startswith("FAILED node_exporter")
    assert molecule.outcome("base", recap, is_ok=False, seconds=1.0).tests == "none ran"


def test_every_role_has_a_scenario() -> None:
    assert set(molecule.roles()) == {path.name for path in (molecule.ROOT / "roles").iterdir()} - {"_common"}
