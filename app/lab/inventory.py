"""How Ansible and ssh reach a lab's hosts: by a proxy command that enters the lab's network."""

from __future__ import annotations

import json

from lab import network
from lab.host import Host, hosts
from lab.place import LABS


def proxy(lab: str) -> str:
    """Return ssh's proxy command."""
    return f"{' '.join(network.enter(lab))} socat - TCP:%h:%p"


def ansible(lab: str, names: dict[str, Host] | None = None) -> str:
    """Return an inventory that adds to another one how each host is reached, also by other names. JSON is YAML."""
    connection = {
        # Certificates of the venue and of the receivers of alerts are below it.
        "lab_folder": str(LABS / lab),
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(LABS / lab / "id_ed25519"),
        # Hosts of other labs have the same addresses: a connection that is kept open must not be taken for theirs.
        "ansible_control_path_dir": str(LABS / lab / "connections"),
        "ansible_ssh_common_args": (
            f"-o UserKnownHostsFile={LABS / lab / 'known_hosts'} -o ProxyCommand='{proxy(lab)}'"
        ),
    }
    names = {host.name: host for host in hosts(lab)} if names is None else names
    members = {name: {"ansible_host": host.address} for name, host in names.items()}
    return json.dumps({"all": {"vars": connection, "hosts": members}}, indent=2) + "\n"


def ssh_config(lab: str) -> str:
    """Return a file for `ssh -F`."""

    def section(host: Host) -> str:
        return f"Host {host.name}\n  HostName {host.address}\n"

    common = (
        f"Host *\n  User root\n  IdentityFile {LABS / lab / 'id_ed25519'}\n"
        f"  UserKnownHostsFile {LABS / lab / 'known_hosts'}\n  ProxyCommand {proxy(lab)}\n"
    )
    return "".join(map(section, hosts(lab))) + common


def write(lab: str) -> None:
    """Write both beside the lab's keys."""
    (LABS / lab / "inventory.json").write_text(ansible(lab))
    (LABS / lab / "ssh_config").write_text(ssh_config(lab))
