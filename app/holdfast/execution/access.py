"""Who we are at the venue, from settings and credentials."""

from holdfast.errors import ConfigError
from holdfast.settings import Settings
from holdfast.venues.alpaca.connection import Origin


def credentials(settings: Settings) -> tuple[str, str]:
    """Return key and secret. Raises: ConfigError naming the missing one."""
    key, secret = settings.alpaca_api_key, settings.alpaca_api_secret
    if key is None or secret is None:
        missing = "alpaca_api_key" if key is None else "alpaca_api_secret"
        raise ConfigError(file="credentials", key=missing, expected=f"a credential file or {missing.upper()}")
    return key.get_secret_value(), secret.get_secret_value()


def trading_origin(settings: Settings, *, client: str = "") -> Origin:
    """Return where trading requests go, with the account's keys and who asks in the headers. Raises: ConfigError."""
    key, secret = credentials(settings)
    headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
    return Origin.parse(settings.venue.trading_url, headers=headers | ({"User-Agent": client} if client else {}))
