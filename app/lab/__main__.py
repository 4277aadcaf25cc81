"""The lab's command line: boot hosts, look at them, remove them."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys

from lab import alert_sinks, appliance, drill, inventory, molecule, network, restore, scan, time_server, upgrades, vm
from lab import host as hosts_of
from lab.host import Host
from lab.image import image
from lab.place import LABS, LabError, locked, run, say


def up(lab: str, names: list[str], suite: str, options: list[str], *, has_log_disk: bool = False) -> None:
    """Boot hosts and wait until each answers; those that run already are left alone."""
    folder = LABS / lab
    base = image(suite)
    with locked(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "id_ed25519").exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", lab, "-f", folder / "id_ed25519")
        if not network.exists(lab):
            network.create(lab)
        there = {host.name: host.address for host in hosts_of.hosts(lab)}
        free = (
            address
            for at in range(network.ADDRESS_OF_FIRST_HOST, 250)
            if (address := f"10.0.0.{at}") not in there.values()
        )
        for name in names:
            if name not in there:
                hosts_of.create(Host(lab, name), base, next(free), options, has_log_disk=has_log_disk)
        for name in names:
            hosts_of.wait_for_ssh(Host(lab, name))
        inventory.write(lab)


def down(lab: str) -> None:
    """Remove a lab: its hosts, its network, its files."""
    with locked(LABS / lab):
        if not (LABS / lab).is_dir():
            return
        for host in hosts_of.hosts(lab):
            hosts_of.power_off(host)
        network.destroy(lab)
        shutil.rmtree(LABS / lab)


def inside(lab: str, name: str, command: list[str]) -> None:
    """Become a command that runs in a host, without ssh."""
    target = str(hosts_of.leader(Host(lab, name)))
    os.execvp("nsenter", ["nsenter", "--target", target, "--all", "--", *command])  # noqa: S606


def lab_name(text: str) -> str:
    """Accept a name that fits into those of machines, groups and namespaces."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,40}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected letters, digits and hyphens")
    return text


def parser() -> argparse.ArgumentParser:
    """Return the commands."""
    root = argparse.ArgumentParser(prog="lab", description="Test hosts: Debian in systemd-nspawn.")
    commands = root.add_subparsers(dest="command", required=True)
    command = commands.add_parser("up", help="boot hosts and wait for ssh")
    command.add_argument("lab", type=lab_name)
    command.add_argument("hosts", nargs="+", type=lab_name)
    command.add_argument("--suite", default="bookworm", choices=["bookworm", "trixie"])
    command.add_argument("--option", action="append", default=[], help="one more option for systemd-nspawn")
    command = commands.add_parser("appliance", help="boot a host, provision it, let it trade, look at it")
    command.add_argument("--lab", type=lab_name, default="appliance")
    command.add_argument("--json", action="store_true")
    command = commands.add_parser(
        "drill", help="let parts of an appliance that trades die: who hears of it, does it trade on?"
    )
    command.add_argument("lab", type=lab_name, nargs="?", default="appliance")
    command.add_argument("--json", action="store_true")
    command = commands.add_parser(
        "restore", help="trade, take the database back, lose the host, go on with another one"
    )
    command.add_argument("--lab", type=lab_name, default="restore")
    command.add_argument("--minutes", type=int, default=10, help="how far back; trading goes on twice as long")
    command.add_argument("--json", action="store_true")
    command = commands.add_parser("molecule", help="test roles, each on a host of its own: apply twice, reboot, look")
    command.add_argument("roles", nargs="*")
    command.add_argument("--suite", default="bookworm", choices=["bookworm", "trixie"])
    command.add_argument("--json", action="store_true")
    command = commands.add_parser("scan", help="try every port of every host, and again after a reboot")
    command.add_argument("--lab", type=lab_name, default="scan")
    command.add_argument("--inventory", choices=sorted(scan.HOSTS), default="local_four_hosts")
    command.add_argument("--hosts-only", action="store_true", help="provision no services, only what every host has")
    command.add_argument("--json", action="store_true")
    command = commands.add_parser(
        "upgrades", help="upgrade, failing upgrade, rollback, new secrets while strategies trade; the venue judges"
    )
    command.add_argument("lab", type=lab_name, nargs="?", default="upgrades")
    command.add_argument("--json", action="store_true")
    command = commands.add_parser("vm", help="boot a virtual machine and prove what a container does not enforce")
    command.add_argument("--lab", type=lab_name, default="vm")
    command.add_argument("--json", action="store_true")
    for name, help_ in (
        ("down", "end and remove everything of a lab"),
        ("inventory", "print an Ansible inventory: how to reach each host"),
        ("ssh-config", "print a file for ssh -F"),
    ):
        commands.add_parser(name, help=help_).add_argument("lab", type=lab_name)
    command = commands.add_parser("exec", help="run a command in a host, without ssh")
    command.add_argument("lab", type=lab_name)
    command.add_argument("host", type=lab_name)
    command.add_argument("words", nargs=argparse.REMAINDER)
    command = commands.add_parser("enter", help="run a command in a lab's network, as the machine beside its hosts")
    command.add_argument("lab", type=lab_name)
    command.add_argument("words", nargs=argparse.REMAINDER)
    command = commands.add_parser("supervise", help="(internal) run one host")
    command.add_argument("lab", type=lab_name)
    command.add_argument("host", type=lab_name)
    command = commands.add_parser("serve-time", help="(internal) answer SNTP")
    command.add_argument("address")
    command = commands.add_parser("serve-alerts", help="(internal) hear alerts")
    command.add_argument("lab", type=lab_name)
    return root


