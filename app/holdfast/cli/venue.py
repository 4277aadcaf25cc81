"""`holdfast venue`: the simulated venue, in the foreground."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop

from holdfast.cli.options import Json
from holdfast.venues.simulated import SimulatedVenue, SimulatedVenueSettings, parse_speed
from holdfast.venues.simulated.settings import DEFAULT_SYMBOLS


async def _serve(settings: SimulatedVenueSettings, *, is_json: bool) -> None:
    venue = SimulatedVenue(settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await venue.start()
    ready = {"url": venue.url, "ca_file": str(venue.ca_file.resolve()), "port": venue.port, "session": settings.session}
    if is_json:
        typer.echo(msgspec.json.encode(ready).decode())
    else:
        typer.echo(f"simulated venue at {venue.url}, trust {ready['ca_file']}, ledger {settings.ledger}")
    try:
        await venue.run(stopping)
    finally:
        await venue.stop()


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="venue")
    def venue(  # noqa: PLR0917 - options, as typer wants them
        session: Annotated[
            str, typer.Option(help="synthetic:SEED, a directory of recorded ticks or a journal directory.")
        ] = "synthetic:1",
        speed: Annotated[str, typer.Option(help="How much faster than the clock, or max: as fast as read.")] = "1",
        seed: Annotated[int, typer.Option(help="Seed of ids, latencies and partial fills.")] = 1,
        ledger: Annotated[Path, typer.Option(help="File that the venue appends what happened to.")] = Path(
            "ledger.jsonl"
        ),
        port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
        host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
        tls_dir: Annotated[Path, typer.Option(help="Authority and certificate; made if absent.")] = Path("venue-tls"),
        symbols: Annotated[str, typer.Option(help="Of a synthetic market, joined by commas.")] = ",".join(
            DEFAULT_SYMBOLS
        ),
        start: Annotated[
            str, typer.Option(help="When a synthetic market starts, RFC 3339; now: it keeps the host's time.")
        ] = "",
        quotes_per_s: Annotated[float, typer.Option(help="Changes a second of each synthetic symbol.")] = 20.0,
        key_id: Annotated[str, typer.Option(help="The key id that is accepted.")] = "PKSIMULATED",
        secret_key: Annotated[
            str, typer.Option(envvar="HOLDFAST_VENUE_SECRET_KEY", help="Its secret.", show_default=False)
        ] = "simulated-secret",  # noqa: S107 - of a simulation
        rate_limit: Annotated[int, typer.Option(help="Requests a minute.")] = 200,
        cash_usd: Annotated[int, typer.Option(help="Cash at the start.")] = 100_000,
        latency_ms_min: Annotated[float, typer.Option(help="Least session time from a request to its effect.")] = 0.0,
        latency_ms_max: Annotated[float, typer.Option(help="Most session time from a request to its effect.")] = 0.0,
        partial_fills: Annotated[float, typer.Option(help="Share of fills that are cut short, 0 to 1.")] = 0.1,
        faults: Annotated[Path | None, typer.Option(help="A fault script, TOML: what is to go wrong and when.")] = None,
        json: Json = False,
    ) -> None:
        """Run the simulated venue until SIGTERM; one line says when it is ready."""
        settings = SimulatedVenueSettings(
            session=session,
            speed=parse_speed(speed),
            seed=seed,
            ledger=ledger,
            host=host,
            port=port,
            tls_dir=tls_dir,
            symbols=tuple(name for name in symbols.split(",") if name),
            start=start,
            quotes_per_s=quotes_per_s,
            key_id=key_id,
            secret_key=secret_key,
            rate_limit=rate_limit,
            cash_usd=cash_usd,
            latency_ms_min=latency_ms_min,
            latency_ms_max=max(latency_ms_min, latency_ms_max),
            partial_fill_ppm=round(partial_fills * 1_000_000),
            faults=faults,
        )
        uvloop.run(_serve(settings, is_json=json))
