"""What of the lab needs no host: its time server's answers and the inventory that it writes."""

import struct
import time

from lab import inventory
from lab.appliance import RECAP
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
