"""The described system's environment variables that switch something: each must agree with the configuration.

What Holdfast never goes without (TLS, CURVE, the circuit breaker) cannot be switched off; a variable that tries stops
the start instead of being ignored.
"""

from collections.abc import Mapping

from holdfast.errors import ConfigError
from holdfast.settings.schema import Settings

WHERE = "environment"
TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})
ALWAYS_ON = ("CIRCUIT_BREAKER_ENABLED", "ENABLE_TLS", "ENABLE_ZMQ_ENCRYPTION")
TLS_VERSIONS = ("1.2", "1.3")


def check_environment(environment: Mapping[str, str], settings: Settings) -> None:
    """Refuse variables that contradict the configuration or switch a protection off.

    Raises: ConfigError naming the variable.
    """
    for variable in ALWAYS_ON:
        if _truth(environment, variable) is False:
            raise ConfigError(file=WHERE, key=variable, expected="true, or not set: it cannot be switched off")
    mode = environment.get("TRADING_MODE", "").lower()
    if mode and mode != settings.trading_mode:
        expected = f"{settings.trading_mode}, as trading_mode says, or not set"
        raise ConfigError(file=WHERE, key="TRADING_MODE", expected=expected)
    is_paper = _truth(environment, "PAPER_TRADING")
    if is_paper is not None and is_paper != (settings.trading_mode == "paper"):
        expected = f"{str(settings.trading_mode == 'paper').lower()}, as trading_mode says, or not set"
        raise ConfigError(file=WHERE, key="PAPER_TRADING", expected=expected)
    version = environment.get("TLS_MIN_VERSION", "")
    if version and version not in TLS_VERSIONS:
        raise ConfigError(file=WHERE, key="TLS_MIN_VERSION", expected=" or ".join(TLS_VERSIONS))


def _truth(environment: Mapping[str, str], variable: str) -> bool | None:
    """Return what a variable says, None when it is not set."""
    word = environment.get(variable, "").lower()
    if not word:
        return None
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ConfigError(file=WHERE, key=variable, expected="true or false")
