"""`holdfast campaign`: the process campaign."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.campaign.run import CampaignOptions, RunResult, Tally, run_campaign
from holdfast.cli.options import Json

INTERRUPTED = 130
DEFAULT_STATE_DIR = Path("state") / "campaign"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="campaign")
    def campaign(
        *,
        runs: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 40,
        seed: Annotated[int, typer.Option(min=0, help="Of the first run; each next one has the next seed.")] = 1,
        duration: Annotated[float, typer.Option(min=0.5, max=600, help="Seconds to trade in each run.")] = 4.0,
        parallel: Annotated[int, typer.Option(min=1, max=16, help="Runs side by side.")] = 4,
        state_dir: Annotated[
            Path, typer.Option(help="Where a run that failed leaves its logs, journals, ledger and plan.")
        ] = DEFAULT_STATE_DIR,
        json_output: Json = False,
    ) -> None:
        """Trade under faults of the venue, crashes and freezes, heal, settle within 60 s, and judge by the ledger."""
        options = CampaignOptions(
            runs=runs, seed=seed, state_dir=state_dir.resolve(), duration_s=duration, parallel=parallel
        )

        def show(result: RunResult, done: int) -> None:
            typer.echo(_line(result, done, runs), err=True)

        tally, is_interrupted = Tally(), False
        try:
            asyncio.run(run_campaign(options, tally, show))
        except asyncio.CancelledError:
            is_interrupted = True
        summary = tally.summary()
        typer.echo(json.dumps(summary) if json_output else _table(summary))
        if is_interrupted:
            typer.echo(f"interrupted: {len(tally.results)} of {runs} runs were judged", err=True)
            raise typer.Exit(INTERRUPTED)
        raise typer.Exit(0 if summary["ok"] else 1)


def _line(result: RunResult, done: int, runs: int) -> str:
    plan = result.plan
    hit = "hit" if result.is_point_hit else "not reached"
    verdict = "ok" if not result.violations else f"{len(result.violations)} VIOLATIONS"
    return (
        f"{done}/{runs} seed {plan.seed}: {result.orders} orders, {result.fills} fills, "
        f"{result.faults.total()} faults, {plan.point} {'stop' if plan.is_stop else 'kill'} {hit}, "
        f"settled in {result.settle_s:.1f} s of {result.duration_s:.1f} s: {verdict}"
    )


def _table(summary: dict[str, Any]) -> str:
    lines = [f"{summary['runs']} runs, {summary['orders']} orders, {summary['fills']} fills", "faults injected:"]
    lines += [f"  {count:7} {name}" for name, count in summary["faults"].items()]
    lines.append("crash points hit:")
    lines += [f"  {count:7} {name}" for name, count in summary["crash_points"].items()]
    lines.append("violations:" if summary["violations"] else "violations: none")
    lines += [
        f"  seed {each['seed']}, invariant {each['invariant']}: {each['detail']}" for each in summary["violations"]
    ]
    return "\n".join(lines)
