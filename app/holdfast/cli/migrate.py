"""`holdfast migrate`: brings schema and grants of the database to this release's, as the owner of both."""

import json
from typing import Annotated

import psycopg
import typer

from holdfast.cli.options import DEFAULT_CONFIG_DIR, ConfigDir, Env, Json
from holdfast.errors import ConfigError, OperatingError
from holdfast.settings import load_settings
from holdfast.store import grants
from holdfast.store.migrate import migrate as apply_migrations
from holdfast.store.migrate import pending

CONNECT_TIMEOUT_S = 10


def _connect(url: str) -> psycopg.Connection:
    try:
        return psycopg.connect(
            url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="holdfast-migrate"
        )
    except psycopg.Error as error:
        raise OperatingError(
            f"no connection to PostgreSQL ({type(error).__name__}); database_url has to name the owner of the tables"
        ) from None


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(name="migrate")
    def migrate(
        *,
        config: ConfigDir = DEFAULT_CONFIG_DIR,
        env: Env = "",
        is_check: Annotated[
            bool, typer.Option("--check", help="Change nothing; exit code 1 if anything differs.")
        ] = False,
        is_json: Json = False,
    ) -> None:
        """Apply missing migrations and make the grants equal to the matrix; DATABASE_URL names the owner."""
        settings = load_settings(config, env=env)
        if settings.database_url is None:
            raise ConfigError(
                file="credentials", key="database_url", expected="the database, as the owner of its tables"
            )
        with _connect(settings.database_url.get_secret_value()) as connection:
            try:
                missing = pending(connection)
                if not is_check:
                    apply_migrations(connection)
                differences = grants.differences(connection) if is_check else grants.make_equal(connection)
            except psycopg.Error as error:
                raise OperatingError(
                    f"PostgreSQL refused: {str(error).strip()}; the owner of the tables may do it"
                ) from None
        body = {
            "migrations": [f"{migration.version:04}_{migration.name}" for migration in missing],
            "granted": [str(grant) for grant in differences.missing],
            "revoked": [str(grant) for grant in differences.excess],
        }
        changes = sum(map(len, body.values()))
        if is_json:
            typer.echo(json.dumps({"is_check": is_check, "changes": changes, **body}))
        else:
            for word, lines in body.items():
                for line in lines:
                    typer.echo(f"{'to do, ' if is_check else ''}{word}: {line}")
            typer.echo(f"{changes} {'differences' if is_check else 'changes'}")
        if is_check and changes:
            raise typer.Exit(1)
