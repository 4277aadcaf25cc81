"""Who we are at the venue, from settings and credentials."""

from holdfast.errors import ConfigError
from holdfast.settings import Settings
from holdfast.venues.alpaca.connection import Origin


def credentials(settings: Settings) -> tuple[str, str]:
    """Return key and secret. Raises: ConfigError naming the missing one."""
    return _pair(settings, "alpaca_api_key", "alpaca_api_secret")


def watchdog_credentials(settings: Settings) -> tuple[str, str]:
    """Return the watchdog's own key and secret. Raises: ConfigError naming the missing one."""
    return _pair(settings, "watchdog_api_key", "watchdog_api_secret")


def _pair(settings: Settings, *names: str) -> tuple[str, str]:
    found: list[str] = []
    for name in names:
        value = getattr(settings, name)
        if value is None:
            raise ConfigError(file="credentials", key=name, expected=f"a credential file or {name.upper()}")
        found.append(value.get_secret_value())
    return found[0], found[1]


def trading_origin(settings: Settings, *, keys: tuple[str, str] | None = None, client: str = "") -> Origin:
    """Return where trading requests go, with `keys`, else the account's, and who asks in the headers.

    Raises: ConfigError.
    """
    key, secret = keys or credentials(settings)
    headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
    return Origin.parse(settings.venue.trading_url, headers=headers | ({"User-Agent": client} if client else {}))
