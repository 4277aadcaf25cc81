"""`holdfast validate-config`: whether a service would start with this configuration."""

import asyncio
import json
import os
import ssl
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import psycopg
import typer

from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.errors import EXIT_CONFIG, ConfigError
from holdfast.settings import Settings, load_settings
from holdfast.settings.risk_limits import load_risk_limits

CONNECT_TIMEOUT_S = 5
HTTPS_PORT = 443
VARIABLES = "Environment variables are valid"
REACHABLE = "All services are reachable"
# Credentials without which an environment does not start.
DEPLOYED = ("alpaca_api_key", "alpaca_api_secret", "watchdog_api_key", "watchdog_api_secret", "database_url")
CREDENTIALS_NEEDED = {
    "development": ("alpaca_api_key", "alpaca_api_secret"),
    "staging": DEPLOYED,
    "production": DEPLOYED,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer. `is_ok` None: not checked."""

    name: str
    is_ok: bool | None
    detail: str = ""


def validate(config_dir: Path, environment: Mapping[str, str], *, env: str, is_offline: bool) -> list[Check]:
    """Check the configuration as a service would read it; every failure is in the answer, none is raised."""
    chosen = env or environment.get("TRADING_ENVIRONMENT", "")
    file = f"system.{chosen}.json" if chosen not in {"", "development"} else "system.json"
    try:
        settings = load_settings(config_dir, environment=environment, env=env)
    except ConfigError as error:
        failed = Check(f"{file} is valid", is_ok=False, detail=str(error))
        return [replace(failed, name=VARIABLES)] if _is_variable(error) else [failed]
    checks = [Check(f"{file} is valid", is_ok=True)]
    try:
        load_risk_limits(settings)
    except ConfigError as error:
        failed = Check("risk_limits.toml is valid", is_ok=False, detail=str(error))
        checks.append(replace(failed, name=VARIABLES) if _is_variable(error) else failed)
    else:
        checks += [Check("risk_limits.toml is valid", is_ok=True), Check(VARIABLES, is_ok=True)]
    checks.append(_check("Files that it names are there", lambda: _check_files(settings)))
    checks.append(_check("API credentials are configured", lambda: _check_credentials(settings, environment)))
    if is_offline:
        return [*checks, Check(REACHABLE, is_ok=None, detail="not checked: --offline")]
    return [*checks, *asyncio.run(_check_reachable(settings))]


def _is_variable(error: ConfigError) -> bool:
    return error.file.startswith("environment")


def _check(name: str, check: Callable[[], None]) -> Check:
    try:
        check()
    except ConfigError as error:
        return Check(name, is_ok=False, detail=str(error))
    return Check(name, is_ok=True)


def _check_files(settings: Settings) -> None:
    gateway = settings.services.api_gateway
    named = {
        "venue.ca_file": settings.venue.ca_file,
        "services.relay.keys_dir": settings.services.relay.keys_dir,
        "services.api_gateway.tls_cert_file": gateway.tls_cert_file,
        "services.api_gateway.tls_key_file": gateway.tls_key_file,
        "services.api_gateway.tokens_file": gateway.tokens_file,
    }
    for strategy in settings.strategies:
        if strategy.path:
            named[f"strategies.{strategy.name}.path"] = Path(strategy.path.rpartition(":")[0])
    for key, path in named.items():
        if path is not None and not os.access(path, os.R_OK):
            raise ConfigError(file=settings.config_dir, key=key, expected=f"{path} to be a readable file")


def _check_credentials(settings: Settings, environment: Mapping[str, str]) -> None:
    for name in CREDENTIALS_NEEDED[settings.environment]:
        secret = getattr(settings, name)
        if secret is None or not secret.get_secret_value():
            expected = f"a file {name} in the unit's credential directory, or the variable {name.upper()}"
            raise ConfigError(file="credentials", key=name, expected=expected)
    if settings.fencing.mode == "database" and settings.database_url is None:
        raise ConfigError(file="credentials", key="database_url", expected="a database: fencing.mode is database")
    directory = environment.get("CREDENTIALS_DIRECTORY")
    for file in sorted(Path(directory).iterdir()) if directory and Path(directory).is_dir() else []:
        if file.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise ConfigError(file=file, key="", expected="a file that others cannot read: chmod 600")


async def _check_reachable(settings: Settings) -> list[Check]:
    venue = settings.venue
    urls = (venue.trading_url, venue.trading_stream_url, venue.data_url, venue.data_stream_url)
    targets = {(parts.hostname or "", parts.port or HTTPS_PORT) for parts in map(urlsplit, urls)}
    trust = ssl.create_default_context(cafile=str(venue.ca_file) if venue.ca_file else None)
    attempts = [_connect(host, port, trust) for host, port in sorted(targets)]
    if settings.database_url is not None:
        attempts.append(_connect_database(settings.database_url.get_secret_value()))
    failures = [failure for failure in await asyncio.gather(*attempts) if failure]
    return [Check(REACHABLE, is_ok=False, detail=failure) for failure in failures] or [Check(REACHABLE, is_ok=True)]


async def _connect(host: str, port: int, trust: ssl.SSLContext) -> str:
    """Return why a host cannot be reached over TLS, empty when it can."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port, ssl=trust), CONNECT_TIMEOUT_S)
    except TimeoutError:
        return f"{host}:{port}: no answer within {CONNECT_TIMEOUT_S} s; check the network and the firewall"
    except (OSError, ValueError) as error:
        return f"{host}:{port}: {error}; check the name, the network and venue.ca_file"
    writer.close()
    return ""


async def _connect_database(url: str) -> str:
    try:
        connection = await psycopg.AsyncConnection.connect(url, connect_timeout=CONNECT_TIMEOUT_S)
    except psycopg.Error as error:
        reason = type(error).__name__
        return f"database_url: PostgreSQL cannot be reached ({reason}); check that it runs and the role may log in"
    await connection.close()
    return ""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="validate-config")
    def validate_config(
        *,
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        env: Env = "",
        offline: Annotated[bool, typer.Option("--offline", help="Do not connect to the venue and PostgreSQL.")] = False,
        json_output: Json = False,
    ) -> None:
        """Check a configuration as a service would read it.

        Exit code: 0 all is well, 78 it must not run, 1 it may run but something cannot be reached.
        """
        checks = validate(config, os.environ, env=env, is_offline=offline)
        failed = [check.name for check in checks if check.is_ok is False]
        if json_output:
            typer.echo(json.dumps({"ok": not failed, "checks": [asdict(check) for check in checks]}))
        else:
            for check in checks:
                mark = {True: "✓", False: "✗", None: "-"}[check.is_ok]
                typer.echo(f"{mark} {check.name}" + (f"\n  {check.detail}" if check.detail else ""))
        raise typer.Exit(0 if not failed else 1 if set(failed) == {REACHABLE} else EXIT_CONFIG)
