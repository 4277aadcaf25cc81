"""`holdfast limits show|propose|approve|withdraw`: risk limits in force, and their change by one or two people.

`show` reads the journals. The others ask the api-gateway, whose tokens say who it is that tightens, proposes, approves.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast._native import JournalMissing
from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.cli.trip import Reason, required_reason
from holdfast.errors import BadInput, OperatingError
from holdfast.gateway.client import ask
from holdfast.gateway.limit_view import LimitView
from holdfast.gateway.schemas import LimitsBody
from holdfast.settings import Settings, load_settings
from holdfast.settings.risk_limits import load_risk_limits

TOKEN_VARIABLE = "HOLDFAST_TOKEN_FILE"  # noqa: S105 - the name of a variable
SECONDS = {"s": 1, "m": 60, "h": 3600}

commands = typer.Typer(name="limits", help="Risk limits in force and their change.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(help="Key of risk_limits.toml, such as order.quantity_max.")]
Value = Annotated[str, typer.Argument(help="The value it shall have, in the key's unit.")]
Seq = Annotated[int, typer.Argument(min=1, help="Number of the proposal, as limits show lists it.")]
Duration = Annotated[
    str, typer.Option("--for", help="How long it may be looser than configured, such as 30m, 4h; <= 24h.")
]
TokenPath = Annotated[
    Path | None, typer.Option("--token-file", envvar=TOKEN_VARIABLE, help="File with your token of the API.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands)


@commands.command()
def show(config: ConfigDir = DEFAULT_CONFIG_DIR, env: Env = "", is_json: Json = False) -> None:
    """Show the limits in force, those that differ from the configured ones, and what waits for a second person."""
    settings = load_settings(config, env=env)
    view = LimitView(load_risk_limits(settings).limits)
    with suppress(JournalMissing):
        view.read(settings)
    body = view.body()
    typer.echo(body.model_dump_json() if is_json else _as_text(body))


@commands.command()
def propose(
    key: Key,
    value: Value,
    *,
    reason: Reason,
    duration: Duration = "",
    token_file: TokenPath = None,
    config: ConfigDir = DEFAULT_CONFIG_DIR,
    env: Env = "",
    is_json: Json = False,
) -> None:
    """Tighten a limit at once, or propose to loosen it: another person, an admin, must approve that."""
    settings = load_settings(config, env=env)
    body = {"key": key, "value": value, "reason": required_reason(reason), "duration_s": duration_s(duration)}
    answer = _ask(settings, token_file, "proposals", body)
    if is_json:
        typer.echo(json.dumps(answer))
    elif answer["is_in_force"]:
        typer.echo(f"{key} is {value} from now on")
    else:
        typer.echo(f"proposal {answer['proposal']} waits for another person: holdfast limits approve")


@commands.command()
def approve(
    seq: Seq,
    *,
    reason: Reason,
    token_file: TokenPath = None,
    config: ConfigDir = DEFAULT_CONFIG_DIR,
    env: Env = "",
    is_json: Json = False,
) -> None:
    """Put another person's proposal in force until its end; needs a token of the role admin."""
    settings = load_settings(config, env=env)
    answer = _ask(settings, token_file, f"proposals/{seq}/approve", {"reason": required_reason(reason)})
    typer.echo(json.dumps(answer) if is_json else f"proposal {seq} is in force: {answer['key']}")


@commands.command()
def withdraw(
    seq: Seq,
    *,
    reason: Reason,
    token_file: TokenPath = None,
    config: ConfigDir = DEFAULT_CONFIG_DIR,
    env: Env = "",
    is_json: Json = False,
) -> None:
    """Take a proposal off the table. What is in force already is tightened with propose."""
    settings = load_settings(config, env=env)
    answer = _ask(settings, token_file, f"proposals/{seq}/withdraw", {"reason": required_reason(reason)})
    typer.echo(json.dumps(answer) if is_json else f"proposal {seq} is withdrawn: {answer['key']}")


def duration_s(text: str) -> int:
    """Return a duration such as 90s, 30m, 4h in seconds; 0 for none. Raises: BadInput."""
    if not text:
        return 0
    number, unit = text[:-1], text[-1]
    if not (number.isascii() and number.isdigit()) or unit not in SECONDS:
        raise BadInput(f"--for {text!r}: expected a whole number and s, m or h, such as 4h")
    return int(number) * SECONDS[unit]


def _ask(settings: Settings, token_file: Path | None, path: str, body: dict[str, object]) -> dict[str, Any]:
    """Send a request to the gateway. Raises: BadInput for what it refuses, OperatingError when it cannot be asked."""
    if token_file is None:
        raise BadInput(f"no token: give --token-file FILE or {TOKEN_VARIABLE}; holdfast token create makes one")
    try:
        token = token_file.read_text().strip()
    except (OSError, ValueError) as error:
        raise OperatingError(f"{token_file}: {error}: expected a readable file with a token") from None
    return ask(settings, token, f"limits/{path}", body)


def _as_text(body: LimitsBody) -> str:
    lines = [f"limits {body.limits_hash}"]
    for row in body.limits:
        note = "" if row.value == row.configured else f"  configured {row.configured}"
        note += f", until {row.expires_at}" if row.expires_at else ""
        lines.append(f"{row.key:44}{row.value:>16}{note}")
    lines.extend(
        f"proposal {found.seq} by {found.operator}: {found.key} {found.in_force} -> {found.value}"
        f" until {found.expires_at or 'changed again'}, lapses {found.lapses_at}: {found.reason}"
        for found in body.proposals
    )
    return "\n".join(lines)
