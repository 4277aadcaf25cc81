"""Loading strategies: by entry point or by path, parameters validated before anything starts."""

import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path

from pydantic import ValidationError

from holdfast.errors import ConfigError
from holdfast.settings import Settings, StrategySettings
from holdfast.strategies.api import Parameters, Strategy
from holdfast.strategies.host import SlotContext, StrategyHost

GROUP = "holdfast.strategies"


def add_strategies(host: StrategyHost, settings: Settings) -> None:
    """Load every enabled strategy into the host.

    Raises: ConfigError for a strategy that cannot be found, imported or configured.
    """
    for index, wanted in enumerate(settings.strategies):
        if wanted.is_enabled:
            key = f"strategies.{index}"
            kind = _find(wanted, settings, key)
            parameters = _parameters(kind, wanted, settings, key)

            def make(
                context: SlotContext,
                kind: type[Strategy[Parameters]] = kind,
                wanted: StrategySettings = wanted,
                parameters: Parameters = parameters,
            ) -> Strategy[Parameters]:
                return kind(name=wanted.name, symbols=wanted.symbols, parameters=parameters, context=context)

            host.add(make)


def _find(wanted: StrategySettings, settings: Settings, key: str) -> type[Strategy[Parameters]]:
    file = settings.config_dir / "system.json"
    if bool(wanted.path) == bool(wanted.entry_point):
        raise ConfigError(file=file, key=key, expected="either entry_point or path")
    try:
        found = _from_path(wanted.path, settings.config_dir) if wanted.path else _from_entry_point(wanted.entry_point)
    except Exception as error:
        # Importing a trader's file may raise anything; whatever it is, the configuration names something unusable.
        raise ConfigError(
            file=file,
            key=f"{key}.{'path' if wanted.path else 'entry_point'}",
            expected="an importable strategy",
            found=f"{type(error).__name__}: {error}",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise ConfigError(file=file, key=key, expected="a class derived from holdfast.strategies.Strategy")
    return found


def _from_path(path: str, config_dir: Path) -> object:
    """Import CLASS of FILE.py:CLASS; a relative FILE is seen from the configuration directory."""
    name, _, class_name = path.rpartition(":")
    file = config_dir / name
    module_name = f"holdfast_strategy_{file.stem}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return getattr(module, class_name)


def _from_entry_point(name: str) -> object:
    found = entry_points(group=GROUP, name=name)
    if not found:
        known = sorted(entry.name for entry in entry_points(group=GROUP))
        raise ImportError(f"no entry point {name!r} in {GROUP}; there are: {', '.join(known)}")
    return next(iter(found)).load()


def _parameters(
    kind: type[Strategy[Parameters]],
    wanted: StrategySettings,
    settings: Settings,
    key: str,
) -> Parameters:
    try:
        return kind.parameters_type.model_validate(wanted.parameters)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            file=settings.config_dir / "system.json",
            key=f"{key}.parameters.{name}",
            expected=first["msg"],
        ) from None
