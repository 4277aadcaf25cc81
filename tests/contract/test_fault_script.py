"""The fault script: what it may say, how it is refused, and that the same seed and requests give the same faults."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fix_venue import OpenVenue
from holdfast.errors import EXIT_CONFIG, ConfigError
from holdfast.venues.alpaca.connection import Connection, Origin, Response, tls_context
from holdfast.venues.simulated import Ledger
from holdfast.venues.simulated.faults import FaultScript, HttpFault
from patience import PATIENCE_S

KEYS = {"APCA-API-KEY-ID": "PKSIMULATED", "APCA-API-SECRET-KEY": "simulated-secret"}

WRONG = {
    "not TOML": ("", "TOML"),
    "sead = 1": ("sead", "no such key (unknown keys are refused)"),
    "seed = -1": ("seed", "greater than or equal to 0"),
    '[[http]]\nroute = "POST /v2/orders"\nprobability = 1.5': ("http[0].probability", "less than or equal to 1"),
    '[[http]]\nroute = "POST /v2/orders"\nprobability = nan': ("http[0].probability", ""),
    '[[http]]\nroute = "post orders"': ("http[0].route", "String should match pattern"),
    "[[http]]\n": ("http[0].route", "a value (the key is missing)"),
    '[[http]]\nroute = "* *"\nanswer = "status"': ("http[0]", "status exactly when answer is status"),
    '[[http]]\nroute = "* *"\neffect = "drop"': ("http[0]", "another answer"),
    '[[http]]\nroute = "* *"\nvisible_after_s = [3, 1]': ("http[0]", "[least, most]"),
    '[[http]]\nroute = "* *"\nfrom_s = 3\nuntil_s = 2': ("http[0]", "until_s after from_s"),
    '[[order_stream]]\neffect = "dorp"': ("order_stream[0].effect", "one of 'drop'"),
    "[[order_stream]]\ncount = 1": ("order_stream[0].effect", "a value (the key is missing)"),
    '[[order_stream]]\neffect = "mute"\nskip = 1': ("order_stream[0].skip", "no such key (unknown keys are refused)"),
    '[[market]]\neffect = "zero"\nfor_s = 1': ("market[0].for_s", "no such key (unknown keys are refused)"),
    '[[market]]\neffect = "zero"\nsymbols = ["ibm"]': ("market[0].symbols[0]", "String should match pattern"),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_script_is_refused_by_file_key_and_expectation(text: str) -> None:
    key, expected = WRONG[text]
    with pytest.raises(ConfigError) as refused:
        FaultScript.parse(text, file="drill.toml")
    assert (refused.value.file, refused.value.key) == ("drill.toml", key)
    assert expected in refused.value.expected


def test_the_command_ends_with_the_code_of_a_wrong_configuration(tmp_path: Path) -> None:
    file = tmp_path / "drill.toml"
    file.write_text("[[http]]\nroute = 1\n")
    command = [sys.executable, "-m", "holdfast", "venue", "--tls-dir", str(tmp_path), "--faults", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, cwd=tmp_path)
    assert ended.returncode == EXIT_CONFIG
    assert f"{file}: http[0].route" in ended.stderr


async def ask(origin: Origin, ca_file: Path, method: str, target: str, body: str = "") -> Response:
    async with Connection(origin, tls_context(ca_file), lines=1) as connection:
        outcome = await connection.request(origin.encode(method, target, body.encode()), timeout_s=10)
    assert isinstance(outcome, Response)
    return outcome


async def test_an_operator_loads_and_heals_faults_at_run_time(open_venue: OpenVenue) -> None:
    async with open_venue() as venue:
        origin = Origin.parse(venue.url, headers=KEYS)
        script = '[[http]]\nroute = "GET /v2/clock"\neffect = "drop"\nanswer = "status"\nstatus = 503\n'
        assert (await ask(origin, venue.ca_file, "POST", "/venue/faults", script)).status == 200
        assert (await ask(origin, venue.ca_file, "GET", "/v2/clock")).status == 503
        told = json.loads((await ask(origin, venue.ca_file, "GET", "/venue/faults")).body)
        assert told["injected"] == {"http.drop.503": 1}
        assert (await ask(origin, venue.ca_file, "POST", "/venue/heal")).status == 200
        assert (await ask(origin, venue.ca_file, "GET", "/v2/clock")).status == 200
        refused = await ask(origin, venue.ca_file, "POST", "/venue/faults", "[[http]]\n")
        assert (refused.status, json.loads(refused.body)["key"]) == (422, "http[0].route")
    kinds = [line["kind"] for line in Ledger.read(venue.settings.ledger).lines]
    assert [kind for kind in kinds if kind.startswith("fault")] == ["faults_loaded", "fault", "faults_healed"]


async def test_the_same_seed_and_requests_give_the_same_faults(open_venue: OpenVenue) -> None:
    fault = HttpFault(route="GET /v2/clock", effect="drop", answer="status", status=500, probability=0.3)

    async def statuses(seed: int) -> list[int]:
        async with open_venue() as venue:
            venue.faults.load(FaultScript(seed=seed, http=(fault,)))
            origin = Origin.parse(venue.url, headers=KEYS)
            async with Connection(origin, tls_context(venue.ca_file), lines=1) as connection:
                found = [await connection.get("/v2/clock") for _ in range(60)]
        return [response.status for response in found]

    first, again, other = await statuses(5), await statuses(5), await statuses(6)
    assert first == again != other
    assert 5 < first.count(500) < 35


async def test_a_fault_strikes_in_its_window_and_as_often_as_it_may(open_venue: OpenVenue) -> None:
    fault = HttpFault(route="GET /v2/clock", effect="drop", answer="status", status=500, skip=2, count=3)
    past = HttpFault(route="GET /v2/account", effect="drop", answer="status", status=500, until_s=0.000_001)
    async with open_venue() as venue:
        venue.faults.load(FaultScript(http=(fault, past)))
        await asyncio.sleep(0)
        origin = Origin.parse(venue.url, headers=KEYS)
        async with Connection(origin, tls_context(venue.ca_file), lines=1) as connection:
            found = [(await connection.get("/v2/clock")).status for _ in range(7)]
            assert (await connection.get("/v2/account")).status == 200
    assert found == [200, 200, 500, 500, 500, 200, 200]
