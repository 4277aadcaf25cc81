"""The command line. Exit code 0: done, or nothing to do. 1: refused. 2: wrong usage."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast_release.host import KEEP_DEFAULT, Answer, Host
from holdfast_release.refusal import Refused
from holdfast_release.signature import signature_path

KEY_DEFAULT = Path("/etc/holdfast/release.pub")
SCHEMA_HELP = "newest migration of the database: select max(version) from schema_migrations; 0: no database yet"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        answer = _do(options, Host(options.root))
    except Refused as refusal:
        if options.json:
            _print({"changed": False, "refused": refusal.reason, "message": str(refusal)})
        else:
            sys.stderr.write(f"holdfast-release: refused ({refusal.reason}): {refusal}\n")
        return 1
    if options.json:
        _print(answer)
    else:
        sys.stdout.write(_text(answer))
    return 0


def _do(options: argparse.Namespace, host: Host) -> Answer:
    match options.command:
        case "install":
            return host.install(
                options.archive,
                signature=options.signature or signature_path(options.archive),
                key=options.key,
                schema=options.schema,
                is_repairing=options.repair,
                is_staging=options.stage,
                reserve_bytes=options.reserve_mib << 20,
            )
        case "switch":
            return host.switch(options.generation, schema=options.schema)
        case "rollback":
            return host.roll_back(schema=options.schema)
        case "verify":
            return host.verify(key=options.key, is_all=options.all)
        case "gc":
            return host.collect_garbage(keep=options.keep)
        case _:
            return host.list()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="holdfast-release",
        description="Puts a signed release of Holdfast on this host, switches between releases by one rename.",
    )
    parser.add_argument("--root", type=Path, default=Path("/"), help="the host's root directory, if not /")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object; `changed` says if anything was done"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    install = commands.add_parser("install", help="install an archive and make it current")
    install.add_argument("archive", type=Path)
    install.add_argument("--signature", type=Path, help="the archive's signature; default: ARCHIVE.sig")
    install.add_argument("--repair", action="store_true", help="compare what is installed and replace what differs")
    install.add_argument("--stage", action="store_true", help="install it, and leave current what is current")
    install.add_argument(
        "--reserve-mib", type=_natural, default=64, help="what must stay free on the disk; default: 64"
    )
    switch = commands.add_parser("switch", help="make an installed generation current")
    switch.add_argument("generation", type=int)
    rollback = commands.add_parser("rollback", help="make the generation that ran before the current one current")
    verify = commands.add_parser("verify", help="compare every installed byte with what was signed")
    verify.add_argument("--all", action="store_true", help="all generations, not the current one only")
    for command in (install, verify):
        command.add_argument("--key", type=Path, default=KEY_DEFAULT, help=f"public keys, PEM; default: {KEY_DEFAULT}")
    for command in (install, switch, rollback):
        command.add_argument("--schema", type=_natural, required=True, help=SCHEMA_HELP)
    garbage = commands.add_parser("gc", help="remove old generations and what only they had")
    garbage.add_argument("--keep", type=_positive, default=KEEP_DEFAULT, help=f"how many stay; default: {KEEP_DEFAULT}")
    commands.add_parser("list", help="the generations, and which is current")
    return parser


def _natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, found {text}")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {text}")
    return number


def _print(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")


def _text(answer: Answer) -> str:
    lines = []
    for key, value in answer.items():
        if key == "generations":
            lines += [_generation_line(each, answer.get("current")) for each in value]
        else:
            lines.append(f"{key.replace('_', ' ')}: {_shown(value)}")
    return "\n".join(lines) + "\n"


def _generation_line(generation: Answer | int, current: int | None) -> str:
    if isinstance(generation, int):
        return f"generation {generation}: as it was signed"
    mark = "*" if generation["generation"] == current else " "
    return (
        f"{mark} {generation['generation']:>4} {generation['version']:12} {generation['digest']} {generation['root']}"
    )


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return str(value)