def carry_out(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    match arguments.command:
        case "up":
            up(arguments.lab, arguments.hosts, arguments.suite, arguments.option)
        case "appliance":
            up(arguments.lab, ["trader"], "bookworm", [], has_log_disk=True)
            return appliance.tell(appliance.provision(arguments.lab, "local"), arguments.lab, is_json=arguments.json)
        case "drill":
            return drill.tell(drill.drill(arguments.lab), is_json=arguments.json)
        case "restore":
            # One of its hosts is dead after it, and an earlier run that failed was left to be looked at.
            down(arguments.lab)
            up(arguments.lab, [restore.LOST, restore.SPARE], "bookworm", [])
            code = restore.rehearse(arguments.lab, arguments.minutes, is_json=arguments.json)
            if code == 0:
                down(arguments.lab)
            return code
        case "molecule":
            return molecule.test_all(arguments.roles, arguments.suite, is_json=arguments.json)
        case "scan":
            up(arguments.lab, scan.HOSTS[arguments.inventory], "bookworm", [])
            is_whole = not arguments.hosts_only
            scan.provision(arguments.lab, arguments.inventory, is_whole=is_whole)
            return scan.tell(scan.scan(arguments.lab, arguments.inventory, is_whole=is_whole), is_json=arguments.json)
        case "upgrades":
            up(arguments.lab, ["trader"], "bookworm", [])
            return upgrades.tell(upgrades.rehearse(arguments.lab), is_json=arguments.json)
        case "vm":
            return vm.tell(vm.prove(arguments.lab), is_json=arguments.json)
        case "down":
            down(arguments.lab)
        case "inventory":
            sys.stdout.write(inventory.ansible(arguments.lab))
        case "ssh-config":
            sys.stdout.write(inventory.ssh_config(arguments.lab))
        case "exec":
            inside(arguments.lab, arguments.host, arguments.words)
        case "enter":
            os.execvp("nsenter", [*network.enter(arguments.lab), *arguments.words])  # noqa: S606
        case "serve-time":
            time_server.serve(arguments.address)
        case "serve-alerts":
            alert_sinks.serve(arguments.lab)
        case _:
            return hosts_of.supervise(Host(arguments.lab, arguments.host))
    return 0


def main() -> int:
    """Run the command line."""
    if os.geteuid() != 0:
        say("needs root: it mounts, makes namespaces and boots hosts")
        return 1
    try:
        return carry_out(parser().parse_args())
    except LabError as error:
        say(f"ERROR: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
