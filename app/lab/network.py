"""A lab's network: a namespace with a bridge, a relay to the package mirror as the only way out, and a time server.

The machine's own namespace gets nothing: no interface, no address, no rule. The relay's two ends meet at a socket in
the lab's folder; ssh reaches the hosts by a proxy command that enters the namespace.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from lab.image import mirror
from lab.place import LABS, run

NETWORK = "10.0.0.0/24"
CONTROLLER = "10.0.0.1"
# Another address of the machine beside the hosts: the relay to the mirror may need the ports of the first.
RECEIVERS = "10.0.0.2"
ADDRESS_OF_FIRST_HOST = 11
BRIDGE = "br0"


def namespace(lab: str) -> str:
    """Return the name of a lab's network namespace."""
    return f"holdfast-{lab}"


def enter(lab: str) -> list[str]:
    """Return the command that runs another inside a lab's network."""
    return ["nsenter", f"--net=/run/netns/{namespace(lab)}", "--"]


def exists(lab: str) -> bool:
    """Say whether a lab has its network."""
    return Path("/run/netns", namespace(lab)).exists()


def create(lab: str) -> None:
    """Make namespace, bridge and relay."""
    name = namespace(lab)
    run("ip", "netns", "add", name)
    for words in (
        "link set lo up",
        f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0",
        f"addr add {CONTROLLER}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ):
        run("ip", "-n", name, *words.split())
    for host, port in mirror().endpoints:
        meeting = LABS / lab / f"relay-{host}-{port}"
        outside = _start("socat", f"UNIX-LISTEN:{meeting},fork", f"TCP:{host}:{port}")
        (LABS / lab / f"relay-{host}-{port}.pid").write_text(str(outside))
        _start(*enter(lab), "socat", f"TCP-LISTEN:{port},bind={CONTROLLER},reuseaddr,fork", f"UNIX-CONNECT:{meeting}")
    _start(*enter(lab), sys.executable, "-m", "lab", "serve-time", CONTROLLER)


def add_address(lab: str, address: str) -> None:
    """Give the machine beside the hosts one more address; it stays as it is if it has it."""
    run("ip", "-n", namespace(lab), "addr", "replace", f"{address}/24", "dev", BRIDGE)


def environment() -> dict[str, str]:
    """Return the variables with which our own programs find this package."""
    return os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}


def _start(*command: str) -> int:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command, stdin=quiet, stdout=quiet, stderr=quiet, env=environment(), start_new_session=True
    ).pid


def inhabitants(lab: str) -> list[int]:
    """Return the processes that live in a lab's network."""
    try:
        inode = Path("/run/netns", namespace(lab)).stat().st_ino
    except FileNotFoundError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "ns/net").stat().st_ino == inode:
                    found.append(int(entry.name))
    return found


def destroy(lab: str) -> None:
    """End the relay and what else lives in the network, then remove it."""
    for file in (LABS / lab).glob("relay-*.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(file.read_text()), signal.SIGKILL)
    for process in inhabitants(lab):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    if exists(lab):
        run("ip", "netns", "del", namespace(lab))
