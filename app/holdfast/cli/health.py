"""`holdfast health`: is everything alive; the exit code says it."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import typer

from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.gateway.view import SERVICE_OF_JOURNAL, JournalView
from holdfast.journals import open_latch
from holdfast.settings import Settings, load_settings

METRICS_TIMEOUT_S = 2.0
DISK_FREE_PERCENT_MIN = 10
# They write no journal: their metrics port says whether they live.
WITHOUT_JOURNAL = ("recorder", "relay", "watchdog")


class Check(NamedTuple):
    """One thing looked at."""

    name: str
    is_healthy: bool
    detail: str


def checks(settings: Settings) -> Iterator[Check]:
    """Look at everything that trading needs."""
    view = JournalView(settings)
    view.catch_up()
    heads = {head.name: head for head in view.heads()}
    for journal, service in SERVICE_OF_JOURNAL.items():
        head = heads.get(journal)
        if head is None:
            yield Check(service, is_healthy=False, detail=f"journal {journal} does not exist: was it ever started?")
        else:
            detail = f"heartbeat {head.heartbeat_age_s:.1f} s ago, {journal} at {head.last_seq}"
            yield Check(service, head.is_alive, detail)
    for service in WITHOUT_JOURNAL:
        yield _metrics_check(settings, service)
    gaps = [reason for reason in view.unready() if "heartbeat" not in reason and "does not exist" not in reason]
    yield Check("coherence and reconciliation", not gaps, "; ".join(gaps) or "one release, reconciled with the venue")
    latch = open_latch(settings)
    detail = f"set by {latch.operator or 'a script'}: {latch.reason}" if latch.is_set else "clear"
    yield Check("kill latch", latch.is_linked and not latch.is_set, detail)
    state = view.trading_state
    if state is None:
        yield Check("trading state", is_healthy=False, detail="never set by risk-manager")
    else:
        detail = f"{state.state.label} {state.rule.label} {state.detail}".strip()
        yield Check("trading state", state.state.label == "active", detail)
    unknown = sum(order.is_unknown for order in view.orders(is_open_only=True))
    yield Check("unknown orders", unknown == 0, str(unknown))
    usage = shutil.disk_usage(settings.state_dir)
    free_percent = usage.free * 100 // usage.total
    yield Check("disk", free_percent >= DISK_FREE_PERCENT_MIN, f"{free_percent} % free in {settings.state_dir}")
    view.close()


def _metrics_check(settings: Settings, service: str) -> Check:
    port = settings.services.of(service).metrics_port
    url = f"http://{settings.metrics_address}:{port}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=METRICS_TIMEOUT_S) as response:
            text = response.read().decode()
    except (OSError, urllib.error.URLError) as error:
        return Check(service, is_healthy=False, detail=f"{url}: {error}")
    is_up = f'holdfast_service_up{{service="{service}"}} 1.0' in text
    is_away = "holdfast_recorder_database_up 0.0" in text and service == "recorder"
    detail = "PostgreSQL does not answer" if is_away else ("up" if is_up else "running, not ready")
    return Check(service, is_up and not is_away, detail)


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="health")
    def health(
        is_verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what is healthy too.")] = False,
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        env: Env = "",
        is_json: Json = False,
    ) -> None:
        """Check every service, the latch, the trading state and the disk; exit code 1 when anything is unhealthy."""
        found = list(checks(load_settings(config, env=env)))
        is_healthy = all(check.is_healthy for check in found)
        if is_json:
            typer.echo(json.dumps({"is_healthy": is_healthy, "checks": [check._asdict() for check in found]}))
        else:
            for check in found:
                if is_verbose or not check.is_healthy:
                    typer.echo(f"{'✓' if check.is_healthy else '✗'} {check.name}: {check.detail}")
            typer.echo("healthy" if is_healthy else "UNHEALTHY")
        if not is_healthy:
            raise typer.Exit(1)
