"""`holdfast status`: what the journals say, with every service down if need be."""

import typer
from rich.console import Console
from rich.table import Table

from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.gateway.answers import position_body, status_body
from holdfast.gateway.schemas import StatusBody
from holdfast.gateway.view import JournalView
from holdfast.journals import open_latch
from holdfast.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="status")
    def status(config: ConfigDir = DEFAULT_CONFIG_DIR, env: Env = "", is_json: Json = False) -> None:
        """Show trading state, kill latch, services, positions and profit; exit code 1 when it cannot trade."""
        settings = load_settings(config, env=env)
        view = JournalView(settings)
        view.catch_up()
        body = status_body(settings, view, open_latch(settings))
        held = [position_body(position) for position in view.positions() if position.quantity_e9]
        view.close()
        if is_json:
            rows = ",".join(position.model_dump_json() for position in held)
            typer.echo(f'{body.model_dump_json()[:-1]},"positions":[{rows}]}}')
        else:
            console = Console()
            _print_summary(console, body)
            table = Table("symbol", "quantity", "average", "mark", "unrealized", "realized", title="positions")
            for position in held:
                prices = (position.average_price, position.mark_price)
                table.add_row(
                    position.symbol, position.quantity, *prices, position.unrealized_pnl, position.realized_pnl
                )
            console.print(table)
        if not body.is_ready or body.kill_latch.is_set or body.trading_state.state != "active":
            raise typer.Exit(1)


def _print_summary(console: Console, body: StatusBody) -> None:
    state, latch = body.trading_state, body.kill_latch
    style = "green" if state.state == "active" else "bold red"
    console.print(
        f"{body.environment}, {body.trading_mode}: [{style}]{state.state.upper()}[/] {state.rule} {state.detail}"
    )
    if latch.is_set:
        who = latch.operator or "a script"
        console.print(f"[bold red]KILL LATCH SET[/] by {who} at {latch.changed_at}: {latch.reason}", highlight=False)
    else:
        console.print("kill latch clear")
    if (lease := body.lease) is not None:
        who = f"lease of account {lease.account} by {lease.mode}"
        until = f" until {lease.until}" if lease.until else ""
        held = f"held, token {lease.token}{until}" if lease.is_held else f"not held: {lease.detail or lease.state}"
        console.print(f"{who}: {held}", highlight=False)
    console.print(
        f"P&L {body.pnl.total} (realized {body.pnl.realized}, unrealized {body.pnl.unrealized}) · "
        f"{body.fills} fills · {body.approved} approved · {body.denied} denied · "
        f"{body.orders_open} orders open, {body.orders_unknown} unknown"
    )
    table = Table("service", "alive", "heartbeat", "journal", "last", title="services")
    for head in body.services:
        alive = "[green]yes[/]" if head.is_alive else "[red]no[/]"
        table.add_row(head.service, alive, f"{head.heartbeat_age_s:.1f} s", head.name, str(head.last_seq))
    console.print(table)
    for reason in body.unready_reasons:
        console.print(f"[red]not ready:[/] {reason}")
