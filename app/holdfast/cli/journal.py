"""`holdfast journal`: list, follow, verify and export the journals of a state directory."""

import csv
import json
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import psycopg
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from holdfast import audit, clock
from holdfast._native import RECORDS, JournalError, JournalReader, journal_verify, wait_any
from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Json
from holdfast.errors import ConfigError, OperatingError
from holdfast.settings import load_settings
from holdfast.store.witness import remembered

if TYPE_CHECKING:
    from holdfast._native import Record

HEADER_FIELDS = ("seq", "ts_ns", "record", "cause_journal", "cause_seq", "origin_ns")
BATCH_RECORDS = 1000
FOLLOW_WAIT_S = 0.5
DATABASE_TIMEOUT_S = 5
NANOSECONDS = 1_000_000_000

State = Annotated[Path | None, typer.Option("--state", help="State directory; default: what system.json says.")]
Kind = Annotated[str, typer.Option("--record", help="Only records of this type, such as Quote.")]
Where = Annotated[
    list[str] | None, typer.Option("--where", help="Only records with FIELD=VALUE, such as symbol=IBM; may repeat.")
]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records to show: of one type, with given field values; empty means all."""

    kind: str
    values: dict[str, str]

    def accepts(self, record: "Record") -> bool:
        """Say whether a record is wanted."""
        if self.kind and type(record).__name__ != self.kind:
            return False
        if not self.values:
            return True
        fields = record.as_dict()
        return all(str(fields.get(key, "")) == value for key, value in self.values.items())


def make_filter(kind: str, where: list[str] | None) -> Filter:
    """Check and take the filter options; ConfigError for a type or form that cannot match."""
    names = {record.__name__ for record in RECORDS}
    if kind and kind not in names:
        raise ConfigError(file="holdfast journal", key="--record", expected=" | ".join(sorted(names)), found=kind)
    pairs = [text.partition("=") for text in where or []]
    for key, sign, _ in pairs:
        if not key or not sign:
            raise ConfigError(file="holdfast journal", key="--where", expected="FIELD=VALUE", found=key)
    return Filter(kind, {key: value for key, _, value in pairs})


def flatten(record: "Record") -> dict[str, int | str]:
    """Return header and fields of a record in one dict, codes as labels."""
    return {
        "seq": record.seq,
        "ts_ns": record.ts_ns,
        "record": type(record).__name__,
        "cause_journal": record.cause_journal.label,
        "cause_seq": record.cause_seq,
        "origin_ns": record.origin_ns,
        **record.as_dict(),
    }


def _line(record: "Record") -> Text:
    moment = datetime.fromtimestamp(record.ts_ns // NANOSECONDS, UTC)
    time = f"{moment:%Y-%m-%d %H:%M:%S}.{record.ts_ns % NANOSECONDS:09d}"
    line = Text.assemble((f"{record.seq:>10} ", "bold"), (f"{time} ", "dim"), (f"{type(record).__name__:<16}", "cyan"))
    for key, value in record.as_dict().items():
        if not value:
            continue
        if key.endswith("_e9"):
            line.append(f" {key.removesuffix('_e9')}={format((Decimal(value) / NANOSECONDS).normalize(), 'f')}")
        else:
            line.append(f" {key}={value}")
    if record.cause_seq:
        line.append(f" <- {record.cause_journal.label}:{record.cause_seq}", "dim")
    return line


def _journals(state: Path | None, config: Path) -> Path:
    return (state if state is not None else load_settings(config).state_dir) / "journals"


def _audited(state: Path | None, config: Path) -> tuple[Path, str]:
    """Return the state directory and the connection string of its database, empty without one."""
    if state is not None:
        return state, os.environ.get("DATABASE_URL", "")
    settings = load_settings(config)
    return settings.state_dir, settings.database_url.get_secret_value() if settings.database_url else ""


def _open(root: Path, name: str, from_seq: int) -> JournalReader:
    try:
        return JournalReader(str(root / name), from_seq=from_seq)
    except JournalError as error:
        raise OperatingError(str(error)) from None


def _records(reader: JournalReader, to_seq: int) -> Iterator["Record"]:
    """Yield what is there now, up to `to_seq`."""
    try:
        while reader.next_seq <= to_seq:
            batch = reader.read(min(BATCH_RECORDS, to_seq + 1 - reader.next_seq))
            if not batch:
                return
            yield from batch
    except JournalError as error:
        raise OperatingError(str(error)) from None


def _follow(reader: JournalReader) -> Iterator["Record"]:
    """Yield what comes from now on, for ever."""
    while True:
        if wait_any([reader], FOLLOW_WAIT_S):
            yield from _records(reader, reader.last_seq)


def describe(directory: Path) -> dict[str, Any]:
    """Return what one journal holds and whether its writer lives; ages in seconds."""
    with JournalReader(str(directory), from_seq=0) as reader:
        heartbeat_ns = reader.heartbeat_ns
        segments = [path.stat().st_size for path in directory.glob("*.segment")]
        return {
            "journal": reader.name.label,
            "first_seq": reader.first_seq,
            "last_seq": reader.last_seq,
            "epoch": reader.epoch,
            "heartbeat_age_s": round((clock.now_ns() - heartbeat_ns) / NANOSECONDS, 3) if heartbeat_ns else None,
            "segments": len(segments),
            "bytes": sum(segments),
            "build_hash": f"{reader.build_hash:x}",
            "config_hash": f"{reader.config_hash:x}",
        }


def _names(root: Path, names: list[str] | None) -> list[str]:
    found = names or sorted(path.parent.name for path in root.glob("*/header"))
    if not found:
        raise OperatingError(f"no journal in {root}: start the services, or give --state")
    return found


def _add_ls(group: typer.Typer) -> None:
    @group.command(name="ls")
    def ls(*, state: State = None, config: ConfigDir = DEFAULT_CONFIG_DIR, as_json: Json = False) -> None:
        """List the journals: what they hold and when their writer was last alive."""
        root = _journals(state, config)
        try:
            rows = [describe(root / name) for name in _names(root, None)]
        except JournalError as error:
            raise OperatingError(str(error)) from None
        if as_json:
            typer.echo(json.dumps({"journals": rows}))
            return
        table = Table("journal", "first", "last", "segments", "MiB", "heartbeat")
        for row in rows:
            age = "never" if row["heartbeat_age_s"] is None else f"{row['heartbeat_age_s']:.1f} s ago"
            numbers = (row["first_seq"], row["last_seq"], row["segments"], row["bytes"] // 2**20)
            table.add_row(row["journal"], *map(str, numbers), age)
        Console().print(table)


def _add_tail(group: typer.Typer) -> None:
    @group.command()
    def tail(
        name: Annotated[str, typer.Argument(help="market_data, signals, orders, executions or control.")],
        *,
        count: Annotated[int, typer.Option("-n", "--count", min=0, help="How many of the last records.")] = 10,
        is_following: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
        kind: Kind = "",
        where: Where = None,
        state: State = None,
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        as_json: Json = False,
    ) -> None:
        """Show the last records that match, newest last; with -f also those to come."""
        wanted = make_filter(kind, where)
        reader = _open(_journals(state, config), name, 0)
        last_seq = reader.last_seq
        if not wanted.kind and not wanted.values:
            reader.seek(max(reader.first_seq, last_seq + 1 - count))
        console = Console(highlight=False, soft_wrap=True)

        def show(record: "Record") -> None:
            if as_json:
                typer.echo(json.dumps(flatten(record)))
            else:
                console.print(_line(record))

        for record in deque(filter(wanted.accepts, _records(reader, last_seq)), maxlen=count):
            show(record)
        try:
            for record in filter(wanted.accepts, _follow(reader) if is_following else ()):
                show(record)
        except KeyboardInterrupt:
            return


def _verify_audit(state_dir: Path, dsn: str, *, as_json: bool) -> None:
    found = audit.verify(state_dir)
    known, trouble = _remembered(dsn) if dsn else ({}, "no database_url")
    damages = [each for each in (found.damage, audit.compare(audit.lines(state_dir), known)) if each is not None]
    damage = min(damages, key=lambda each: each.line, default=None)
    is_ok = damage is None and not (dsn and trouble)
    if as_json:
        place = None if damage is None else {"line": damage.line, "offset": damage.offset, "what": damage.what}
        answer = {"records": found.records, "torn_bytes": found.torn_bytes, "damage": place, "ok": is_ok}
        typer.echo(json.dumps(answer | {"remembered": len(known), "not_compared": trouble}))
    elif damage is not None:
        typer.echo(
            f"DAMAGED {state_dir / 'audit' / 'trail.jsonl'}: {damage}; the {damage.line - 1} before it are whole"
        )
    else:
        torn = f", and {found.torn_bytes} bytes of one that was never acknowledged" if found.torn_bytes else ""
        witness = (
            f"NOT compared with PostgreSQL: {trouble}" if trouble else f"PostgreSQL remembers {len(known)} of them"
        )
        typer.echo(f"audit trail whole: {found.records} records{torn}; {witness}")
    if not is_ok:
        raise typer.Exit(1)


def _remembered(dsn: str) -> tuple[dict[int, str], str]:
    """Return the lines that PostgreSQL remembers, and why they could not be asked for."""
    try:
        return remembered(dsn, timeout_s=DATABASE_TIMEOUT_S), ""
    except psycopg.Error as error:
        return {}, str(error).strip().splitlines()[0]


def _add_verify(group: typer.Typer) -> None:
    @group.command()
    def verify(
        names: Annotated[list[str] | None, typer.Argument(help="Journals; default: all.")] = None,
        *,
        is_audit: Annotated[bool, typer.Option("--audit", help="Check the operators' audit trail instead.")] = False,
        state: State = None,
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        as_json: Json = False,
    ) -> None:
        """Check every checksum and number, or every link of the audit trail; exit 1 when something is damaged."""
        if is_audit:
            _verify_audit(*_audited(state, config), as_json=as_json)
            return
        root = _journals(state, config)
        table = Table("journal", "records", "first", "last", "torn bytes", "damage")
        rows = []
        for name in _names(root, names):
            try:
                found = journal_verify(str(root / name))
            except JournalError as error:
                raise OperatingError(str(error)) from None
            damage = f"{found.error} in {found.path} at offset {found.offset}" if found.error else None
            rows.append(
                {
                    "journal": name,
                    "records": found.records,
                    "first_seq": found.first_seq,
                    "last_seq": found.last_seq,
                    "torn_bytes": found.torn_bytes,
                    "damage": damage,
                }
            )
            numbers = (found.records, found.first_seq, found.last_seq, found.torn_bytes)
            table.add_row(name, *map(str, numbers), damage or "none")
        if as_json:
            typer.echo(json.dumps({"journals": rows, "ok": all(row["damage"] is None for row in rows)}))
        else:
            Console().print(table)
        if any(row["damage"] for row in rows):
            raise typer.Exit(1)


def _add_export(group: typer.Typer) -> None:
    @group.command()
    def export(
        name: Annotated[str, typer.Argument(help="market_data, signals, orders, executions or control.")],
        *,
        output: Annotated[Path | None, typer.Option("-o", "--output", help="File; default: standard output.")] = None,
        form: Annotated[Literal["jsonl", "csv"], typer.Option("--format", help="csv needs --record.")] = "jsonl",
        from_seq: Annotated[int, typer.Option("--from", min=0, help="First record; 0: the oldest.")] = 0,
        to_seq: Annotated[int, typer.Option("--to", min=0, help="Last record; 0: the newest there is now.")] = 0,
        kind: Kind = "",
        where: Where = None,
        state: State = None,
        config: ConfigDir = DEFAULT_CONFIG_DIR,
    ) -> None:
        """Write records as JSON lines or CSV; amounts stay integers scaled by 1e-9."""
        if form == "csv" and not kind:
            raise ConfigError(file="holdfast journal export", key="--record", expected="one type of record for csv")
        wanted = make_filter(kind, where)
        reader = _open(_journals(state, config), name, from_seq)
        last_seq = min(to_seq or reader.last_seq, reader.last_seq)
        if output is None:
            _write(sys.stdout, _records(reader, last_seq), wanted, form)
            return
        with output.open("w", newline="") as file, Progress(console=Console(stderr=True)) as progress:
            first_seq = reader.next_seq
            task = progress.add_task(name, total=max(last_seq + 1 - first_seq, 0))
            count = _write(file, progress.track(_records(reader, last_seq), task_id=task), wanted, form)
        typer.echo(f"{count} records written to {output}", err=True)


def _write(file: IO[str], records: "Iterable[Record]", wanted: Filter, form: str) -> int:
    count = 0
    sheet = csv.writer(file)
    if form == "csv":
        fields = next(record.FIELDS for record in RECORDS if record.__name__ == wanted.kind)
        sheet.writerow([*HEADER_FIELDS, *fields])
    for record in filter(wanted.accepts, records):
        if form == "csv":
            sheet.writerow(flatten(record).values())
        else:
            file.write(json.dumps(flatten(record)) + "\n")
        count += 1
    return count


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="List, follow, verify and export the journals.")
    app.add_typer(group, name="journal")
    for add in (_add_ls, _add_tail, _add_verify, _add_export):
        add(group)
