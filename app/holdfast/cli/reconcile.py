"""`holdfast reconcile`: hold the journal against the venue, changing nothing."""

import asyncio
import json
from dataclasses import asdict, dataclass

import typer
from rich.console import Console
from rich.table import Table

from holdfast import clock
from holdfast._native import JournalError
from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.errors import OperatingError
from holdfast.execution.access import trading_origin
from holdfast.execution.compare import Difference, differences, read_back
from holdfast.journals import open_reader
from holdfast.settings import Settings, load_settings
from holdfast.venues.alpaca.connection import Connection, tls_context
from holdfast.venues.alpaca.trading import TradingGateway

# What is on its way between venue and journal is no difference: only what stays is told.
LOOKS = 3
BETWEEN_LOOKS_S = 0.7


@dataclass(frozen=True, slots=True)
class Unpaced:
    """A handful of queries needs no budget."""

    async def permit(self) -> None:
        """Return at once."""

    def refused(self, retry_after_s: float) -> None:
        """Leave it to the caller, who gets the error."""


async def compare(settings: Settings) -> list[Difference]:
    """Return the differences that last. Raises: RetryLater without the venue, OperatingError without a journal."""
    async with Connection(trading_origin(settings), tls_context(settings.venue.ca_file), lines=1) as connection:
        gateway = TradingGateway(entries=connection, cancels=connection, queries=connection, pace=Unpaced())
        lasting: list[Difference] | None = None
        for look in range(LOOKS):
            venue_orders = await gateway.open_orders()
            venue_positions = await gateway.positions(now_ns=clock.now_ns())
            try:
                with open_reader(settings, "executions", from_seq=0, wait_s=0) as reader:
                    orders, positions = read_back(reader)
            except JournalError as error:
                raise OperatingError(f"executions cannot be read: {error}") from error
            found = differences(orders, positions, venue_orders=venue_orders, venue_positions=venue_positions)
            lasting = found if lasting is None else [each for each in found if each in lasting]
            if not lasting:
                break
            if look < LOOKS - 1:
                await asyncio.sleep(BETWEEN_LOOKS_S)
        return lasting or []


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="reconcile")
    def reconcile(config: ConfigDir = DEFAULT_CONFIG_DIR, env: Env = "", as_json: Json = False) -> None:
        """Compare orders and positions of the journal with the venue; exit code 0 only when they agree."""
        found = asyncio.run(compare(load_settings(config, env=env)))
        if as_json:
            typer.echo(json.dumps({"ok": not found, "differences": [asdict(each) for each in found]}))
        elif found:
            table = Table("what", "which", "journal", "venue", title="Journal and venue differ")
            for each in found:
                table.add_row(each.what, each.key, each.ours, each.venue)
            Console().print(table)
        else:
            typer.echo("journal and venue agree")
        if found:
            raise typer.Exit(1)
